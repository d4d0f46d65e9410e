"""Axes of a three-dimensional view: principal directions, the Procrustes turn, the simplex itself.

K class vectors, D width, r <= 3 axes.
"""

import torch
from torch import Tensor

from ncscope.metrics.frames import simplex_etf

EXACT = 4  # as many class vectors as three dimensions hold without loss, once centred
_FEW = 16  # up to this many vectors or dimensions the axes come from an SVD


def principal_axes(rows: Tensor) -> Tensor:
    """At most three orthonormal columns (D, r) that keep most of the squared length of (K, D) rows.

    Fewer where the rows span fewer dimensions. The largest coordinate on each axis is positive.
    """
    axes = _few_axes(rows) if min(rows.shape) <= _FEW else _many_axes(rows)
    coordinates = rows @ axes
    largest = coordinates.abs().argmax(dim=0, keepdim=True)
    return axes * torch.where(coordinates.gather(0, largest) < 0, -1.0, 1.0)


def _few_axes(rows: Tensor) -> Tensor:
    """Leading right singular vectors, to the last digit."""
    _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
    noise = sizes[0] * max(rows.shape) * torch.finfo(rows.dtype).eps
    return directions[: min(3, int((sizes > noise).sum()))].T


def _many_axes(rows: Tensor) -> Tensor:
    """The same from the smaller Gram matrix: tens of times faster at K = 1000, D = 512, and good
    to half the digits, which is more than a principal view can show."""
    num_classes, width = rows.shape
    gram = rows.T @ rows if width <= num_classes else rows @ rows.T
    values, vectors = torch.linalg.eigh(gram)
    noise = values[-1] * max(rows.shape) * torch.finfo(rows.dtype).eps
    kept = vectors[:, max(len(values) - 3, int((values <= noise).sum())) :].flip(1)
    if width <= num_classes:
        return kept
    return torch.linalg.qr(rows.T @ kept).Q


def procrustes(coordinates: Tensor, target: Tensor) -> Tensor:
    """The (r, 3) turn or reflection Q with Q Q^T = I that takes (K, r) coordinates nearest to a
    (K, 3) target: with coordinates^T target = U S V^T, Q = U V^T (Schönemann 1966)."""
    left, _, right = torch.linalg.svd(coordinates.T @ target, full_matrices=False)
    return left @ right


def regular_simplex(num_classes: int) -> Tensor:
    """Unit vertices (K, 3) of a segment (K = 2), triangle or tetrahedron standing upright."""
    corners = simplex_etf(num_classes, 3)
    # Helmert's frame has its last vertex alone on the last axis: that one points up.
    return corners if num_classes < EXACT else corners * torch.tensor([1.0, 1.0, -1.0])
