"""How the toy CLIP is trained, as numbers: model, stages, learning rate, losses of a step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.toy.world import FACTORS

HEAD_WEIGHTS = {  # of the factors in the supervised loss: what is hard to see weighs more
    "shape": 1.0,
    "texture": 1.0,
    "colour": 0.5,
    "count": 0.5,
    "background": 0.3,
    "place": 0.3,
    "size": 0.2,
    "style": 0.1,
}


@dataclass(frozen=True)
class Curriculum:
    """Every setting of a pretraining run. The three stages follow one another.

    1. `warm_up_steps`: the image tower alone learns the factors from labels. Without this stage
       the contrastive loss saturates on colours and backgrounds and never learns shapes.
    2. `contrastive_steps`: CLIP's loss, plus a share of the supervised one.
    3. the cone and the gap are installed (`install.py`), then `settling_steps` of CLIP's loss at a
       low rate, so that norms and scale re-adapt.
    """

    seed: int = 0
    pool: int = 160_000
    batch: int = 256
    width: int = 128
    layers: int = 9
    distractors: int = 300
    warm_up_steps: int = 1450
    contrastive_steps: int = 1050
    settling_steps: int = 120
    rate: float = 1.5e-3
    settling_rate: float = 1e-4
    weight_decay: float = 0.1
    supervised_share: float = 0.3
    threads: int = 2

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return self.warm_up_steps + self.contrastive_steps + self.settling_steps

    def stage(self, step: int) -> int:
        """1, 2 or 3."""
        if step < self.warm_up_steps:
            return 1
        return 2 if step < self.warm_up_steps + self.contrastive_steps else 3

    def learning_rate(self, step: int) -> float:
        """Linear rise into each stage; constant in 1 and 3, a cosine to 2 % in 2."""
        within = (
            step - (0, self.warm_up_steps, self.steps - self.settling_steps)[self.stage(step) - 1]
        )
        rise = min(1.0, (within + 1) / (150, 120, 20)[self.stage(step) - 1])
        if self.stage(step) == 1:
            return self.rate * rise
        if self.stage(step) == 3:
            return self.settling_rate * rise
        part = within / self.contrastive_steps
        return self.rate * rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part)))


def new_heads(width: int, seed: int) -> dict[str, Tensor]:
    """Linear heads on the image tower, one a factor; used in training only."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"head.{name}": torch.randn(len(values), width, generator=generator) * width**-0.5
        for name, values in FACTORS.items()
    }


def supervised_loss(
    weights: Mapping[str, Tensor], state: Tensor, labels: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Weighted cross-entropy of every factor from (B, W) states, and the accuracy of each."""
    total, right = torch.zeros(()), {}
    for name, weight in HEAD_WEIGHTS.items():
        logits = state @ weights[f"head.{name}"].T
        total = total + weight * F.cross_entropy(logits, labels[name], label_smoothing=0.05)
        right[name] = (logits.detach().argmax(dim=1) == labels[name]).float().mean().item()
    return total, right
