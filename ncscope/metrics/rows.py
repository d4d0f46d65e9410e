"""Rows and their cosines: normalising, centring and pairing of class vectors.

K classes, D embedding width. Every geometric measure starts from these few functions, so that a
zero row, a common shift or half precision is treated the same way everywhere.
"""

import math

import torch
from torch import Tensor

from ncscope._checks import check_class_rows, working


def normalise_rows(rows: Tensor) -> Tensor:
    """Divide each row of (..., D) by its l2 norm; a zero row becomes NaN, never a made-up vector.

    Half precision is computed in float32. Rows of any magnitude have their direction: where the
    squares of one would leave its dtype's range, it is scaled to a largest entry of 1 first.
    """
    rows, norms = in_range(working(rows))
    return rows / norms


def in_range(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(..., D) rows and their norms (..., 1), those whose squares over- or underflow rescaled."""
    norms = rows.norm(dim=-1, keepdim=True)
    extreme = is_extreme(norms)
    if rows.device.type == "cpu" and not bool(extreme.any()):
        return rows, norms
    scale = _usable(rows.detach().abs().amax(dim=-1, keepdim=True))
    rows = rows / torch.where(extreme, scale, 1.0)
    return rows, rows.norm(dim=-1, keepdim=True)


def is_extreme(size: Tensor) -> Tensor:
    """Whether squares of numbers of this size, or of what is near it, leave their dtype's range."""
    limits = torch.finfo(size.dtype)
    size = size.detach()
    return (size < math.sqrt(limits.tiny) / limits.eps) | (
        size > math.sqrt(limits.max) * limits.eps
    )


def _usable(scale: Tensor) -> Tensor:
    """What can be divided by: 1 where a row is all zero, or not finite."""
    return torch.where((scale > 0) & torch.isfinite(scale), scale, 1.0)


def rescaled(rows: Tensor) -> Tensor:
    """(K, D) rows over their largest entry where that is so large or small that squares of them
    would leave the dtype's range; for measures that a common scale does not change."""
    scale = rows.detach().abs().amax()
    extreme = is_extreme(scale)
    if rows.device.type == "cpu" and not bool(extreme):
        return rows
    return rows / torch.where(extreme, _usable(scale), 1.0)


def widened(rows: Tensor) -> Tensor:
    """Rows of (N, D) to be measured as given, in float64 if float32 cannot hold their squares."""
    wide = accumulator_dtype(rows.device)
    if rows.dtype == wide or not rows.numel():
        return rows
    return rows.to(wide) if bool(is_extreme(rows.detach().abs().amax())) else rows


def unit_text(text: Tensor) -> Tensor:
    """Unit rows (K, D) of text features (K, D), or (N, K, D) where they depend on the image.

    The latter are the directions of their mean over the images, each image's rows normalised first:
    what the geometry of such text is measured on.
    """
    rows = normalise_rows(text)
    return rows if rows.ndim == 2 else normalise_rows(rows.mean(dim=0))


def centre_rows(rows: Tensor) -> Tensor:
    """Subtract the mean row from each of (K, D) rows.

    A row that the subtraction leaves at rounding level is set to exactly zero: what remains of it
    is noise, and a cosine with noise would read as a number. NaN stays NaN.
    """
    centred = rows - rows.mean(dim=0)
    scale = rows.detach().norm(dim=1).max()
    noise = 4 * torch.finfo(rows.dtype).eps * scale
    return torch.where(centred.detach().norm(dim=1, keepdim=True) <= noise, 0.0, centred)


def class_rows(name: str, rows: Tensor, *, centred: bool, keep_scale: bool = False) -> Tensor:
    """Check (K, D) class vectors and give them in their working dtype, centred if asked for.

    Of a magnitude that can be squared, unless their scale is to be kept.
    """
    check_class_rows(name, rows)
    rows = working(rows) if keep_scale else rescaled(working(rows))
    return centre_rows(rows) if centred else rows


def pairwise_cosines(rows: Tensor, other: Tensor | None = None, *, centred: bool = False) -> Tensor:
    """Cosines (K, K') of the rows of (K, D) with one another, or with those of (K', D).

    Centred: each side minus its own mean row. Range [-1, 1]. A zero row gives a row of NaN.
    """
    directions = normalise_rows(class_rows("rows", rows, centred=centred))
    if other is None:
        return directions @ directions.T
    return directions @ normalise_rows(class_rows("other", other, centred=centred)).T


def frobenius_norm(matrix: Tensor) -> Tensor:
    """Frobenius norm of (K, D), by rows first.

    `torch.linalg.norm` adds up a million float32 squares one after another on the CPU and is off
    by 3e-4 at K = 1000, and by rows in float32 still by 1.5e-6; the square root of a sum has no
    gradient at 0. This has neither fault.
    """
    by_row = torch.linalg.vector_norm(matrix, dim=1, dtype=accumulator_dtype(matrix.device))
    return torch.linalg.vector_norm(by_row).to(matrix.dtype)


def accumulator_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on devices that have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def off_diagonal(matrix: Tensor) -> Tensor:
    """The K(K-1) entries of a (K, K) matrix that are not on its diagonal, as one vector."""
    size = matrix.shape[0]
    # Dropping the first entry makes every diagonal entry the last of a row of K + 1.
    return matrix.flatten()[1:].view(size - 1, size + 1)[:, :-1].flatten()
