"""A report's summary gathered batch by batch in somebody's loop: `ncscope.CollapseMetrics`.

B images of a batch, N in all, K classes, P of them with images, D embedding width.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ncscope._checks import check_finite, check_samples
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.prepare import prepare, say_counts
from ncscope.diagnosis.sides import numbers_of_moments
from ncscope.diagnosis.summary import summarise
from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.metrics import ClassMoments
from ncscope.metrics.moments import resolution
from ncscope.metrics.rows import accumulator_dtype, normalise_rows

_NO_SAMPLES = "the images are not kept; CollapseMetrics(..., samples=True) keeps them"
_STATES = ("rows", "labels", "counts", "sums", "resolution", "ignored")


class _Alone(nn.Module):
    """What is taken of `torchmetrics.Metric` here, where that is not installed."""

    def __init__(self, **_options: Any) -> None:
        super().__init__()
        self._defaults: dict[str, Any] = {}

    def add_state(self, name: str, default: Any, dist_reduce_fx: str | None = None) -> None:
        """A state that `reset` brings back to its default; what joins processes needs the real."""
        del dist_reduce_fx
        self._defaults[name] = default
        setattr(self, name, deepcopy(default))

    def reset(self) -> None:
        """Forget all that was added."""
        for name, default in self._defaults.items():
            setattr(self, name, deepcopy(default))


_Metric: Any = _Alone
try:
    from torchmetrics import Metric as _Metric  # pyright: ignore[reportMissingImports]
except ImportError:
    pass


class CollapseMetrics(_Metric):
    """The `summary` of a report, of features that come in batches; a `torchmetrics.Metric`.

        collapse = ncscope.CollapseMetrics(num_classes=5)
        for pixels, label in loader:
            collapse.update(image_tower(pixels), label)
        collapse.compute(text)["delta_mid"]["centred"]
        collapse.reset()

    All numbers are those of `ncscope.analyze` on the same features, by the same functions. Where
    torchmetrics is not installed the class is a plain module: `merge` joins what several processes
    have, which torchmetrics does by itself.

    Args:
        num_classes: K.
        samples: keep the image features as they came, N x D values, for the accuracies, NC1 and
            NC4, which look at every image once the means and the text are known. False keeps class
            sums, K x D values however many images come, and leaves these null.
        options: of `torchmetrics.Metric`.

    Attributes:
        warnings: what the last `compute` has to say, each null's reason among it.
    """

    is_differentiable = False
    full_state_update = True  # `forward` measures its batch apart; sums of no image have no width

    def __init__(self, num_classes: int, *, samples: bool = True, **options: Any) -> None:
        # A result is of the text given, so none is kept for the next call.
        super().__init__(**{"compute_with_cache": False, **options})
        if num_classes < 2:
            raise ShapeError(f"at least 2 classes are needed; got `num_classes` = {num_classes}")
        self.num_classes, self.samples = num_classes, samples
        self.text: Tensor | None = None
        self.warnings: list[str] = []
        if samples:
            self.add_state("rows", [], dist_reduce_fx="cat")
            self.add_state("labels", [], dist_reduce_fx="cat")
        else:
            self.add_state("counts", torch.zeros(num_classes, dtype=torch.int64), "sum")
            self.add_state("sums", torch.zeros(num_classes, 0), "sum")
            self.add_state("resolution", torch.zeros(()), "max")
        self.add_state("ignored", torch.zeros((), dtype=torch.int64), "sum")

    rows: Any
    labels: Any
    counts: Tensor
    sums: Tensor
    resolution: Tensor
    ignored: Tensor

    def update(self, image: Tensor, label: Tensor, text: Tensor | None = None) -> None:
        """Add (B, D) image features, as the tower gives them, and their (B,) labels, -1 ignored.

        Args:
            text: (K, D) features for a `compute` that is given none, as a collection's is; the
                last ones count.

        Raises:
            ShapeError: wrong shapes or labels, another width than before, NaN or inf, and without
                `samples` a zero vector. Nothing of the batch is added.
        """
        check_samples(image, label, self.num_classes)
        width = self._width()
        if width not in (None, image.shape[1]):
            raise ShapeError(f"`image` is {image.shape[1]} wide; the batches before were {width}")
        check_finite("image", image)
        text = None if text is None else self._checked(text)
        kept = label >= 0
        rows, targets = image.detach()[kept], label[kept].long()  # a copy
        if self.samples:
            self.rows.append(rows)
            self.labels.append(targets)
        else:
            self._sum_up(rows, targets)
        self.ignored = self.ignored.to(kept.device) + (~kept).sum()
        self.text = self.text if text is None else text

    def compute(
        self, text: Tensor | None = None, logit_scale: float | Tensor = 100.0
    ) -> dict[str, Any]:
        """The nested `summary` of metrics.json of all images added; None where undefined.

        Args:
            text: (K, D) text features, as the tower gives them; None leaves measures of text, of
                pairs and accuracies null, unless `update` had some.
            logit_scale: multiplier of the cosine, for calibration.

        Raises:
            ShapeError: no images and no text; images of one class only, and no text.
        """
        text = self.text if text is None else self._checked(text)
        if self._width() is None and text is None:
            raise ShapeError("there is nothing to measure; call `update` with image features first")
        scale = torch.as_tensor(logit_scale, dtype=torch.float32).detach().cpu()
        names = tuple(str(k) for k in range(self.num_classes))
        sides = {"text": None if text is None else text.cpu(), "logit_scale": scale}
        if self.samples or self._width() is None:
            kept = (self.rows, self.labels) if self.samples else ([], [])
            rows, labels = (_joined(side) for side in kept)
            run = measure(Features(rows, labels, classnames=names, **sides), bootstrap=0)
            found, self.warnings = run.record["summary"], run.record["warnings"]
        else:
            found, self.warnings = self._of_sums(names, sides)
        if int(self.ignored):
            self.warnings.append(f"{int(self.ignored)} images without a label were ignored")
        return found

    def merge(self, other: "CollapseMetrics") -> None:
        """Add what another one of the same kind has seen."""
        widths = {self._width(), other._width()} - {None}
        kinds = [(m.num_classes, m.samples) for m in (self, other)]
        if kinds[0] != kinds[1] or len(widths) > 1:
            raise ShapeError(
                "cannot merge metrics of (num_classes, samples, width) = "
                + " and ".join(
                    f"{(*k, m._width())}" for k, m in zip(kinds, (self, other), strict=True)
                )
            )
        state = other.get_extra_state()
        if self.samples and len(state["labels"]):
            self.rows.append(state["rows"])
            self.labels.append(state["labels"])
        elif not self.samples and state["sums"].shape[1]:
            mine = self.sums if self._width() else torch.zeros_like(state["sums"])
            self.sums = mine + state["sums"].to(mine)
            self.counts = self.counts + state["counts"].to(self.counts)
            self.resolution = torch.maximum(
                self.resolution, state["resolution"].to(self.resolution)
            )
        self.ignored = self.ignored + state["ignored"].to(self.ignored)
        self._count(state["updates"])

    def get_extra_state(self) -> dict[str, Any]:
        """All that was added, for a `state_dict`."""
        state = {name: getattr(self, name) for name in _STATES if hasattr(self, name)}
        for name in ("rows", "labels"):
            if self.samples:
                joined = _joined(state[name], cpu=False)
                state[name] = torch.zeros(0) if joined is None else joined
        return {**state, "updates": getattr(self, "_update_count", 0)}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of the same kind."""
        wanted = {name for name in _STATES if hasattr(self, name)}
        if set(state) - {"updates"} != wanted:
            raise ShapeError(
                f"the saved state is of samples={'rows' in state}, this one of "
                f"samples={self.samples}; make the metric as it was saved"
            )
        if not self.samples and len(state["counts"]) != self.num_classes:
            raise ShapeError(
                f"the saved state is of {len(state['counts'])} classes; got {self.num_classes}"
            )
        self.reset()
        for name in wanted - {"rows", "labels"}:
            setattr(self, name, state[name])
        if self.samples and len(state["labels"]):
            check_samples(state["rows"], state["labels"], self.num_classes)
            self.rows, self.labels = [state["rows"]], [state["labels"]]
        self._count(state["updates"])

    def reset(self) -> None:
        """Forget all images and the text."""
        super().reset()
        self.text, self.warnings = None, []

    def _count(self, updates: int) -> None:
        """Tell torchmetrics of updates that it has not seen."""
        self._update_count = getattr(self, "_update_count", 0) + updates

    def _width(self) -> int | None:
        """D of the images so far."""
        if self.samples:
            rows = self.rows if isinstance(self.rows, Tensor) else next(iter(self.rows), None)
            return None if rows is None else rows.shape[1]
        return self.sums.shape[1] or None

    def _checked(self, text: Tensor) -> Tensor:
        if text.ndim != 2 or len(text) != self.num_classes or not text.is_floating_point():
            raise ShapeError(
                f"`text` must be a floating (K, D) tensor with K = {self.num_classes}, a row a "
                f"class; got {text.dtype} {tuple(text.shape)}"
            )
        return text.detach()

    def _sum_up(self, rows: Tensor, targets: Tensor) -> None:
        dtype = accumulator_dtype(rows.device)
        unit = normalise_rows(rows.to(dtype))
        zero = (~torch.isfinite(unit).all(dim=1)).nonzero().flatten().tolist()
        if zero:
            raise ShapeError(
                f"`image` has zero vectors, which have no direction, at rows "
                f"{', '.join(map(str, zero[:5]))}; label them -1 to leave them out"
            )
        if not self.sums.shape[1]:
            self.sums = unit.new_zeros(self.num_classes, unit.shape[1])
        self.sums = self.sums.to(unit).index_add(0, targets, unit)
        shown = torch.bincount(targets, minlength=self.num_classes)
        self.counts = self.counts.to(shown.device) + shown
        level = torch.full_like(self.resolution, resolution(rows.dtype))
        self.resolution = torch.maximum(self.resolution, level)

    def _of_sums(
        self, names: tuple[str, ...], sides: dict[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """The summary and its warnings, of class sums of unit rows."""
        counts, sums = self.counts.cpu(), self.sums.cpu().double()
        means = sums / counts.unsqueeze(1)
        spreads = (1 - means.square().sum(dim=1)).clamp_min(0)  # of unit rows
        moments = ClassMoments(counts, means, spreads, int(self.ignored), float(self.resolution))
        known = moments.present
        features = Features(means[known], known, classnames=names, **sides)
        prepared, absent, notes = prepare(features), dict[str, str](), list[str]()
        say_counts(counts, features, absent, notes)
        prepared = replace(
            prepared,
            samples=int(counts.sum()),
            most_images=int(counts.max()),
            absent={**prepared.absent, **absent, "samples": _NO_SAMPLES},
        )
        numbers = numbers_of_moments(prepared.text, moments)
        flat = {name: float(value) for name, value in numbers.items()}
        found, reasons = summarise(flat, prepared)
        return found, [*notes, *reasons]


def _joined(side: Any, *, cpu: bool = True) -> Tensor | None:
    """A state of batches as one tensor; None of none. After a sync it is one already."""
    parts = [side] if isinstance(side, Tensor) else side
    whole = torch.cat([part.to(parts[0].device) for part in parts]) if len(parts) else None
    return whole.cpu() if cpu and whole is not None else whole
