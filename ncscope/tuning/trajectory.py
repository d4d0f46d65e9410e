"""Where text features and class means were at each evaluation: what a plot over time shows.

T evaluations, K classes, D embedding width.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ncscope.tuning.running import class_means
from ncscope.writing import replacing


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
