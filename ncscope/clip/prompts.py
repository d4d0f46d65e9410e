"""Zero-shot CLIP: hand-written prompts, nothing learned (Radford et al. 2021, arXiv:2103.00020)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.zoo_prompts import DEFAULT_TEMPLATE, ensembled

_TEXTS_AT_ONCE = 256  # bounds memory: ImageNet's 1000 prompts at once take gigabytes


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A backbone with one template, or several that are averaged."""

    backbone: Backbone
    templates: tuple[str, ...] = (DEFAULT_TEMPLATE,)

    @property
    def description(self) -> dict[str, Any]:
        return {
            "method": "zero-shot",
            "templates": list(self.templates),
            "backbone": self.backbone.description,
            "warnings": list(self.backbone.description["warnings"]),
        }

    @property
    def image_digest(self) -> str:
        return self.backbone.image_digest

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def logit_scale(self) -> Tensor:
        return self.backbone.logit_scale

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        return self.backbone.preprocess

    @torch.no_grad()
    def text_features(self, classnames: Sequence[str]) -> Tensor:
        """(C, D): the prompts' features; with several templates as in `ensembled`."""
        return ensembled(self._encode, classnames, self.templates)

    @torch.no_grad()
    def image_features(self, pixels: Tensor) -> Tensor:
        """(B, D)."""
        return self.backbone.encode_image(pixels)

    def _encode(self, texts: list[str]) -> Tensor:
        starts = range(0, len(texts), _TEXTS_AT_ONCE)
        return torch.cat([self.backbone.encode_text(texts[i : i + _TEXTS_AT_ONCE]) for i in starts])
