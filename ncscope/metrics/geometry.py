"""NC2, the geometry of class vectors: how near they are to a simplex equiangular tight frame.

K classes, D embedding width. Vectors are used as given: l2-normalise text features first
(`normalise_rows`) for this library's convention; image class means are not re-normalised.
A simplex ETF of K vectors needs D >= K - 1: with ViT-B/16's D = 512, the 1000 ImageNet classes
cannot reach 0 on any measure in this file (floors: `ncscope.metrics.frames`).
"""

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ncscope._checks import working
from ncscope.errors import ShapeError
from ncscope.metrics.frames import etf_gram
from ncscope.metrics.one_pass import cosine_summary_of, minus_half_log
from ncscope.metrics.pairs import (
    LogPowers,
    Spread,
    is_crowded,
    mean_over_pairs,
    mean_product,
    neighbours_of,
    products,
    squared_distances,
)
from ncscope.metrics.rows import (
    accumulator_dtype,
    centre_rows,
    class_rows,
    frobenius_norm,
    normalise_rows,
)
from ncscope.metrics.second import second_moment

LcdForm = Literal["cosine", "cosine_rms", "frobenius"]


def etf_distance(rows: Tensor, *, centred: bool = False) -> Tensor:
    """Distance of the Gram matrix of (K, D) class vectors from a simplex ETF's.

    || G G^T / ||G G^T||_F - E ||_F with E = (I - 1 1^T / K) / sqrt(K - 1) (Zhu et al. 2021, NC2).

    Returns:
        Scalar, lower is more collapsed, 0 for a simplex ETF. Raw in [0, sqrt(2)]; centred in
        [0, sqrt(2 - 2 / sqrt(K - 1))]. It depends on K at fixed geometry: never compare it
        across data sets. Differentiable. NaN where all rows, centred if asked for, are zero.
    """
    return product_distance(rows, rows, centred=(centred, centred))


def gram_distance(gram: Tensor) -> Tensor:
    """|| X / ||X||_F - E ||_F of a (K, K) matrix; in [0, 2], 0 for an ETF's Gram matrix."""
    # Written as a difference: 2 - 2<X, E> would lose half of the digits near 0.
    return frobenius_norm(gram / frobenius_norm(gram) - etf_gram(len(gram), like=gram))


def product_distance(rows: Tensor, other: Tensor, *, centred: tuple[bool, bool]) -> Tensor:
    """`gram_distance` of A B^T of (K, D) A and B, each centred if asked for.

    Without the (K, K) matrix of many classes.
    """
    given = class_rows("rows", rows, centred=False), class_rows("other", other, centred=False)
    if not is_crowded(rows):
        left, right = (
            centre_rows(side) if own else side for side, own in zip(given, centred, strict=True)
        )
        return gram_distance(left @ right.to(left.dtype).T)
    # By || A B^T ||_F^2 = <A^T A, B^T B>
    left, right = (side.to(accumulator_dtype(rows.device)) for side in given)
    first, second = (
        second_moment(side, centred=own) for side, own in zip((left, right), centred, strict=True)
    )
    norm, size = (first * second).sum().sqrt(), len(rows)
    inner = (left * right).sum() - left.sum(dim=0) @ right.sum(dim=0) / size
    return (2 - 2 * inner / (math.sqrt(size - 1) * norm)).sqrt().to(given[0].dtype)


