"""First sweep over samples: how many, their class means, and how far they spread around them.

N samples, K classes, D embedding width. Statistics are class-balanced: every class counts once,
however many images it has. Sums are kept in float64 on shifted data, so that a large common mean
costs no digits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncscope._checks import check_finite, check_samples, working
from ncscope.errors import ShapeError
from ncscope.metrics.rows import accumulator_dtype, in_range, normalise_rows, widened

_BLOCK_BYTES = 2 << 20  # rows are taken in blocks that stay in a core's cache
_FLUSH_ROWS = 8192  # float32 partial sums are emptied into the float64 totals this often


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Counts (K,), class means h_k (K, D) and spreads v_k = tr Sigma_W,k (K,), population moments.

    An empty class has NaN for its mean and spread, never zeros. `ignored` counts labels of -1;
    `resolution` is the relative rounding of the features: as stored, and as summed in batches.
    """

    counts: Tensor
    means: Tensor
    spreads: Tensor
    ignored: int = 0
    resolution: float = 0.0

    @property
    def present(self) -> Tensor:
        """Indices (P,) of the classes that have samples."""
        return (self.counts > 0).nonzero().flatten()

    @property
    def global_mean(self) -> Tensor:
        """Class-balanced mean (D,): the unweighted mean of the class means present."""
        return self.means[self.present].mean(dim=0)

    @property
    def sample_mean(self) -> Tensor:
        """Mean over samples (D,), pulled to head classes under imbalance."""
        weights = self.counts[self.present].to(self.means.dtype)
        return (weights @ self.means[self.present]) / weights.sum()


def class_moments(features: Tensor, labels: Tensor, num_classes: int) -> ClassMoments:
    """Moments of (N, D) features with (N,) labels in 0..K-1, -1 ignored; used as given.

    Differentiable with respect to the features. For data that arrive in pieces see
    `MomentsAccumulator`.

    Raises:
        ShapeError: wrong shapes or labels, NaN or inf (rows named), or fewer than two classes
            with samples.
    """
    check_samples(features, labels, num_classes)
    kept = labels >= 0
    check_finite("features", features.detach())
    rows = working(features[kept]).to(accumulator_dtype(features.device))
    targets = labels[kept].long()
    counts = torch.bincount(targets, minlength=num_classes)
    _require_classes(counts)
    means = rows.new_zeros(num_classes, rows.shape[1]).index_add(0, targets, rows)
    means = means / counts.unsqueeze(1)  # 0 / 0 = NaN for an empty class
    squares = (rows - means[targets]).square().sum(dim=1)
    spreads = rows.new_zeros(num_classes).index_add(0, targets, squares) / counts
    ignored = len(labels) - len(targets)
    return ClassMoments(counts, means, spreads, ignored, resolution(features.dtype))


