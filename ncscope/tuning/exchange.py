"""Rows and gradients among the processes of one training run, so that a loss is of a whole batch.

Each process has the gradient of its own part; `summed` puts the parts together. B images of a
batch, D embedding width.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ncscope.features import processes
from ncscope.features.processes import ALONE, Spread, everyones, exchanged


def processes_of_torch() -> Spread:
    """This process's place in torch's own group, whoever began it; alone without one."""
    if not (dist.is_available() and dist.is_initialized()):
        return ALONE
    return Spread(dist.get_rank(), dist.get_world_size())


def gathered_for_mean(rows: Tensor, spread: Spread) -> Tensor:
    """The rows of all processes, rank after rank, for a trainer that averages their gradients.

    As DistributedDataParallel does: so the gradient to own rows, which no other process has,
    counts as often as there are processes.
    """
    if spread.world == 1:
        return rows
    sizes = everyones(torch.tensor([len(rows)], device=rows.device), spread)
    if rows.requires_grad:
        rows = rows.view_as(rows)
        rows.register_hook(lambda gradient: gradient * spread.world)
    return gathered(rows, [int(size) for size in sizes], spread, told=False)


def gathered(rows: Tensor, sizes: Sequence[int], spread: Spread, *, told: bool = True) -> Tensor:
    """The rows of all processes, rank after rank, with gradients to this process's own.

    Args:
        sizes: rows of each process.
        told: refusals are told first, as those who are `joined` do; somebody's trainer does not.

    Raises:
        DataError: another process was refused meanwhile, or has ended.
    """
    if spread.world == 1:
        return rows
    if told:
        exchanged(None, spread)
    most = max(sizes)
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
    parts = everyones(padded.detach(), spread)
    kept = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    kept[spread.rank] = rows  # the others' gradients are summed afterwards
    return torch.cat(kept)


def equally(rows: Tensor, spread: Spread) -> Tensor:
    """What every process computes in full: the same values, a share of the gradient each."""
    if spread.world == 1:
        return rows
    part = rows / spread.world
    return part + (rows - part).detach()


def summed(gradients: list[Tensor], spread: Spread, *, told: bool = True) -> list[Tensor]:
    """Add up the processes' gradients.

    Args:
        told: as for `gathered`.

    Raises:
        DataError: as `gathered`.
    """
    if spread.world == 1:
        return gradients
    if told:
        exchanged(None, spread)
    flat = processes.added(torch.cat([gradient.flatten() for gradient in gradients]), spread)
    parts = flat.split([gradient.numel() for gradient in gradients])
    return [part.view_as(g) for part, g in zip(parts, gradients, strict=True)]
