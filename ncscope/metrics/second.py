"""Second moments X^T Y of class vectors, (D, D): what most measures of many classes are made of.

K classes, D embedding width. Within `kept()` those of the same tensors are made once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

Held = dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]]
_LEAST = 1e-2  # of the energy must be left by centring, or digits would be lost
_KEPT: ContextVar[Held | None] = ContextVar("second moments", default=None)


@contextmanager
def kept(known: Held | None = None) -> Iterator[Held]:
    """Keep what is made meanwhile beside what is known; no tensor must be changed in place."""
    held = dict(known or {})
    token = _KEPT.set(held)
    try:
        yield held
    finally:
        _KEPT.reset(token)


def second_moment(rows: Tensor, other: Tensor | None = None, *, centred: bool = False) -> Tensor:
    """X^T Y (D, D) of (K, D) rows and others (the rows again), each less its mean if centred.

    Differentiable. Where it is kept, that of centred rows is made of that of the rows as given,
    as long as centring leaves digits enough.
    """
    right = rows if other is None else other
    held = _KEPT.get()
    keeping = held is not None and not (rows.requires_grad or right.requires_grad)
    if centred and not (keeping and _keeps_digits(rows) and _keeps_digits(right)):
        return (rows - rows.mean(dim=0)).T @ (right - right.mean(dim=0))
    if held is None or not keeping:
        return rows.T @ right
    key = (id(rows), id(right))
    if key not in held:  # with the tensors, so that no other one gets their place
        held[key] = (rows, right, rows.T @ right)
    if not centred:
        return held[key][2]
    return held[key][2] - len(rows) * torch.outer(rows.mean(dim=0), right.mean(dim=0))


def _keeps_digits(rows: Tensor) -> bool:
    whole, common = rows.square().sum(), len(rows) * rows.mean(dim=0).square().sum()
    return bool(whole - common >= _LEAST * whole)
