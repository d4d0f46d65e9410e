"""Running means of image features, for terms that need more images than a batch has.

B images of a batch, K classes, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

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


def class_means(rows: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """(K, D) means of the classes present, 0 elsewhere, and (K,) which are present."""
    sums = rows.new_zeros(num_classes, rows.shape[1]).index_add(0, labels, rows)
    counts = torch.bincount(labels, minlength=num_classes)
    return sums / counts.clamp_min(1)[:, None], counts > 0
