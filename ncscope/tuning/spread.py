"""One training run on several processes, started by torchrun: what is exchanged.

Every process takes its share of each batch through the towers. Features are then gathered with
their gradients, so that every loss, class-balanced ones too, is of the whole batch: the result is
that of one process up to rounding. Prompts are small, so their gradients travel as one tensor.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ncscope.features.processes import Spread, added, everyones


def share(rows: Tensor, spread: Spread) -> Tensor:
    """This process's part of a batch: every world-th image, from its rank on."""
    return rows[spread.rank :: spread.world]


def gathered(rows: Tensor, sizes: Sequence[int], spread: Spread) -> Tensor:
    """The rows of all processes, rank after rank, with gradients to this process's own.

    Args:
        sizes: rows of each process.
    """
    if spread.world == 1:
        return rows
    most = max(sizes)
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
    parts = everyones(padded.detach(), spread)
    kept = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    kept[spread.rank] = rows  # the others' gradients are summed afterwards
    return torch.cat(kept)


def sizes_of(count: int, spread: Spread) -> list[int]:
    """How many of `count` images each process takes."""
    return [len(range(rank, count, spread.world)) for rank in range(spread.world)]


def summed(gradients: list[Tensor], spread: Spread) -> list[Tensor]:
    """Add up the processes' gradients."""
    if spread.world == 1:
        return gradients
    flat = added(torch.cat([gradient.flatten() for gradient in gradients]), spread)
    parts = flat.split([gradient.numel() for gradient in gradients])
    return [part.view_as(g) for part, g in zip(parts, gradients, strict=True)]


def equally(rows: Tensor, spread: Spread) -> Tensor:
    """What every process computes in full: the same values, a share of the gradient each."""
    if spread.world == 1:
        return rows
    part = rows / spread.world
    return part + (rows - part).detach()
