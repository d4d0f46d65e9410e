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
from ncscope.metrics.margin import Rivals
from ncscope.metrics.moments import ClassMoments
from ncscope.metrics.nearest import Centres
from ncscope.metrics.rows import accumulator_dtype, centre_rows, is_extreme, normalise_rows, widened
from ncscope.metrics.variability import Whitening, spread_classes, whitening_if_any

_CACHED_VALUES = 1 << 20  # rows x max(K, D) a block on the CPU
_LEAST_ROWS = 384  # a block, for the sake of the products
_BY_TEXT, _MARGINS = ("agree", "correct", "cosines"), ("margins", "margin_squares", "boundaries")
_SUMS = ("seen", "shares", "spreads", "ncc_correct", *_BY_TEXT, *_MARGINS)  # columns of the sums


@dataclass(frozen=True, eq=False)
class SampleMeasures:
    """What the second sweep found. Tensors (K,) are class means, NaN where a class has none.

    nc1: tr(Sigma_W Sigma_B^+) / P over the P classes present; `shares` its per-class parts, the
        trace of each class's own covariance times Sigma_B^+ (nc1 = mean of shares / P).
    spreads: v_k = tr Sigma_W,k, exact also where classes have collapsed.
    nc4: share of samples on which text and nearest class centre agree (over classes present).
    correct / ncc_correct / agree: top-1 by text, by nearest centre, and agreement, per class.
    cosines: mean cos(f_i, g_y) of each class.
    margins, margin_squares, boundaries: means of each class, if asked for (`margins`, their squares
        and `boundary_distances`).
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
    margins: Tensor | None = None
    margin_squares: Tensor | None = None
    boundaries: Tensor | None = None

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
        margins: also gather margins and distances to the boundary between texts.
    """

    def __init__(
        self,
        moments: ClassMoments,
        *,
        text: Tensor | None = None,
        logit_scale: float | Tensor | None = None,
        bias: Tensor | None = None,
        normalise: bool = True,
        margins: bool = False,
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
        self._margins = margins and text is not None
        self._rivals: dict[torch.dtype, Rivals] = {}

    def _small_matrices(self) -> "_Small":
        means = self.moments.means
        self._centres = Centres(centre_rows(means[self.present]), self.white)
        return _Small(
            means=torch.nan_to_num(means),
            white=self.white.matrix.T,
            text=means.new_zeros(0) if self.text is None else self.text,
        )

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
        step = max(_LEAST_ROWS, values // max(self.moments.means.shape))
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
            scores = rows @ small.text.T
            ahead = self._ahead_of_others(scores, targets) if self._margins else []
            chosen, hits, cosines = self._decide(scores, targets)
            columns = [hits, cosines, *ahead]
        met = projected if 0 < self.white.rank < rows.shape[1] else residuals
        places = self._place[targets]
        picked = None if chosen is None else self._place[chosen]
        nearest, agree = self._centres.decide(met, spreads, places, picked)
        first = [torch.ones_like(spreads), _square_sums(projected), spreads, nearest]
        columns = [*first, *([] if agree is None else [agree]), *columns]
        table = torch.stack([column.to(self.sums.dtype) for column in columns], dim=1)
        self.sums[:, : len(columns)].index_add_(0, targets, table)

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

    def _ahead_of_others(self, scores: Tensor, targets: Tensor) -> list[Tensor]:
        """Margins, their squares and the distances to the boundary, each (B,)."""
        if scores.dtype not in self._rivals:
            self._rivals[scores.dtype] = Rivals(self._in(scores.dtype).text)
        margin, boundary = self._rivals[scores.dtype].of(scores, targets)
        return [margin, margin.to(self.sums.dtype).square(), boundary]

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
            **{name: found[name] for name in _MARGINS if self._margins},
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
