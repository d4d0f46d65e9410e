"""What is kept between steps: running means of image features, and where class vectors were.

B images of a batch, T evaluations, K classes, D embedding width. Terms of the loss need more images
than a batch has; a plot over time needs every evaluation.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ncscope.errors import ShapeError
from ncscope.metrics.rows import normalise_rows, unit_text
from ncscope.writing import replacing

_KEPT = 0.9  # of the old mean of a class at every step, where nobody says how many images it has


class RunningMeans(nn.Module):
    """Means of unit image features, by class, over the steps. Buffers, empty before the first.

    `classes` (K, D), 0 for classes not seen; `seen` (K,), `complete` once all are known to be: from
    then on no device is asked. A class comes in as it is; then as many
    of its `counts` training images as a batch shows weigh by their share, so that a batch of all
    of them is their mean exactly. Without counts a step weighs a tenth.
    """

    classes: Tensor
    seen: Tensor
    counts: Tensor | None

    def __init__(self, counts: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("classes", torch.zeros(0, 0))
        self.register_buffer("seen", torch.zeros(0, dtype=torch.bool))
        self.register_buffer("counts", counts, persistent=False)
        self.complete = False

    def with_batch(self, rows: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """(K, D) class means with (B, D) unit rows taken in, and (K,) which classes they are of.

        Gradients flow to the rows. Nothing is remembered before `remember`.

        Raises:
            ShapeError: other classes or another width than before.
        """
        means, shown = class_means(rows, labels, num_classes)
        present = shown > 0
        if not len(self.seen):
            return means, present
        if self.classes.shape != means.shape:
            raise ShapeError(
                f"the running means are of (K, D) = {tuple(self.classes.shape)}; got images of "
                f"{tuple(means.shape)}; take a new loss for other classes or another backbone"
            )
        old = self.classes.to(means)
        kept = torch.full_like(shown, _KEPT, dtype=means.dtype)
        if self.counts is not None:
            kept = (1 - shown / self.counts.clamp_min(1)).clamp_min(0).to(means)
        kept = torch.where(self.seen, kept, 0).unsqueeze(1)
        mixed = kept * old + (1 - kept) * means
        return torch.where(present.unsqueeze(1), mixed, old), self.seen | present

    def remember(self, means: Tensor, seen: Tensor, *, complete: bool | None = None) -> None:
        """Keep what `with_batch` gave; `complete` None looks whether all classes were seen."""
        self.classes, self.seen = means.detach(), seen
        self.complete = bool(seen.all()) if complete is None else complete

    def _load_from_state_dict(  # the buffers are as large as what was seen
        self, state_dict: Mapping[str, Any], prefix: str, *more: Any, **named: Any
    ) -> None:
        for name in ("classes", "seen"):
            found = state_dict.get(prefix + name)
            if found is not None:
                setattr(self, name, torch.empty_like(found, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *more, **named)
        self.complete = bool(len(self.seen) and self.seen.all())


class Trajectory:
    """Collects normalised text features and class means of the training classes' test images."""

    def __init__(self, classnames: Sequence[str]) -> None:
        self.classnames = tuple(classnames)
        self._frames: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, image: Tensor, labels: Tensor, text: Tensor) -> None:
        """One evaluation: (N, D) image features and (K, D) or (N, K, D) text features."""
        known = labels >= 0
        samples = normalise_rows(image[known])
        means, _ = class_means(samples, labels[known], len(self.classnames))
        frame = (step, unit_text(text).cpu(), means.cpu())
        self._frames = [old for old in self._frames if old[0] != step] + [frame]

    def tensors(self) -> dict[str, Tensor]:
        """`trajectory.step` (T,), `.text` and `.image_mean` (T, K, D); nothing if T is 0."""
        if not self._frames:
            return {}
        steps, text, means = zip(*self._frames, strict=True)
        return {
            "trajectory.step": torch.tensor(steps),
            "trajectory.text": torch.stack(text),
            "trajectory.image_mean": torch.stack(means),
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors` gave."""
        if "trajectory.step" in tensors:
            names = ("step", "text", "image_mean")
            steps, text, means = (tensors[f"trajectory.{name}"] for name in names)
            self._frames = list(zip(steps.tolist(), text, means, strict=True))

    def write(self, path: Path) -> None:
        """Write `text`, `image_mean` and `step`, with `classnames` in the metadata as JSON."""
        tensors = {k.removeprefix("trajectory."): v for k, v in self.tensors().items()}
        if tensors:
            with replacing(path) as temporary:
                save_file(tensors, temporary, {"classnames": json.dumps(self.classnames)})


def class_means(rows: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """(K, D) means of the classes present, 0 elsewhere, and (K,) how many rows each has."""
    sums = rows.new_zeros(num_classes, rows.shape[1]).index_add(0, labels, rows)
    counts = labels.new_zeros(num_classes).index_add(0, labels, torch.ones_like(labels))
    return sums / counts.clamp_min(1)[:, None], counts
