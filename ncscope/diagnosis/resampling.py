"""A run's images drawn anew within their class, many times, without ever gathering a row.

N labelled samples, K classes, P of them with images, D embedding width, R replicates. A replicate
is a weight w_i a sample: how often it was drawn. With e_i = x_i - h_y the residual from the class
mean of the whole set, the replicate's mean is h_y + d_y with d_y = sum w_i e_i / n_y, so that one
product a class gives the means of all replicates; what text decides (class, hit, confidence) does
not depend on the draw and is computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ncscope._checks import working
from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.sides import ImageSide
from ncscope.features.processes import ALONE, Spread, own_parts, put_together
from ncscope.metrics import ClassMoments, normalise_rows
from ncscope.metrics.accuracy import BINS

_BYTES = 64 << 20  # of what the replicates that are made together hold
_GROUPS = 8  # at least, of as many replicates
_SCORES = 1 << 22  # images x classes whose scores are held at a time


@dataclass(frozen=True, eq=False)
class Fixed:
    """What no draw changes; rows sorted by class, labelled ones only.

    residuals (N, D) e_i; squares (N,) |e_i|^2; own (N,) classes as places among those present;
    bounds (P + 1,) where each class's rows begin. With text also hits and chosen (N,), the class
    that text decides for among those present, and with a scale confidence (N,).
    """

    moments: ClassMoments
    order: Tensor
    own: Tensor
    bounds: list[int]
    residuals: Tensor
    squares: Tensor
    hits: Tensor | None
    chosen: Tensor | None
    confidence: Tensor | None

    @property
    def counts(self) -> Tensor:
        """(P,) images of each class that has some."""
        return self.moments.counts[self.moments.present]


@dataclass(frozen=True, eq=False)
class Replicate:
    """One draw: its moments, and with text the hit rate of each class (P,) and `bins` (1, 15, 3).

    weights (N,) say how often each sorted row was drawn, shifts (P, D) how far its class's mean
    has gone from that of the whole set.
    """

    moments: ClassMoments
    weights: Tensor
    shifts: Tensor
    correct: Tensor | None
    bins: Tensor | None


def fixed_of(
    prepared: Prepared, side: ImageSide, text: Tensor | None, spread: Spread = ALONE
) -> Fixed:
    """Residuals and decisions of the run's labelled images; `text` (K, D) as in its sweeps.

    Of several processes each decides a share, and has all.
    """
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
    hits = chosen = confidence = None
    if text is not None:
        weights = (normalise_rows(text) if prepared.normalise else text).to(rows)
        step = max(64, min(8192, _SCORES // len(weights)))
        parts = own_parts(len(rows), step, spread)
        found = [
            _decided(rows[int(part[0]) : int(part[-1]) + 1], weights, prepared, present)
            for part in parts
        ]
        best, among, values = put_together(found, parts, spread, rows.device).unbind(dim=1)
        hits, chosen = (best == label[order]).double(), among.long()
        confidence = values.contiguous() if prepared.logit_scale is not None else None
    means = moments.means[present].to(rows)
    bounds = [0, *moments.counts[present].cumsum(0).tolist()]
    for mean, start, stop in zip(means, bounds, bounds[1:], strict=False):
        rows[start:stop] -= mean
    squares = torch.linalg.vector_norm(rows, dim=1).double().square()
    return Fixed(moments, order, own, bounds, rows, squares, hits, chosen, confidence)


def _decided(rows: Tensor, weights: Tensor, prepared: Prepared, present: Tensor) -> Tensor:
    """Of rows (B, D): the class chosen, the place chosen among those present, the confidence."""
    logits = rows @ weights.T
    if prepared.logit_scale is not None:
        logits = logits * prepared.logit_scale.to(logits)
    best, chosen = logits.max(dim=1)
    among = chosen
    if len(present) < len(weights):
        among = logits[:, present].argmax(dim=1)
    confidence = 1 / logits.sub_(best.unsqueeze(1)).exp_().sum(dim=1)
    return torch.stack([chosen.double(), among.double(), confidence.double()], dim=1)


def group_size(fixed: Fixed, replicates: int) -> int:
    """How many draws are made together: what memory allows, and groups enough for processes to
    share. Numbers depend on it by rounding, so one process makes the same groups."""
    rows, width = fixed.residuals.shape
    most = min(_BYTES // (8 * rows), _BYTES // (16 * width * (len(fixed.bounds) - 1)))
    return max(1, min(most, -(-replicates // _GROUPS)))


def replicates_of(
    fixed: Fixed, draws: Iterator[Tensor], *, size: int, group: int
) -> Iterator[list[Replicate]]:
    """What each draw of `size` images has, by groups whose means are one product a class."""
    width, classes = fixed.residuals.shape[1], len(fixed.bounds) - 1
    columns = torch.stack([fixed.squares, *([] if fixed.hits is None else [fixed.hits])], dim=1)
    while weights := [w for _, w in zip(range(group), _weights(fixed, draws, size), strict=False)]:
        table = torch.stack(weights)  # (R, N)
        means = fixed.residuals.new_empty(len(table), classes, width)  # still sums
        sums = columns.new_empty(len(table), classes, columns.shape[1])
        for place, (start, stop) in enumerate(zip(fixed.bounds, fixed.bounds[1:], strict=False)):
            part = table[:, start:stop]
            means[:, place] = part.to(means) @ fixed.residuals[start:stop]
            sums[:, place] = part @ columns[start:stop]
        shifts = means.double().div_(fixed.counts.unsqueeze(1))
        sums /= fixed.counts.unsqueeze(1)
        sums[:, :, 0] -= shifts.square().sum(dim=2)
        yield [
            Replicate(
                _moments(fixed, found[:, 0].clamp_min(0), shift), weight, shift,
                None if fixed.hits is None else found[:, 1], _bins(fixed, weight),
            )
            for weight, shift, found in zip(table, shifts, sums, strict=True)
        ]  # fmt: skip


def _weights(fixed: Fixed, draws: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """How often each sorted row was drawn, (N,) float64."""
    for index in draws:
        yield torch.bincount(index, minlength=size)[fixed.order].double()


def _moments(fixed: Fixed, spreads: Tensor, shift: Tensor) -> ClassMoments:
    """Of one replicate, from its spreads (P,) and the shift of its means (P, D)."""
    base = fixed.moments
    means, all_spreads = base.means.clone(), torch.full_like(base.spreads, torch.nan)
    means[base.present] += shift
    all_spreads[base.present] = spreads.to(all_spreads)
    return replace(base, means=means, spreads=all_spreads)


def _bins(fixed: Fixed, weight: Tensor) -> Tensor | None:
    """Count, summed confidence and summed hits by confidence of the images drawn, (1, 15, 3)."""
    if fixed.confidence is None or fixed.hits is None:
        return None
    which = (fixed.confidence * BINS).ceil().long().clamp(1, BINS) - 1
    columns = (weight, weight * fixed.confidence, weight * fixed.hits)
    sums = [torch.bincount(which, weights=column, minlength=BINS) for column in columns]
    return torch.stack(sums, dim=1).unsqueeze(0)
