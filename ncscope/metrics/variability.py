"""NC1, within-class variability: how far samples have collapsed onto their class means.

N samples, K classes, D embedding width. Sigma_W = unweighted mean of per-class covariances,
Sigma_B = (1/K) sum_c (h_c - mean H)(h_c - mean H)^T. All measures here are blind to a common
shift, so raw and centred agree. Classes with one sample keep their mean but are left out of
Sigma_W, where they would read as collapsed.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from ncscope._checks import check_finite
from ncscope.errors import ShapeError
from ncscope.metrics.moments import ClassMoments, class_moments
from ncscope.metrics.pairs import Block, squared_distances
from ncscope.metrics.rows import centre_rows

Nc1Variant = Literal["default", "papyan", "svd", "quotient", "weak", "corrected"]


@dataclass(frozen=True, eq=False)
class Whitening:
    """A (D, r) with A A^T = Sigma_B^+, its eigenvalues (r,), and how well it is determined.

    `rank` directions were kept, those with eigenvalue > `rtol` times the largest; `condition` is
    the ratio of the largest to the smallest kept, NaN where none was. Fewer than `full_rank` =
    min(K-1, D) means that class means are dependent: two coincide, or lie in fewer dimensions.
    """

    matrix: Tensor
    eigenvalues: Tensor
    rank: int
    full_rank: int
    rtol: float
    condition: float


def whitening(moments: ClassMoments, *, rank: int | None = None) -> Whitening:
    """Whiten the between-class scatter through the smaller of its two Gram matrices, in float64.

    Args:
        rank: keep exactly that many directions, as peers do with K - 1; by default all above
            `rtol` = 4 max(K, D) eps(float64), raised to the rounding level of the stored features.

    Raises:
        ShapeError: `rank` directions do not exist, all class means coincide, or some are NaN.
    """
    means = moments.means[moments.present]
    check_finite("class means", means.detach())
    offsets = centre_rows(means)
    num_classes, width = offsets.shape
    small = num_classes <= width
    gram = (offsets @ offsets.T if small else offsets.T @ offsets) / num_classes
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0), vectors.flip(1)
    largest = float(values[0])
    if not largest > 0:
        raise ShapeError("all class means coincide: the between-class scatter is zero")
    full_rank = min(num_classes - 1, width)
    # Rounding of the stored rows moves an eigenvalue by at most about (eps/2)^2 |h|^2.
    stored = (moments.resolution / 2) ** 2 * float(means.square().sum(dim=1).max()) / largest
    rounding = 4 * max(num_classes, width) * torch.finfo(values.dtype).eps
    rtol = max(rounding, stored)
    cut = rtol if rank is None else rounding  # what is asked for may be noise, but must be there
    kept = min(full_rank, int((values > cut * largest).sum()))
    if rank is not None and rank > kept:
        raise ShapeError(
            f"the between-class scatter of K = {num_classes} classes in D = {width} dimensions "
            f"has rank {kept} (at most {full_rank}); {rank} directions were asked for"
        )
    kept = kept if rank is None else rank
    if not kept:
        raise ShapeError(
            f"the class means differ by no more than the rounding of the features (relative "
            f"{moments.resolution:.0e} of their length); subtract what they share in higher "
            f"precision, or give float64"
        )
    values, vectors = values[:kept], vectors[:, :kept]
    if small:  # eigenvectors of H H^T give those of H^T H: u = H^T v / sqrt(K lambda)
        matrix = offsets.T @ vectors / (values * math.sqrt(num_classes))
    else:
        matrix = vectors / values.sqrt()
    return Whitening(matrix, values, kept, full_rank, rtol, largest / float(values[-1]))


def whitening_if_any(moments: ClassMoments) -> Whitening:
    """`whitening`, of rank 0 where the class means are one up to rounding, or are only one."""
    try:
        return whitening(moments)
    except ShapeError:
        means = moments.means[moments.present]
        check_finite("class means", means)
        full_rank = min(len(means) - 1, means.shape[1])
        empty = means.new_zeros(means.shape[1], 0)
        return Whitening(empty, means.new_zeros(0), 0, full_rank, math.nan, math.nan)


def spread_classes(counts: Tensor, *, keep_singletons: bool = False) -> Tensor:
    """Mask (K,) of the classes whose spread is defined: two samples or more."""
    return counts >= (1 if keep_singletons else 2)


def nc1(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    variant: Nc1Variant = "default",
    keep_singletons: bool = False,
) -> Tensor:
    """Within-class variability of (N, D) features, relative to the spread of the class means.

    Variants:
        default: tr(Sigma_W Sigma_B^+) / K (Papyan, Han & Donoho 2020 as used by Zhu et al. 2021),
            the pseudo-inverse cut at `whitening`'s rtol.
        papyan: the same trace, not divided by K, with rank K - 1 forced (Papyan's notebook).
        svd: divided by K, with rank K - 1 forced (Han et al. 2022).
        quotient: tr Sigma_W / tr Sigma_B (Tirer et al. 2023).
        corrected: the quotient of unbiased estimates of both traces, see `spread_ratio`.
        weak: tr Sigma_W / (tr Sigma_W + tr Sigma_B), in [0, 1] (Rangamani et al. 2023).

    Returns:
        Scalar >= 0, lower is more collapsed, 0 at perfect collapse. Differentiable where the
        rank of the class means is constant. NaN if no class has two samples.

    Raises:
        ShapeError: wrong shapes or labels, fewer than two classes present, all class means equal,
            or K - 1 > D for the variants that force the rank.
    """
    moments = class_moments(features, labels, num_classes)
    eligible = spread_classes(moments.counts, keep_singletons=keep_singletons)
    if variant in ("quotient", "weak", "corrected"):
        weak, corrected = variant == "weak", variant == "corrected"
        return spread_ratio(
            moments, weak=weak, corrected=corrected, keep_singletons=keep_singletons
        )
    if variant not in ("default", "papyan", "svd"):
        raise ShapeError(
            f"unknown variant {variant!r} of nc1; known: {', '.join(get_args(Nc1Variant))}"
        )
    present = len(moments.present)
    inverse = _scatter_inverse(moments, forced=variant != "default")
    kept = labels >= 0
    residuals = features[kept].to(moments.means.dtype) - moments.means[labels[kept]]
    shares = ((residuals @ inverse) * residuals).sum(dim=1)
    sums = shares.new_zeros(num_classes).index_add(0, labels[kept], shares)
    trace = (sums / moments.counts)[eligible].mean()
    return trace if variant == "papyan" else trace / present


def _scatter_inverse(moments: ClassMoments, *, forced: bool) -> Tensor:
    """Sigma_B^+ (D, D), differentiable: `pinv` has a gradient that needs no eigenvector's."""
    present = len(moments.present)
    white = whitening(
        ClassMoments(
            moments.counts,
            moments.means.detach(),
            moments.spreads.detach(),
            moments.ignored,
            moments.resolution,
        ),
        rank=present - 1 if forced else None,
    )
    if not moments.means.requires_grad:
        return white.matrix @ white.matrix.T
    offsets = centre_rows(moments.means[moments.present])
    scatter = offsets.T @ offsets / present
    # Cut halfway (in ratio) between the smallest direction kept and rounding.
    rtol = max(white.rtol, 1e-3 / white.condition) if not forced else 1e-3 / white.condition
    return torch.linalg.pinv(scatter, rtol=rtol, hermitian=True)


def spread_ratio(
    moments: ClassMoments, *, weak: bool = False, corrected: bool = False,
    keep_singletons: bool = False,
) -> Tensor:  # fmt: skip
    """tr Sigma_W / tr Sigma_B (`nc1/quotient`), or over their sum (`nc1/weak`), from moments.

    Lower is more collapsed, 0 at perfect collapse; weak in [0, 1].

    corrected (`nc1/corrected`): of few images a class, a class's spread v_c about its own sample
    mean is too small by (n_c - 1) / n_c, and the sample means lie apart also where the true ones
    do not: with u_c = v_c n_c / (n_c - 1), E tr Sigma_B is the true one plus
    (1 - 1/P) mean_c(u_c / n_c) over P classes. Both are taken out, of classes with two images or
    more: each trace is then unbiased, their ratio consistent; NaN where the images show no
    spread of means beyond their noise, or are of one class. A derivation of our own, no paper's.
    """
    eligible = spread_classes(moments.counts, keep_singletons=keep_singletons and not corrected)
    spreads = moments.spreads[eligible]
    if corrected and len(spreads) < 2:
        return moments.means.new_full((), math.nan)
    shown = eligible if corrected else moments.present
    between = centre_rows(moments.means[shown]).square().sum(dim=1).mean()
    if corrected:
        spreads, noise = _unbiased(moments, eligible)
        between = _above_0(between - (1 - 1 / len(spreads)) * noise.mean())
    within = spreads.mean()
    return within / (within + between) if weak else within / between


def _unbiased(moments: ClassMoments, eligible: Tensor) -> tuple[Tensor, Tensor]:
    """Each class's unbiased spread, and the part of it that its mean has as noise."""
    counts = moments.counts[eligible].to(moments.spreads.dtype)
    spreads = moments.spreads[eligible] * counts / (counts - 1)
    return spreads, spreads / counts


def _above_0(value: Tensor) -> Tensor:
    """NaN where noise is more than what is left."""
    return torch.where(value > 0, value, math.nan)


def cdnv(
    moments: ClassMoments, *, dist_exp: float = 1.0, corrected: bool = False,
    keep_singletons: bool = False,
) -> Tensor:  # fmt: skip
    """Class-distance normalised variance (Galanti et al. 2021).

    Mean over pairs c < c' of (v_c + v_c') / (2 ||h_c - h_c'||^(2 dist_exp)), population variances,
    over classes with two samples or more. In blocks of the Gram matrix.

    corrected (`cdnv/corrected`): of unbiased variances u_c, and of squared distances less
    u_c / n_c + u_c' / n_c', which the noise of the means adds, as in `spread_ratio`.

    Returns:
        Scalar >= 0, lower is more collapsed, 0 at perfect collapse; inf where two class means
        coincide. NaN with fewer than two such classes, and, corrected, where two means lie no
        farther apart than their noise. Differentiable.
    """
    eligible = spread_classes(moments.counts, keep_singletons=keep_singletons and not corrected)
    ratio = VarianceRatio(moments, eligible, dist_exp=dist_exp, corrected=corrected)
    if int(eligible.sum()) > 1:
        for block in squared_distances(moments.means[eligible]):
            ratio.add(block)
    return ratio.mean()


class VarianceRatio:
    """`cdnv` of the P classes `eligible`, from blocks of the squared distances of their means."""

    def __init__(
        self, moments: ClassMoments, eligible: Tensor, *, dist_exp: float = 1.0,
        corrected: bool = False,
    ) -> None:  # fmt: skip
        self.spreads, self.dist_exp, self.corrected = moments.spreads[eligible], dist_exp, corrected
        self.noise = torch.zeros_like(self.spreads)
        if corrected:
            self.spreads, self.noise = _unbiased(moments, eligible)
        self.total = self.spreads.new_zeros(())

    def add(self, block: Block) -> None:
        """The squared distances of a block's pairs."""
        sums = self.spreads[block.rows].unsqueeze(1) + self.spreads[block.columns]
        gaps = block.different
        if self.corrected:
            added = self.noise[block.rows].unsqueeze(1) + self.noise[block.columns]
            gaps = _above_0(gaps - replace(block, values=added).different)
        powers = gaps if self.dist_exp == 1 else gaps.pow(self.dist_exp)
        ratios = replace(block, values=sums).different / (2 * powers)
        # Two coinciding means are infinitely unseparated, also where both classes are points.
        ratios = torch.where(gaps == 0, math.inf, ratios)
        self.total = self.total + block.times * ratios.sum()

    def mean(self) -> Tensor:
        """Over all pairs of classes; NaN where there are none."""
        size = len(self.spreads)
        return self.total / (size * (size - 1)) if size > 1 else self.total.new_full((), math.nan)
