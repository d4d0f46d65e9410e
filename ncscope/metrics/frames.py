"""The simplex equiangular tight frame itself: as vectors, as a Gram matrix, nearest to given text.

K classes, D embedding width. K unit vectors with all cosines -1/(K-1); it needs D >= K - 1.
"""

import math

import torch
from torch import Tensor

from ncscope._checks import check_class_rows, check_finite, working
from ncscope.errors import ShapeError


def simplex_etf(
    num_classes: int,
    width: int,
    *,
    seed: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Unit rows (K, D) of a simplex ETF: M M^T = (K I - 1 1^T) / (K - 1).

    Definition 1 of arXiv:2306.15955 (standard). Built on an orthonormal basis of the zero-sum
    subspace, so D = K - 1 is enough, where the usual QR of a (D, K) matrix needs D >= K.

    Args:
        seed: orientation of the frame; None puts it on the first K - 1 axes.

    Raises:
        ShapeError: K < 2, or D < K - 1, where no such frame exists.
    """
    if num_classes < 2:
        raise ShapeError(f"a simplex ETF needs at least 2 classes; got K = {num_classes}")
    _require_room(num_classes, width)
    span = num_classes - 1
    rows = math.sqrt(num_classes / span) * _zero_sum_basis(num_classes)  # (K, K-1)
    if seed is None:
        frame = torch.zeros(num_classes, width, dtype=torch.float64)
        frame[:, :span] = rows
    else:
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(width, span, dtype=torch.float64, generator=generator)
        frame = rows @ torch.linalg.qr(draw).Q.T
    return frame.to(device=device, dtype=dtype)


def etf_gram(num_classes: int, *, like: Tensor) -> Tensor:
    """E = (I - 1 1^T / K) / sqrt(K - 1), the (K, K) Gram matrix of an ETF scaled to norm one."""
    eye = torch.eye(num_classes, dtype=like.dtype, device=like.device)
    return (eye - 1 / num_classes) / math.sqrt(num_classes - 1)


def nearest_etf(text: Tensor) -> Tensor:
    """Unit rows (K, D) of the simplex ETF nearest to the centred text features, detached.

    Orthogonal Procrustes: of all rotations of the frame, the one with the largest inner product
    with G - mean(G). With B (K, K-1) an orthonormal basis of the zero-sum vectors and the thin
    SVD B^T G = U S V^T, it is sqrt(K/(K-1)) B U V^T. Unique only if the centred text has rank
    K - 1; else one of the nearest.

    Raises:
        ShapeError: K > D + 1, where no simplex ETF exists; NaN or inf (rows named).
    """
    check_class_rows("text", text)
    num_classes, width = text.shape
    _require_room(num_classes, width)
    check_finite("text", text)
    basis = _zero_sum_basis(num_classes).to(text.device)
    # In the basis: the SVD of G - mean(G) itself would fill a missing rank with any vectors, some
    # of them not zero-sum, and what came back would be no ETF.
    left, _, right = torch.linalg.svd(basis.T @ text.detach().double(), full_matrices=False)
    rows = math.sqrt(num_classes / (num_classes - 1)) * (basis @ left @ right)
    return rows.to(working(text).dtype)


def _zero_sum_basis(num_classes: int) -> Tensor:
    """Orthonormal basis (K, K-1) of the vectors that sum to zero: Helmert's matrix.

    Column j spreads the unit vector e_{j+1} against the j + 1 coordinates before it.
    """
    order = torch.arange(1, num_classes, dtype=torch.float64)
    basis = torch.ones(num_classes, num_classes - 1, dtype=torch.float64).triu()
    basis.diagonal(offset=-1).copy_(-order)
    return basis / torch.sqrt(order * (order + 1))


def _require_room(num_classes: int, width: int) -> None:
    if width < num_classes - 1:
        raise ShapeError(
            f"no simplex ETF of K = {num_classes} classes exists in D = {width} dimensions: "
            f"it needs D >= K - 1 = {num_classes - 1}"
        )
