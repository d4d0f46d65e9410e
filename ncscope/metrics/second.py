"""Second moments X^T Y of class vectors, (D, D): what most measures of many classes are made of.

K classes, D embedding width. Within `kept()` those of the same tensors are made once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_LEAST = 1e-2  # of the energy must be left by centring, or digits would be lost
_KEPT: ContextVar[dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] | None] = ContextVar(
    "second moments", default=None
)


@contextmanager
def kept() -> Iterator[None]:
    """Keep what is made meanwhile; the tensors must not be changed in place."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def second_moment(rows: Tensor, other: Tensor | None = None, *, centred: bool = False) -> Tensor:
    """X^T Y (D, D) of (K, D) rows and others (the rows again), each less its mean if centred.

    Differentiable. From what is kept of the rows as given wherever centring leaves digits enough.
    """
    right = rows if other is None else other
    if not centred:
        return _as_given(rows, right)
    if all(_keeps_digits(side) for side in (rows, right)):
        means = torch.outer(rows.mean(dim=0), right.mean(dim=0))
        return _as_given(rows, right) - len(rows) * means
    return (rows - rows.mean(dim=0)).T @ (right - right.mean(dim=0))


def _keeps_digits(rows: Tensor) -> bool:
    rows = rows.detach()
    whole, common = rows.square().sum(), len(rows) * rows.mean(dim=0).square().sum()
    return bool(whole - common >= _LEAST * whole)


def _as_given(rows: Tensor, other: Tensor) -> Tensor:
    held = _KEPT.get()
    if held is None or rows.requires_grad or other.requires_grad:
        return rows.T @ other
    key = (id(rows), id(other))
    if key not in held:  # with the tensors, so that no other one gets their place
        held[key] = (rows, other, rows.T @ other)
    return held[key][2]