class MomentsAccumulator:
    """Gathers `ClassMoments` from batches; mergeable and saveable.

    Args:
        num_classes: K.
        width: D.
        normalise: l2-normalise each row first, as this library's convention asks.
    """

    def __init__(
        self,
        num_classes: int,
        width: int,
        *,
        normalise: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        device = torch.device(device)
        dtype = accumulator_dtype(device)
        self.normalise = normalise
        self.counts = torch.zeros(num_classes, dtype=torch.int64, device=device)
        self.sums = torch.zeros(num_classes, width, dtype=dtype, device=device)
        self.squares = torch.zeros(num_classes, dtype=dtype, device=device)
        self.shift: Tensor | None = None
        self.ignored = 0
        self.resolution = 0.0

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add a batch of (B, D) features and (B,) labels; the batch's own dtype and device.

        Raises:
            ShapeError: wrong shapes, labels out of range; NaN, inf or, to be normalised, zero
                rows (named). A refused batch adds nothing if it is of at most 8192 rows.
        """
        num_classes = len(self.counts)
        check_samples(features, labels, num_classes)
        labels = labels.long()
        if features.shape[1] != self.sums.shape[1]:
            raise ShapeError(
                f"`features` are {features.shape[1]} wide; expected D = {self.sums.shape[1]}"
            )
        rows, targets = features.detach(), labels
        kept = targets >= 0
        ignored = int((~kept).sum())
        if ignored:
            rows, targets = rows[kept], targets[kept]
        for start in range(0, len(rows), _FLUSH_ROWS):
            chunk = slice(start, start + _FLUSH_ROWS)
            part = working(rows[chunk])
            if not self._add(part if self.normalise else widened(part), targets[chunk]):
                _refuse(features)
        self.counts += torch.bincount(targets, minlength=num_classes)
        self.ignored += ignored
        # Sums within a chunk carry the rounding of a few operations in the working precision.
        worked = 8 * resolution(working(features[:0]).dtype)
        self.resolution = max(self.resolution, worked, resolution(features.dtype))

    def _add(self, rows: Tensor, targets: Tensor) -> bool:
        """Add labelled rows unless they hold what is not finite; says whether they were added."""
        shift, dtype = self.shift, self.sums.dtype
        if shift is None:
            first = rows[: block_rows(rows)]
            shift = (normalise_rows(first) if self.normalise else first).mean(dim=0)
        shift = shift.to(rows.dtype)
        # Within a chunk in the data's own precision, at memory speed; between chunks in float64.
        partial = rows.new_zeros(self.sums.shape)
        buffer = torch.empty_like(rows[: block_rows(rows)])
        norms = []
        for block, classes in blocks(rows, targets):
            offset = buffer[: len(block)]
            if self.normalise:
                torch.div(*in_range(block), out=offset).sub_(shift)
            else:
                torch.sub(block, shift, out=offset)
            partial.index_add_(0, classes, offset)
            norms.append(torch.linalg.vector_norm(offset, dim=1))
        squares = torch.cat(norms).to(dtype).square()
        if not bool(torch.isfinite(squares.sum())):
            return False
        self.shift = shift if self.shift is None else self.shift
        self.sums += partial.to(dtype)
        self.squares.index_add_(0, targets, squares)
        return True

    def merge(self, other: "MomentsAccumulator") -> None:
        """Add what another accumulator of the same K, D and `normalise` has seen."""
        if self.sums.shape != other.sums.shape or self.normalise != other.normalise:
            raise ShapeError(
                f"cannot merge accumulators of (K, D) = {tuple(self.sums.shape)}, normalise="
                f"{self.normalise} and {tuple(other.sums.shape)}, normalise={other.normalise}"
            )
        if other.shift is not None:
            if self.shift is None:
                self.shift = other.shift.to(self.sums.device)
            # Re-express the other's sums around this shift: s' = s + n d, q' = q + 2 s.d + n d.d
            step = (other.shift.double() - self.shift.double()).to(self.sums)
            counts, sums = other.counts.to(self.sums), other.sums.to(self.sums)
            self.squares += (
                other.squares.to(self.sums) + 2 * (sums @ step) + counts * step.dot(step)
            )
            self.sums += sums + counts.unsqueeze(1) * step
        self.counts += other.counts.to(self.counts)
        self.ignored += other.ignored
        self.resolution = max(self.resolution, other.resolution)

    def compute(self, *, least: int = 2) -> ClassMoments:
        """The moments of all that was added.

        Args:
            least: how many classes must have samples; one has a mean and a spread, no geometry.

        The spreads come from sums of squares here and lose digits where classes have collapsed
        to a point; the second sweep (`SampleAccumulator`) has them exactly.

        Raises:
            ShapeError: fewer than `least` classes have samples.
        """
        _require_classes(self.counts, least)
        assert self.shift is not None
        counts = self.counts.to(self.sums).unsqueeze(1)
        offsets = self.sums / counts
        spreads = (self.squares / counts[:, 0] - offsets.square().sum(dim=1)).clamp_min(0)
        means = offsets + self.shift.to(self.sums)
        return ClassMoments(self.counts.clone(), means, spreads, self.ignored, self.resolution)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers, enough to go on in another process."""
        return {
            "normalise": self.normalise,
            "counts": self.counts,
            "sums": self.sums,
            "squares": self.squares,
            "shift": self.shift,
            "ignored": self.ignored,
            "resolution": self.resolution,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a `state_dict` of the same K and D."""
        if state["sums"].shape != self.sums.shape:
            raise ShapeError(
                f"the saved accumulator has (K, D) = {tuple(state['sums'].shape)}; "
                f"expected {tuple(self.sums.shape)}"
            )
        device = self.sums.device
        self.normalise = bool(state["normalise"])
        self.counts, self.sums = state["counts"].to(device), state["sums"].to(device)
        self.squares = state["squares"].to(device)
        self.shift = None if state["shift"] is None else state["shift"].to(device)
        self.ignored, self.resolution = int(state["ignored"]), float(state["resolution"])


def blocks(features: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of (N, D) features and (N,) labels in runs of `block_rows`."""
    rows = block_rows(features)
    return zip(features.split(rows), labels.split(rows), strict=True)


def block_rows(features: Tensor) -> int:
    """How many rows of (N, D) make a block that stays in cache."""
    return max(1, _BLOCK_BYTES // max(1, features.shape[1] * features.element_size()))


def resolution(dtype: torch.dtype) -> float:
    """Relative rounding level of values stored in this dtype."""
    return torch.finfo(dtype).eps


def _refuse(features: Tensor) -> None:
    """Name the rows of (N, D) that cannot be summed: NaN or inf, else zero vectors."""
    check_finite("features", features)
    zero = (features == 0).all(dim=1).nonzero().flatten().tolist()
    if not zero:
        raise ShapeError(
            f"`features` reach {float(features.abs().max()):.2g}, whose squares no floating number "
            f"holds; scale them down"
        )
    raise ShapeError(
        f"`features` has {len(zero)} zero rows, which have no direction: "
        f"{', '.join(map(str, zero[:5]))}; expected none, or normalise=False"
    )


def _require_classes(counts: Tensor, least: int = 2) -> None:
    present = int((counts > 0).sum())
    if present < least:
        raise ShapeError(
            f"{present} of {len(counts)} classes have samples; at least {least} are needed"
        )