def delta_lcd(
    text: Tensor, *, form: LcdForm = "cosine", power: int = 1, centred: bool = False
) -> Tensor:
    """Language-modality collapse degree of (K, D) text features.

    After Definition 2 of arXiv:2306.15955; the definition is this project's own.

    Forms:
        cosine: mean over i != j of |cos(g_i, g_j) + 1/(K-1)|^power. In [0, (K/(K-1))^power];
            nearly free of K, so fit for comparison across data sets.
        cosine_rms: square root of the above at power 2.
        frobenius: `etf_distance`, in [0, sqrt(2)]; `power` is not used.

    Args:
        power: 1 for a reported value; 2, smooth at the optimum, is the loss L_LC.
        centred: subtract the mean row first. Softmax does not see what that removes.

    Returns:
        Scalar, lower is more collapsed, 0 for a simplex ETF. Differentiable. NaN where a row,
        centred if asked for, is zero.
    """
    if form == "frobenius":
        return etf_distance(text, centred=centred)
    if form not in ("cosine", "cosine_rms"):
        raise ShapeError(
            f"unknown form {form!r} of delta_lcd; known: cosine, cosine_rms, frobenius"
        )
    cosines = products(_directions(text, centred=centred))
    target = -1 / (len(text) - 1)
    if form == "cosine_rms":
        # not sqrt(mean(.)), which has no gradient at an exact ETF
        wide = accumulator_dtype(text.device)
        gaps = ((block.different - target, block.times) for block in cosines)
        norms = [n**0.5 * torch.linalg.vector_norm(gap, dtype=wide) for gap, n in gaps]
        pairs = len(text) * (len(text) - 1)
        return (torch.stack(norms).norm() / math.sqrt(pairs)).to(working(text).dtype)
    if power == 2:
        return mean_over_pairs(cosines, lambda cosine: (cosine - target).square())
    return mean_over_pairs(cosines, lambda cosine: (cosine - target).abs().pow(power))


def _directions(rows: Tensor, *, centred: bool) -> Tensor:
    return normalise_rows(class_rows("rows", rows, centred=centred))


def max_angle(rows: Tensor, *, centred: bool = False) -> Tensor:
    """Papyan's maximal-angle measure: `delta_lcd` at power 1 on any (K, D) class vectors.

    In [0, K/(K-1)], lower is more collapsed, 0 for a simplex ETF (Papyan, Han & Donoho 2020).
    """
    return delta_lcd(rows, centred=centred)


def equinorm(rows: Tensor, *, centred: bool = False, log: bool = False) -> Tensor:
    """Coefficient of variation of the norms of (K, D) class vectors: std / mean, ddof 0.

    In [0, sqrt(K - 1)], lower is more collapsed, 0 for equal norms. `log` takes the coefficient
    of variation of the log norms (Wu & Papyan 2024), which is signed and undefined at mean 0.
    Trivially 0 for raw unit rows, and for K = 2 centred. Differentiable where norms differ.
    """
    norms = class_rows("rows", rows, centred=centred, keep_scale=log).norm(dim=1)
    norms = norms.log() if log else norms
    return norms.std(correction=0) / norms.mean()


def equiangular(rows: Tensor, *, centred: bool = False) -> Tensor:
    """Standard deviation of the cosines between different rows of (K, D), ddof 0.

    In [0, 1], lower is more collapsed, 0 for equal angles. It does not see which angle: read it
    beside `delta_lcd`. Differentiable where the angles differ.
    """
    return cosine_summary(rows, centred=centred)["std"]


def nearest_cosine(rows: Tensor, *, centred: bool = False) -> Tensor:
    """Mean over the rows of (K, D) of the cosine with the nearest other row.

    In [-1/(K-1), 1], lower is better spread, -1/(K-1) for a simplex ETF alone. Of zero-shot CLIP's
    text it goes with accuracy over data sets, where means over all pairs hardly do: the nearest
    class is the one a class is confused with. NaN where a row, centred if asked for, is zero.
    """
    directions = _directions(rows, centred=centred)
    which = neighbours_of(directions.detach()).which
    return (directions * directions[which]).sum(dim=1).mean()


