"""Argument checks shared by the public functions.

N samples, K classes, D embedding width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from ncscope.errors import ShapeError

HALF = (torch.float16, torch.bfloat16)
_LABELS_KNOWN: ContextVar[bool] = ContextVar("labels known", default=False)
_BLOCK_VALUES = 1 << 20  # looked at together: a sum in another dtype copies what it sums


@contextmanager
def known_labels() -> Iterator[None]:
    """Within it every label was seen to lie in 0..K-1, none of them -1: a step of training looks
    once a run, for to look is to wait for the device."""
    token = _LABELS_KNOWN.set(True)
    try:
        yield
    finally:
        _LABELS_KNOWN.reset(token)


def labels_are_known() -> bool:
    """Whether `known_labels` is in force."""
    return _LABELS_KNOWN.get()


def working(rows: Tensor) -> Tensor:
    """The dtype measures are computed in: half precision as float32, all else as it is."""
    return rows.float() if rows.dtype in HALF else rows


def check_class_rows(name: str, rows: Tensor, *, least: int = 2) -> None:
    """Require a floating (K, D) tensor with K >= `least`."""
    if rows.ndim != 2 or rows.shape[0] < least or not rows.is_floating_point():
        raise ShapeError(
            f"`{name}` must be a floating (K, D) tensor with K >= {least}; "
            f"got {rows.dtype} {tuple(rows.shape)}"
        )


def check_paired_rows(name: str, rows: Tensor, other_name: str, other: Tensor) -> None:
    """Require two floating (K, D) tensors of one shape, K >= 2."""
    check_class_rows(name, rows)
    check_class_rows(other_name, other)
    if rows.shape != other.shape:
        raise ShapeError(
            f"`{name}` and `{other_name}` must have one shape (K, D); "
            f"got {tuple(rows.shape)} and {tuple(other.shape)}"
        )


def check_samples(features: Tensor, labels: Tensor, num_classes: int) -> None:
    """Require floating (N, D) features and (N,) integer labels in -1..K-1, -1 meaning ignored."""
    if features.ndim != 2 or not features.is_floating_point():
        raise ShapeError(
            f"`features` must be a floating (N, D) tensor; "
            f"got {features.dtype} {tuple(features.shape)}"
        )
    if labels.shape != features.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise ShapeError(
            f"`labels` must be an integer (N,) tensor with N = {len(features)}; "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
    if num_classes < 2:
        raise ShapeError(f"at least 2 classes are needed; got K = {num_classes}")
    if labels.numel() and not labels_are_known():
        low, high = int(labels.min()), int(labels.max())
        if low < -1 or high >= num_classes:
            raise ShapeError(
                f"`labels` must lie in 0..{num_classes - 1}, or be -1 for ignored; "
                f"got {low}..{high}"
            )


def check_finite(name: str, rows: Tensor) -> None:
    """Refuse NaN and inf, naming the first rows that hold them."""
    # A sum is NaN or inf if any entry is; overflow of a finite sum is caught by the second look.
    blocks = rows.detach().split(max(1, _BLOCK_VALUES // max(1, rows[:1].numel())))
    # Written into one tensor: a list of small ones pins the heap between the blocks' copies.
    sums = working(rows.new_zeros(len(blocks)))
    for place, block in enumerate(blocks):
        sums[place] = block.sum(dtype=sums.dtype)
    if torch.isfinite(sums).all():
        return
    whole = [torch.isfinite(block.reshape(len(block), -1)).all(dim=1) for block in blocks]
    bad = (~torch.cat(whole)).nonzero().flatten().tolist()
    if bad:
        shown = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        raise ShapeError(f"`{name}` has NaN or inf in {len(bad)} of {len(rows)} rows: {shown}")
