"""CoPrompt: MaPLe with an adapter after each tower (Roy and Etemad 2024, arXiv:2306.01195).

h hidden width, D embedding width.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.zoo.learners.bottleneck import bottleneck
from ncscope.zoo.learners.learner import Learner, build
from ncscope.zoo.learners.maple import maple_sides
from ncscope.zoo.settings import Settings

T = TypeVar("T")
_SHARES = {"image": 0.1, "text": 0.2}  # of the adapter's output, fixed in the authors' code


def load_coprompt(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of MaPLe's features, each mixed with its adapter's output."""
    sides = maple_sides(tensors, backbone, settings)
    image = sides.image
    assert image is not None  # MaPLe always has image prompts
    image_adapter, image_parts = bottleneck(tensors, "adapter_image.", backbone, settings)
    text_adapter, _ = bottleneck(tensors, "adapter_text.", backbone, settings)
    adapted = replace(
        sides,
        text=_mixed(sides.text, text_adapter, _SHARES["text"]),
        image=_mixed(image, image_adapter, _SHARES["image"]),
        image_parts={**sides.image_parts, **image_parts},
        facts={**sides.facts, "adapter_shares": _SHARES},
    )
    return build(backbone, settings, adapted)


def _mixed(
    encode: Callable[[T], Tensor], adapter: Callable[[Tensor], Tensor], share: float
) -> Callable[[T], Tensor]:
    def features(given: T) -> Tensor:
        plain = encode(given)
        return share * adapter(plain) + (1 - share) * plain

    return features
