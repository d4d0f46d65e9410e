"""Rows that several processes made, brought together in order in every one of them."""

import torch
from torch import Tensor

from ncscope.features.processes import Spread, exchanged, sent


def in_order(rows: Tensor, places: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
    """The rows (M, ...) of all processes by ascending place (M,), and the places.

    Args:
        rows: this process's; of any width where it has none.
        places: of each row among all, in the order of `rows`.
    """
    if spread.world == 1:
        return rows, places
    shapes = exchanged(list(rows.shape), spread)
    counts = [shape[0] for shape in shapes]
    width = next(tuple(shape[1:]) for shape in shapes if shape[0])
    every = [
        sent(places if r == spread.rank else None, (count,), r, spread, dtype=torch.int64)
        for r, count in enumerate(counts)
    ]
    ascending = torch.cat(every).sort().values
    out = torch.empty(len(ascending), *width, dtype=rows.dtype)
    for r, count in enumerate(counts):  # one share at a time beside the whole
        mine = rows if r == spread.rank else None
        if count:
            part = sent(mine, (count, *width), r, spread, dtype=rows.dtype)
            out[torch.searchsorted(ascending, every[r])] = part
    return out, ascending


def from_one(
    rows: Tensor | None, places: Tensor | None, spread: Spread
) -> tuple[Tensor, Tensor] | None:
    """Rows and places of the first process that has any, in all; None where none has."""
    shapes = exchanged(None if rows is None else list(rows.shape), spread)
    owners = [r for r, shape in enumerate(shapes) if shape is not None]
    if not owners:
        return None
    if rows is not None and places is not None and len(owners) == spread.world:
        return rows, places
    owner = owners[0]
    if spread.rank != owner:
        rows = places = None
    shape = tuple(shapes[owner])
    return (
        sent(rows, shape, owner, spread, dtype=torch.float32),
        sent(places, shape[:1], owner, spread, dtype=torch.int64),
    )
