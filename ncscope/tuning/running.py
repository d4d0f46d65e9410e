"""What is kept between steps: running means of image features, and where class vectors were.

B images of a batch, T evaluations, K classes, D embedding width. Terms of the loss need more images
than a batch has; a plot over time needs every evaluation.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ncscope.writing import replacing

_KEPT = 0.9  # of the old mean at every step


class RunningMeans:
    """Exponential means of normalised image features: of all, and of each class."""

    def __init__(self, num_classes: int, width: int, device: torch.device) -> None:
        self.total = torch.zeros(width, device=device)
        self.classes = torch.zeros(num_classes, width, device=device)
        self.seen = torch.zeros(num_classes, dtype=torch.bool, device=device)
        self.begun = torch.zeros((), dtype=torch.bool, device=device)

    def update(self, image: Tensor, labels: Tensor) -> None:
        """Take in a batch of (B, D) features; the first of a class is its mean as it is."""
        rows = F.normalize(image.detach().float(), dim=-1)
        mean, means, present = rows.mean(dim=0), *class_means(rows, labels, len(self.classes))
        self.total = torch.where(self.begun, _KEPT * self.total + (1 - _KEPT) * mean, mean)
        mixed = torch.where(self.seen[:, None], _KEPT * self.classes + (1 - _KEPT) * means, means)
        self.classes = torch.where(present[:, None], mixed, self.classes)
        self.seen, self.begun = self.seen | present, torch.ones_like(self.begun)

    def with_batch(self, image: Tensor, labels: Tensor) -> Tensor:
        """(K, D) class means, through which gradients flow to the classes of this batch."""
        means, present = class_means(F.normalize(image, dim=-1), labels, len(self.classes))
        mixed = torch.where(self.seen[:, None], _KEPT * self.classes + (1 - _KEPT) * means, means)
        return torch.where(present[:, None], mixed, self.classes)

    def tensors(self) -> dict[str, Tensor]:
        """The state, to be saved."""
        return {
            "running.total": self.total,
            "running.classes": self.classes,
            "running.seen": self.seen,
            "running.begun": self.begun,
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up a saved state."""
        self.total, self.classes, self.seen, self.begun = (
            tensors[f"running.{name}"].to(self.total.device)
            for name in ("total", "classes", "seen", "begun")
        )


class Trajectory:
    """Collects normalised text features and class means of the training classes' test images."""

    def __init__(self, classnames: Sequence[str]) -> None:
        self.classnames = tuple(classnames)
        self._frames: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, image: Tensor, labels: Tensor, text: Tensor) -> None:
        """One evaluation: (N, D) image features and (K, D) or (N, K, D) text features."""
        rows = text if text.ndim == 2 else text.mean(dim=0)
        known = labels >= 0
        samples = F.normalize(image[known], dim=-1)
        means, _ = class_means(samples, labels[known], len(self.classnames))
        frame = (step, F.normalize(rows, dim=-1).cpu(), means.cpu())
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
    """(K, D) means of the classes present, 0 elsewhere, and (K,) which are present."""
    sums = rows.new_zeros(num_classes, rows.shape[1]).index_add(0, labels, rows)
    counts = torch.bincount(labels, minlength=num_classes)
    return sums / counts.clamp_min(1)[:, None], counts > 0