def cosine_summary(rows: Tensor, *, centred: bool = False) -> dict[str, Tensor]:
    """Mean, standard deviation (ddof 0), min and max cosine of pairs of rows of (K, D), and the
    smallest angle in radians. At a simplex ETF every cosine is -1/(K-1)."""
    directions = _directions(rows, centred=centred)
    spread, ends = Spread(mean_product(directions)), []
    for block in products(directions):
        cosines = block.different
        spread.add(cosines - spread.level, block.times)
        ends.append(torch.stack([cosines.min(), cosines.max()]))
    low, high = torch.stack(ends)[:, 0].min(), torch.stack(ends)[:, 1].max()
    return cosine_summary_of(spread, low, high)


def gnc2(
    rows: Tensor, *, kernel: Literal["log", "dist", "riesz"] = "log", centred: bool = True
) -> tuple[Tensor, Tensor]:
    """Hyperspherical uniformity of (K, D) class directions: mean and variance over pairs i < j.

    With u the normalised rows: `log` is log(1/||u_i - u_j||), lower is more uniform; `dist` is
    ||u_i - u_j||, higher is more uniform; `riesz` is sign(s) ||u_i - u_j||^-s with s = D - 2,
    lower is more uniform. Valid for K > D + 1, where no ETF exists (Wu & Papyan 2024; Liu et al.
    2023). In blocks of the Gram matrix: no (K, K, D) temporary. The Riesz kernel leaves the range
    of float32 at D = 512, so it is returned as the **logarithm** of its mean and of its variance,
    in float64. At an ETF the log kernel's mean is -log(2K/(K-1)) / 2. Two equal rows give inf.
    """
    if kernel not in ("log", "dist", "riesz"):
        raise ShapeError(f"unknown kernel {kernel!r} of gnc2; known: log, dist, riesz")
    if kernel == "riesz" and rows.shape[1] < 3:
        raise ShapeError(f"the riesz kernel needs D > 2; got D = {rows.shape[1]}")
    directions = _directions(rows, centred=centred)
    level = _mean_squared_distance(directions)
    if kernel == "riesz":
        powers = LogPowers(2 - rows.shape[1])
        for block in squared_distances(directions):
            powers.add(0.5 * block.different.to(accumulator_dtype(rows.device)).log(), block.times)
        return powers.log_mean, powers.log_variance
    value = minus_half_log if kernel == "log" else torch.sqrt
    spread = Spread(value(level))
    for block in squared_distances(directions):
        spread.add(value(block.different) - spread.level, block.times)
    return spread.mean, spread.variance


def _mean_squared_distance(rows: Tensor) -> Tensor:
    """Over pairs of different rows, detached: a level that their distances lie around."""
    rows = rows.detach()
    return 2 * (rows.square().sum(dim=1).mean() - mean_product(rows))


def one_vs_rest_distance(rows: Tensor, *, centred: bool = False) -> Tensor:
    """Distance (K,) of each normalised row of (K, D) from the convex hull of the others.

    In [0, 2], higher is better separated; K/(K-1) at a simplex ETF (Jiang et al., ICML 2024).
    Exact: the nearest point of a hull is a non-negative least-squares problem once a row of ones
    is added, whose solution, scaled to sum one, is the nearest point. Slow (one small quadratic
    programme a class), so not in reports. Not differentiable.
    """
    directions = normalise_rows(class_rows("rows", rows, centred=centred)).detach()
    points = directions.double().cpu().numpy()
    if not np.isfinite(points).all():
        return directions.new_full((len(points),), torch.nan)
    distances = [_hull_distance(points, index) for index in range(len(points))]
    return directions.new_tensor(distances)


def _hull_distance(points: np.ndarray, index: int) -> float:
    from scipy.optimize import nnls  # a quarter of a second to import, for this measure only

    offsets = np.delete(points, index, axis=0) - points[index]  # (K-1, D): hull seen from the row
    system = np.vstack([offsets.T, np.ones(len(offsets))])
    weights, _ = nnls(system, np.append(np.zeros(points.shape[1]), 1.0))
    return float(np.linalg.norm(weights @ offsets) / weights.sum())
