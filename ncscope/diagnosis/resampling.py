"""A run's images drawn anew within their class, many times, without ever gathering a row.

N labelled samples, K classes, P of them with images, D embedding width, R replicates, r whitened
directions. A replicate is a weight w_i a sample: how often it was drawn. With e_i = x_i - h_y the
residual from the class mean of the whole set, the replicate's mean is h_y + d_y with
d_y = sum w_i e_i / n_y, so that one product a class gives the means of all replicates; what text
decides (class, hit, confidence, cosine) does not depend on the draw and is computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ncscope._checks import working
from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.sides import ImageSide
from ncscope.metrics import (
    ClassMoments,
    SampleMeasures,
    Whitening,
    centre_rows,
    normalise_rows,
)
from ncscope.metrics.accuracy import BINS
from ncscope.metrics.pairs import Distances
from ncscope.metrics.variability import whitening_if_any

_BYTES = 128 << 20  # of what the replicates that are made together hold
_SCORES = 1 << 22  # images x classes whose scores are held at a time
_SLACK = 1e-5  # of the triangle inequality, for rounding in float32


@dataclass(frozen=True, eq=False)
class Fixed:
    """What no draw changes; rows sorted by class, labelled ones only.

    residuals (N, D) e_i; squares (N,) |e_i|^2; own (N,) classes as places among those present;
    bounds (P + 1,) where each class's rows begin. With text also hits, cosines, confidence (N,)
    (None without a scale) and chosen (N,) the class that text decides for, among those present.
    """

    moments: ClassMoments
    order: Tensor
    own: Tensor
    bounds: list[int]
    residuals: Tensor
    squares: Tensor
    hits: Tensor | None
    cosines: Tensor | None
    chosen: Tensor | None
    confidence: Tensor | None


def fixed_of(prepared: Prepared, side: ImageSide, text: Tensor | None) -> Fixed:
    """Residuals and decisions of the run's labelled images; `text` (K, D) as in its sweeps."""
    image, label = prepared.image, prepared.label
    assert image is not None
    assert label is not None
    order = torch.argsort(label, stable=True)
    order = order[label[order] >= 0]
    present, moments = side.present, side.moments
    place = torch.zeros_like(moments.counts)
    place[present] = torch.arange(len(present), device=place.device)
    own = place[label[order]]
    rows = working(image[order])
    rows = normalise_rows(rows) if prepared.normalise else rows
    hits = cosines = chosen = confidence = None
    if text is not None:
        weights = (normalise_rows(text) if prepared.normalise else text).to(rows)
        step = max(64, min(8192, _SCORES // len(weights)))
        found = [_decided(part, weights, prepared, present) for part in rows.split(step)]
        best, chosen, values = (torch.cat(part) for part in zip(*found, strict=True))
        hits = best == label[order]
        own_text = weights[label[order]]
        cosines = (rows * own_text).sum(dim=1).double()
        confidence = values.double() if prepared.logit_scale is not None else None
    residuals = rows.sub_(moments.means[label[order]].to(rows))
    squares = torch.linalg.vector_norm(residuals, dim=1).double().square()
    ends = moments.counts[present].cumsum(0).tolist()
    return Fixed(
        moments, order, own, [0, *ends], residuals, squares, hits, cosines, chosen, confidence
    )


def _decided(
    rows: Tensor, weights: Tensor, prepared: Prepared, present: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of rows (B, D): the class chosen, the place chosen among those present, the confidence."""
    logits = rows @ weights.T
    if prepared.logit_scale is not None:
        logits = logits * prepared.logit_scale.to(logits)
    among = logits[:, present].argmax(dim=1)
    return logits.argmax(dim=1), among, logits.softmax(dim=1).amax(dim=1)


def replicates_of(
    fixed: Fixed, draws: Iterator[Tensor], *, size: int
) -> Iterator[tuple[ClassMoments, SampleMeasures]]:
    """Moments and sample measures of each draw of `size` images, as a sweep over it has them.

    Those of a group are made together: their means by one product a class, and their whitened
    residuals by one product in all.
    """
    rows, width = fixed.residuals.shape
    classes = len(fixed.bounds) - 1
    columns = max(1, _BYTES // (4 * rows)) // min(classes, width)  # of whitened residuals
    group = max(1, min(columns, _BYTES // (8 * width * classes)))
    while weights := [w for _, w in zip(range(group), _weights(fixed, draws, size), strict=False)]:
        table = torch.stack(weights)  # (R, N)
        sums = [
            table[:, start:stop].to(fixed.residuals) @ fixed.residuals[start:stop]
            for start, stop in zip(fixed.bounds, fixed.bounds[1:], strict=False)
        ]
        shifts = torch.stack(sums, dim=1).double()  # (R, P, D), still sums
        shifts /= fixed.moments.counts[fixed.moments.present].unsqueeze(1)
        moments = [_moments(fixed, *one) for one in zip(table, shifts, strict=True)]
        whites = [whitening_if_any(one) for one in moments]
        matrix = torch.cat([white.matrix for white in whites], dim=1).to(fixed.residuals)
        projected = (fixed.residuals @ matrix).split([white.rank for white in whites], dim=1)
        for one in zip(moments, whites, table, shifts, projected, strict=True):
            yield one[0], _samples(fixed, *one)


def _weights(fixed: Fixed, draws: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """How often each sorted row was drawn, (N,) float64."""
    for index in draws:
        yield torch.bincount(index, minlength=size)[fixed.order].double()


def _moments(fixed: Fixed, weight: Tensor, shift: Tensor) -> ClassMoments:
    """Of one replicate, from its weights (N,) and the shift of its means (P, D)."""
    base = fixed.moments
    means = base.means.clone()
    means[base.present] += shift
    spreads = _mean(fixed, weight * fixed.squares) - shift.square().sum(dim=1)
    return replace(base, means=means, spreads=_put(base, spreads.clamp_min(0)))


def _samples(
    fixed: Fixed, moments: ClassMoments, white: Whitening, weight: Tensor, shift: Tensor,
    projected: Tensor,
) -> SampleMeasures:  # fmt: skip
    """Of one replicate; `projected` (N, r) are the residuals in its whitened directions."""
    moved = shift @ white.matrix  # (P, r)
    parts = torch.linalg.vector_norm(projected, dim=1).double().square()
    shares = _mean(fixed, weight * parts) - moved.square().sum(dim=1)
    shares = shares if white.rank else torch.full_like(shares, torch.nan)  # no units to be in
    found = SampleMeasures(
        counts=moments.counts, shares=_put(moments, shares.clamp_min(0)), spreads=moments.spreads,
        ncc_correct=torch.full_like(moments.spreads, torch.nan),  # no interval asks for it
        agree=None, correct=None, cosines=None, bins=None, white=white,
    )  # fmt: skip
    if fixed.hits is None or fixed.cosines is None:
        return found
    agree = _agree(fixed, weight, moments, white, projected, moved, shift)
    agree = agree if white.rank else torch.full_like(agree, torch.nan)  # no nearest of equal means
    columns = (weight * agree, weight * fixed.hits, weight * fixed.cosines)
    agree, correct, cosines = (_put(moments, _mean(fixed, column)) for column in columns)
    return replace(found, agree=agree, correct=correct, cosines=cosines, bins=_bins(fixed, weight))


def _agree(
    fixed: Fixed, weight: Tensor, moments: ClassMoments, white: Whitening, projected: Tensor,
    moved: Tensor, shift: Tensor,
) -> Tensor:  # fmt: skip
    """Whether the class that text chose has the nearest of the replicate's means, (N,) float64.

    As in the second sweep: x is nearest to the k with the largest <x - m_y, m_k> - |m_k - m_y|^2/2,
    and a sample nearer to its own mean than half the way to the next is its own mean's without a
    product. Rows that were not drawn are not looked at.
    """
    assert fixed.chosen is not None
    offsets = centre_rows(moments.means[moments.present])
    distances = Distances(offsets)
    half_way = distances.to_nearest().sqrt() / 2
    agree = fixed.chosen == fixed.own
    reach = fixed.squares.sqrt() + shift.norm(dim=1)[fixed.own]
    near = reach * (1 + _SLACK) < half_way[fixed.own]
    open_ = ((weight > 0) & ~near).nonzero().squeeze(1)
    # <x - m_y, m_k> by the r whitened directions, in which the means lie: A'x undone by L A'm
    centres = ((offsets @ white.matrix) * white.eigenvalues).to(projected).T
    moved = moved.to(projected)
    for rows in open_.split(max(64, _SCORES // len(offsets))):
        own = fixed.own[rows]
        met = projected[rows].sub_(moved[own])
        scores = distances.of(own, met.dtype).addmm_(met, centres, beta=-0.5)
        chosen = scores.gather(1, fixed.chosen[rows].unsqueeze(1)).squeeze(1)
        agree[rows] = chosen >= scores.amax(dim=1)
    return agree.double()


def _bins(fixed: Fixed, weight: Tensor) -> Tensor | None:
    """`confidence_bins` of the images drawn."""
    if fixed.confidence is None or fixed.hits is None:
        return None
    which = (fixed.confidence * BINS).ceil().long().clamp(1, BINS) - 1
    places = fixed.moments.present[fixed.own] * BINS + which
    columns = torch.stack([weight, weight * fixed.confidence, weight * fixed.hits.double()], dim=1)
    size = len(fixed.moments.counts)
    bins = columns.new_zeros(size * BINS, 3)
    return bins.index_add_(0, places, columns).view(size, BINS, 3)


def _mean(fixed: Fixed, values: Tensor) -> Tensor:
    """Class means (P,) of a value a sorted row, in which the weights are."""
    counts = fixed.moments.counts[fixed.moments.present]
    return values.new_zeros(len(counts)).index_add_(0, fixed.own, values) / counts


def _put(moments: ClassMoments, of_present: Tensor) -> Tensor:
    """(K,) of (P,): NaN for the classes without images."""
    values = torch.full_like(moments.spreads, torch.nan)
    values[moments.present] = of_present.to(values)
    return values
