"""The simplex equiangular tight frame, and what can be reached where none exists.

K unit vectors with all cosines -1/(K-1): as rows, as a Gram matrix, nearest to given text. It needs
D >= K - 1; for fewer dimensions there are floors. Report (value, floor): at K = 1000, D = 512, an
`etf_distance` of 0.754 is as collapsed as it gets. K classes, D embedding width.
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


def etf_distance_floor(num_classes: int, width: int) -> float:
    """Least `etf_distance` (text, image or cross, raw or centred) of K vectors in D dimensions.

    0 where D >= K - 1, else sqrt(2 - 2 sqrt(D / (K - 1))), attained by zero-sum tight frames.
    """
    return math.sqrt(2 - 2 * math.sqrt(min(1.0, width / (num_classes - 1))))


def etf_distance_ceiling(num_classes: int, *, centred: bool = False) -> float:
    """Largest `etf_distance`: sqrt(2) raw, sqrt(2 - 2/sqrt(K-1)) centred (0 at K = 2)."""
    return math.sqrt(2 - 2 / math.sqrt(num_classes - 1)) if centred else math.sqrt(2)


def delta_lcd_floor(num_classes: int, width: int, *, power: int = 2) -> float:
    """Least `delta_lcd` (cosine) at power 2: 0 where D >= K - 1, else
    K (K-1-D) / (D (K-1)^2), attained by zero-sum unit tight frames.

    At power 1 no closed form is known; 0 is returned where it is reached, else NaN.
    """
    short = num_classes - 1 - width
    if short <= 0:
        return 0.0
    return math.nan if power != 2 else num_classes * short / (width * (num_classes - 1) ** 2)


def delta_lcd_ceiling(num_classes: int, *, power: int = 1) -> float:
    """Largest `delta_lcd` (cosine): (K/(K-1))^power, where all rows are equal."""
    return (num_classes / (num_classes - 1)) ** power


def welch_bound(num_classes: int, width: int) -> float:
    """Least root-mean-square cosine of K unit vectors in D dimensions (Welch); 0 for K <= D."""
    return math.sqrt(max(0.0, num_classes - width) / (width * (num_classes - 1)))


def rankin_bound(num_classes: int, width: int) -> float:
    """Least possible largest cosine: -1/(K-1) for K <= D + 1, else 0 (Rankin; attained up to 2D).

    For K > 2D, 0 is still a lower bound but no longer attained.
    """
    return -1 / (num_classes - 1) if num_classes <= width + 1 else 0.0
