"""Second sweep over samples: within-class variability, decisions and calibration, all at once.

N samples, K classes, D embedding width, r rank of the class means. One residual x - h_y a sample
serves all of it: its whitened norm is NC1's share, its plain norm the class's spread, and its
products with the class means decide the nearest class centre. No (K, D, D), (N, K) or (K, K, D)
temporary, and of many classes no (K, K) either; blocks of rows stay in cache.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ncscope._checks import check_finite, check_samples, working
from ncscope.errors import ShapeError
from ncscope.metrics.accuracy import BINS, confidence_bins
from ncscope.metrics.moments import ClassMoments
from ncscope.metrics.pairs import Distances
from ncscope.metrics.rows import accumulator_dtype, centre_rows, is_extreme, normalise_rows, widened
from ncscope.metrics.variability import Whitening, spread_classes, whitening_if_any

_CACHED_VALUES = 1 << 20  # rows x max(K, D) a block on the CPU
# columns of the sums; the last three only with text
_SUMS = ("seen", "shares", "spreads", "ncc_correct", "agree", "correct", "cosines")


@dataclass(frozen=True, eq=False)
class SampleMeasures:
    """What the second sweep found. Tensors (K,) are class means, NaN where a class has none.

    nc1: tr(Sigma_W Sigma_B^+) / P over the P classes present; `shares` its per-class parts, the
        trace of each class's own covariance times Sigma_B^+ (nc1 = mean of shares / P).
    spreads: v_k = tr Sigma_W,k, exact also where classes have collapsed.
    nc4: share of samples on which text and nearest class centre agree (over classes present).
    correct / ncc_correct / agree: top-1 by text, by nearest centre, and agreement, per class.
    cosines: mean cos(f_i, g_y) of each class.
    bins: (K, 15, 3) count, summed confidence, summed hits by confidence; None without a scale.
    Where the class means are one up to rounding, shares, ncc_correct and agree are NaN.
    """

    counts: Tensor
    shares: Tensor
    spreads: Tensor
    ncc_correct: Tensor
    agree: Tensor | None
    correct: Tensor | None
    cosines: Tensor | None
    bins: Tensor | None
    white: Whitening

    @property
    def nc1(self) -> Tensor:
        """Default NC1; NaN if no class has two samples."""
        return self.shares[spread_classes(self.counts)].mean() / int((self.counts > 0).sum())

    def over_samples(self, per_class: Tensor) -> Tensor:
        """Mean over samples of a (K,) tensor of class means."""
        present = self.counts > 0
        weights = self.counts[present].to(per_class.dtype)
        return (weights @ per_class[present]) / weights.sum()

    @property
    def nc4(self) -> Tensor | None:
        """Share of samples decided alike by text and by nearest class centre, in [0, 1]."""
        return None if self.agree is None else self.over_samples(self.agree)


class SampleAccumulator:
    """Gathers `SampleMeasures` from the same samples that gave `moments`; mergeable, saveable.

    Args:
        moments: of the whole set, from the first sweep.
        text: (K, D) text features or classifier weights; None leaves decisions by text out.
        logit_scale: multiplier of the cosine, for confidences; None leaves calibration out.
        bias: (K,) of a classifier that has one; added to the (scaled) scores by text.
        normalise: as in the first sweep; also applied to `text`.
    """

    def __init__(
        self,
        moments: ClassMoments,
        *,
        text: Tensor | None = None,
        logit_scale: float | Tensor | None = None,
        bias: Tensor | None = None,
        normalise: bool = True,
    ) -> None:
        means = moments.means
        self.moments, self.normalise, self.logit_scale = moments, normalise, logit_scale
        self.white = whitening_if_any(moments)
        self.present = moments.present
        self.text = None if text is None else _classifier(text, moments, normalise)
        self.bias = bias
        self._wide = (
            text is not None and not normalise and bool(is_extreme(working(text).abs().amax()))
        )
        self._place = torch.zeros_like(moments.counts)  # of each class among those present
        self._place[self.present] = torch.arange(len(self.present), device=means.device)
        dtype, device = accumulator_dtype(means.device), means.device
        self.sums = torch.zeros(len(means), len(_SUMS), dtype=dtype, device=device)
        self.bins = torch.zeros(len(means), BINS, 3, dtype=dtype, device=device)
        self._small = self._small_matrices()
        self._cast: dict[torch.dtype, _Small] = {}

    def _small_matrices(self) -> "_Small":
        means = self.moments.means
        offsets = centre_rows(means[self.present])
        self._distances = Distances(offsets)
        # Where the means span fewer than D directions, the whitened projection holds all of
        # <x, h_k>, at r instead of D columns: A^T x undone by Lambda A^T h_k.
        white = self.white.matrix.T
        centres = offsets
        if 0 < self.white.rank < offsets.shape[1]:
            centres = (offsets @ white.T) * self.white.eigenvalues
        return _Small(
            means=torch.nan_to_num(means),
            white=white,
            centres=centres,
            safe=self._spread_out(self._distances.to_nearest() / 4),
            text=means.new_zeros(0) if self.text is None else self.text,
        )

    def _spread_out(self, of_present: Tensor) -> Tensor:
        """Rows of the classes present, put back at their places among all K."""
        rows = of_present.new_zeros(len(self.moments.counts), *of_present.shape[1:])
        rows[self.present] = of_present
        return rows

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch of (B, D) features and (B,) labels.

        Raises:
            ShapeError: wrong shapes, labels out of range or of a class the first sweep lacked.
        """
        check_samples(features, labels, len(self.sums))
        if features.shape[1] != self.moments.means.shape[1]:
            raise ShapeError(
                f"`features` are {features.shape[1]} wide; "
                f"expected D = {self.moments.means.shape[1]} of the moments"
            )
        labels = labels.long()
        unseen = (torch.bincount(labels[labels >= 0], minlength=len(self.sums)) > 0) & (
            self.moments.counts == 0
        )
        if bool(unseen.any()):
            raise ShapeError(
                f"class {int(unseen.nonzero()[0])} has samples here but none in the moments: both "
                f"sweeps must see the same samples"
            )
        rows, targets = features.detach(), labels
        kept = targets >= 0
        if not bool(kept.all()):
            rows, targets = rows[kept], targets[kept]
        values = _CACHED_VALUES if rows.device.type == "cpu" else 16 * _CACHED_VALUES
        step = max(64, values // max(self.moments.means.shape))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            block = normalise_rows(block) if self.normalise else widened(working(block))
            block = block.to(self.sums.dtype) if self._wide else block
            self._add(block, targets[start : start + step])

    def _add(self, rows: Tensor, targets: Tensor) -> None:
        small = self._in(rows.dtype)
        residuals = small.means.index_select(0, targets)
        torch.sub(rows, residuals, out=residuals)
        projected = residuals @ small.white.T
        spreads = _square_sums(residuals)
        chosen, columns = None, []
        if self.text is not None:
            chosen, hits, cosines = self._decide(rows @ small.text.T, targets)
            columns = [hits, cosines]
        met = projected if 0 < self.white.rank < rows.shape[1] else residuals
        nearest, agree = self._nearest(small, met, spreads, targets, chosen)
        first = [torch.ones_like(spreads), _square_sums(projected), spreads, nearest]
        columns = [*first, *([] if agree is None else [agree]), *columns]
        table = torch.stack([column.to(self.sums.dtype) for column in columns], dim=1)
        self.sums[:, : len(columns)].index_add_(0, targets, table)

    def _nearest(
        self, small: "_Small", met: Tensor, spreads: Tensor, own: Tensor, chosen: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Whether the own centre is the nearest, and whether the chosen class's is, each (B,).

        x - h_k = (x - h_y) + (h_y - h_k), so the nearest maximises
        <x - h_y, h_k> - ||h_k - h_y||^2 / 2, which a large common mean cannot spoil. A sample
        nearer to its own centre than half the way to the next one is its own centre's by the
        triangle inequality: no product needed. Equally near centres are all nearest.
        """
        nearest = torch.ones_like(own, dtype=torch.bool)
        agree = None if chosen is None else chosen == own
        open_ = (spreads >= small.safe.index_select(0, own)).nonzero().squeeze(1)
        if not len(open_):
            return nearest, agree
        if len(open_) < len(own):
            met, own = met.index_select(0, open_), own.index_select(0, open_)
        scores = self._distances.of(self._place[own], met.dtype)
        scores = scores.addmm_(met, small.centres.T, beta=-0.5)
        best = scores.amax(dim=1, keepdim=True)
        nearest[open_] = self._reaches(scores, own, best)
        if chosen is not None and agree is not None:
            agree[open_] = self._reaches(scores, chosen.index_select(0, open_), best)
        return nearest, agree

    def _reaches(self, scores: Tensor, classes: Tensor, best: Tensor) -> Tensor:
        return (scores.gather(1, self._place[classes].unsqueeze(1)) >= best).squeeze(1)

    def _decide(self, cosines: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The class chosen among those with images, hits, and cosine with the own class, (B,)."""
        own = cosines.gather(1, targets.unsqueeze(1)).squeeze(1)
        logits = cosines
        if self.logit_scale is not None:
            logits = cosines.mul_(torch.as_tensor(self.logit_scale).to(cosines))
        if self.bias is not None:
            logits = logits.add_(self.bias.to(logits))
        chosen = logits.argmax(dim=1)
        among = chosen
        if len(self.present) < len(self.moments.counts):
            among = self.present[logits[:, self.present].argmax(dim=1)]
        hits = chosen == targets
        if self.logit_scale is not None:
            best = logits.gather(1, chosen.unsqueeze(1))
            confidence = 1 / logits.sub_(best).exp_().sum(dim=1)
            self.bins += confidence_bins(confidence, hits, targets, len(self.sums))
        return among, hits, own

    def _in(self, dtype: torch.dtype) -> "_Small":
        """The small matrices in the data's own precision, converted once."""
        if dtype not in self._cast:
            self._cast[dtype] = _Small(
                *(getattr(self._small, f.name).to(dtype).contiguous() for f in fields(_Small))
            )
        return self._cast[dtype]

    def merge(self, other: "SampleAccumulator") -> None:
        """Add what another accumulator built on the same moments has seen."""
        if not torch.equal(self.moments.counts.cpu(), other.moments.counts.cpu()):
            raise ShapeError("cannot merge accumulators that were built on different moments")
        self.sums += other.sums.to(self.sums)
        self.bins += other.bins.to(self.bins)

    def compute(self) -> SampleMeasures:
        """The measures of all that was added."""
        found = dict(zip(_SUMS, (self.sums / self.sums[:, :1]).unbind(dim=1), strict=True))
        by_text = self.text is not None
        if not self.white.rank:  # class means that are one: no units for NC1, no nearest of them
            none = torch.full_like(found["shares"], torch.nan)
            found |= {"shares": none, "ncc_correct": none, "agree": none}
        return SampleMeasures(
            counts=self.sums[:, 0].long(),
            shares=found["shares"],
            spreads=found["spreads"],
            ncc_correct=found["ncc_correct"],
            agree=found["agree"] if by_text else None,
            correct=found["correct"] if by_text else None,
            cosines=found["cosines"] if by_text else None,
            bins=self.bins.clone() if by_text and self.logit_scale is not None else None,
            white=self.white,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The sums so far; load them into an accumulator built on the same moments."""
        return {"sums": self.sums, "bins": self.bins}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state_dict`."""
        for name, total in self.state_dict().items():
            if state[name].shape != total.shape:
                raise ShapeError(
                    f"the saved `{name}` is {tuple(state[name].shape)}; "
                    f"expected {tuple(total.shape)}"
                )
            total.copy_(state[name])


@dataclass(frozen=True, eq=False)
class _Small:
    """What each block is multiplied with. P classes present, r whitened directions."""

    means: Tensor  # (K, D)
    white: Tensor  # (r, D)
    centres: Tensor  # (P, r) or (P, D)
    safe: Tensor  # (K,): (half the way to the next centre)^2
    text: Tensor  # (K, D)


def _classifier(text: Tensor, moments: ClassMoments, normalise: bool) -> Tensor:
    if text.shape != moments.means.shape:
        raise ShapeError(
            f"`text` is {tuple(text.shape)}; expected (K, D) = {tuple(moments.means.shape)}, "
            f"one row a class of the moments"
        )
    check_finite("text", text)
    zero = (text == 0).all(dim=1).nonzero().flatten().tolist()
    if zero and normalise:
        raise ShapeError(
            f"`text` has zero rows, which have no direction: {', '.join(map(str, zero[:5]))}"
        )
    return normalise_rows(text) if normalise else working(text)


def _square_sums(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1).square()
