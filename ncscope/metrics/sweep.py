"""Second sweep over samples: within-class variability, decisions and calibration, all at once.

N samples, K classes, D embedding width, r rank of the class means. One residual x - h_y a sample
serves all of it: its whitened norm is NC1's share, its plain norm the class's spread, and its
products with the class means decide the nearest class centre. No (K, D, D), (N, K) or (K, K, D)
temporary; blocks of rows stay in cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope._checks import check_finite, check_samples, working
from ncscope.errors import ShapeError
from ncscope.metrics.accuracy import BINS, confidence_bins
from ncscope.metrics.moments import ClassMoments, accumulator_dtype
from ncscope.metrics.rows import centre_rows, normalise_rows
from ncscope.metrics.variability import Whitening, spread_classes, whitening

_BLOCK_VALUES = 1 << 20  # rows x max(K, D) a block
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
        num_classes = len(means)
        dtype = accumulator_dtype(means.device)
        self.moments, self.normalise, self.logit_scale = moments, normalise, logit_scale
        self.white = whitening(moments)
        self.present = moments.present
        self.text = None if text is None else _classifier(text, moments, normalise)
        self.bias = bias
        offsets = centre_rows(means[self.present])
        # x - h_k = (x - h_y) + (h_y - h_k): the nearest centre maximises
        # <x - h_y, h_k> - |h_k - h_y|^2 / 2, which a large common mean cannot spoil.
        norms = offsets.square().sum(dim=1)
        half = offsets @ offsets.T - 0.5 * (norms.unsqueeze(0) + norms.unsqueeze(1))
        self._centre_bias = torch.zeros(num_classes, len(offsets), dtype=dtype, device=means.device)
        self._centre_bias[self.present] = half
        # Where the means span fewer than D directions, the whitened projection holds all of
        # <x, h_k>, at r instead of D columns: A^T x undone by Lambda A^T h_k.
        self._through_projection = self.white.rank < offsets.shape[1]
        white = self.white.matrix
        undone = self.white.eigenvalues.unsqueeze(1) * (white.T @ offsets.T)
        self._centres = undone if self._through_projection else offsets.T
        self._means = torch.nan_to_num(means)
        self.sums = {
            name: torch.zeros(num_classes, dtype=dtype, device=means.device) for name in _SUMS
        }
        self.sums["bins"] = torch.zeros(num_classes, BINS, 3, dtype=dtype, device=means.device)
        self._cast: dict[torch.dtype, tuple[Tensor, ...]] = {}

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch of (B, D) features and (B,) labels.

        Raises:
            ShapeError: wrong shapes, labels out of range, or of a class the first sweep lacked.
        """
        check_samples(features, labels, len(self._means))
        rows_a_block = max(64, _BLOCK_VALUES // max(features.shape[1], len(self._means)))
        for rows, targets in zip(
            features.detach().split(rows_a_block), labels.split(rows_a_block), strict=True
        ):
            kept = targets >= 0
            if not bool(kept.all()):
                rows, targets = rows[kept], targets[kept]
            if len(rows):
                self._add(normalise_rows(rows) if self.normalise else working(rows), targets)

    def _add(self, rows: Tensor, targets: Tensor) -> None:
        means, white, centres, centre_bias, text = self._in(rows.dtype)
        residuals = rows - means.index_select(0, targets)
        projected = residuals @ white
        met = projected if self._through_projection else residuals
        scores = centre_bias.index_select(0, targets).addmm_(met, centres)
        nearest = self.present[scores.argmax(dim=1)]
        self._count("seen", torch.ones_like(targets), targets)
        self._count("shares", _square_sums(projected), targets)
        self._count("spreads", _square_sums(residuals), targets)
        self._count("ncc_correct", nearest == targets, targets)
        if self.text is not None:
            self._decide(rows @ text, targets, nearest)

    def _decide(self, cosines: Tensor, targets: Tensor, nearest: Tensor) -> None:
        own = cosines.gather(1, targets.unsqueeze(1)).squeeze(1)
        logits = cosines
        if self.logit_scale is not None:
            logits = cosines * torch.as_tensor(self.logit_scale).to(cosines)
        if self.bias is not None:
            logits = logits + self.bias.to(logits)
        best, chosen = logits.max(dim=1)
        among = chosen
        if len(self.present) < len(self.moments.counts):
            among = self.present[logits[:, self.present].argmax(dim=1)]
        hits = chosen == targets
        self._count("cosines", own, targets)
        self._count("correct", hits, targets)
        self._count("agree", among == nearest, targets)
        if self.logit_scale is not None:
            confidence = 1 / (logits - best.unsqueeze(1)).exp_().sum(dim=1)
            self.sums["bins"] += confidence_bins(confidence, hits, targets, len(self._means))

    def _count(self, name: str, values: Tensor, targets: Tensor) -> None:
        total = self.sums[name]
        total.index_add_(0, targets, values.to(total.dtype))

    def _in(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The small matrices in the data's own precision, converted once."""
        if dtype not in self._cast:
            text = self._means.new_zeros(0) if self.text is None else self.text.T
            parts = (self._means, self.white.matrix, self._centres, self._centre_bias, text)
            self._cast[dtype] = tuple(part.to(dtype).contiguous() for part in parts)
        return self._cast[dtype]

    def merge(self, other: "SampleAccumulator") -> None:
        """Add what another accumulator built on the same moments has seen."""
        if not torch.equal(self.moments.counts.cpu(), other.moments.counts.cpu()):
            raise ShapeError("cannot merge accumulators that were built on different moments")
        for name, total in self.sums.items():
            total += other.sums[name].to(total)

    def compute(self) -> SampleMeasures:
        """The measures of all that was added."""
        seen = self.sums["seen"]
        means = {name: self.sums[name] / seen for name in _SUMS[1:]}
        has_text = self.text is not None
        return SampleMeasures(
            counts=seen.long(),
            shares=means["shares"],
            spreads=means["spreads"],
            ncc_correct=means["ncc_correct"],
            agree=means["agree"] if has_text else None,
            correct=means["correct"] if has_text else None,
            cosines=means["cosines"] if has_text else None,
            bins=self.sums["bins"].clone() if has_text and self.logit_scale is not None else None,
            white=self.white,
        )

    def state_dict(self) -> dict[str, Tensor]:
        """The sums so far; load them into an accumulator built on the same moments."""
        return dict(self.sums)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from a `state_dict`."""
        for name, total in self.sums.items():
            if state[name].shape != total.shape:
                raise ShapeError(
                    f"the saved `{name}` is {tuple(state[name].shape)}; "
                    f"expected {tuple(total.shape)}"
                )
            total.copy_(state[name])


def _classifier(text: Tensor, moments: ClassMoments, normalise: bool) -> Tensor:
    if text.shape != moments.means.shape:
        raise ShapeError(
            f"`text` is {tuple(text.shape)}; expected (K, D) = {tuple(moments.means.shape)}, "
            f"one row a class of the moments"
        )
    check_finite("text", text)
    return normalise_rows(text) if normalise else working(text)


def _square_sums(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1).square()
