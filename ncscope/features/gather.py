"""Rows that several processes made, brought together in order in every one of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ncscope.features.processes import Spread, exchanged, sent


def in_order(rows: Tensor, places: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
    """The rows (M, ...) of all processes by ascending place (M,), and the places.

    Args:
        rows: this process's; of any width and dtype where it has none.
        places: of each row among all, in the order of `rows`.
    """
    if spread.world == 1:
        return rows, places
    kinds = exchanged([list(rows.shape), _name(rows.dtype)], spread)
    counts = [shape[0] for shape, _ in kinds]
    shape, name = next((kind for kind in kinds if kind[0][0]), kinds[0])
    width, dtype = tuple(shape[1:]), getattr(torch, name)
    every = [
        sent(places if r == spread.rank else None, (count,), r, spread, dtype=torch.int64)
        for r, count in enumerate(counts)
    ]
    ascending = torch.cat(every).sort().values
    out = torch.empty(len(ascending), *width, dtype=dtype)
    for r, count in enumerate(counts):  # one share at a time beside the whole
        mine = rows if r == spread.rank else None
        if count:
            part = sent(mine, (count, *width), r, spread, dtype=dtype)
            out[torch.searchsorted(ascending, every[r])] = part
    return out, ascending


def own_parts(count: int, size: int, spread: Spread) -> list[Tensor]:
    """This process's parts of `count` places, `size` (or what is left) in each: every world-th."""
    return list(torch.arange(count).split(size)[spread.rank :: spread.world])


def put_together(
    found: Sequence[Tensor], parts: Sequence[Tensor], spread: Spread, device: torch.device
) -> Tensor:
    """Rows that each process found for its `own_parts`, in order, in every one, on the device."""
    if spread.world == 1:
        return torch.cat(list(found))
    rows = torch.cat(list(found)).cpu() if found else torch.empty(0, 0)
    places = torch.cat(list(parts)) if parts else torch.empty(0, dtype=torch.int64)
    return in_order(rows, places, spread)[0].to(device)


def from_one(
    rows: Tensor | None, places: Tensor | None, spread: Spread
) -> tuple[Tensor, Tensor] | None:
    """Rows and places of the first process that has any, in all; None where none has."""
    mine = None if rows is None else [list(rows.shape), _name(rows.dtype)]
    kinds = exchanged(mine, spread)
    owners = [r for r, kind in enumerate(kinds) if kind is not None]
    if not owners:
        return None
    if rows is not None and places is not None and len(owners) == spread.world:
        return rows, places
    owner = owners[0]
    if spread.rank != owner:
        rows = places = None
    shape, name = tuple(kinds[owner][0]), kinds[owner][1]
    return (
        sent(rows, shape, owner, spread, dtype=getattr(torch, name)),
        sent(places, shape[:1], owner, spread, dtype=torch.int64),
    )


def _name(dtype: torch.dtype) -> str:
    """As torch calls it, `float32`."""
    return str(dtype).removeprefix("torch.")
