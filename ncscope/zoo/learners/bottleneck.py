"""The adapter of CLIP-Adapter: two linear layers without biases, each followed by a ReLU."""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.zoo.learners.tensors import as_used, take
from ncscope.zoo.settings import Settings


def bottleneck(
    tensors: Mapping[str, Tensor], prefix: str, backbone: Backbone, settings: Settings
) -> tuple[Callable[[Tensor], Tensor], dict[str, Tensor]]:
    """A function of (N, D) features from `fc.0.weight` and `fc.2.weight`, and these tensors."""
    width = backbone.width
    first = take(tensors, f"{prefix}fc.0.weight", ("h", width), settings)
    second = take(tensors, f"{prefix}fc.2.weight", (width, len(first)), settings)
    down, up = as_used(first, backbone, half=False), as_used(second, backbone, half=False)

    def adapter(features: Tensor) -> Tensor:
        return F.relu(F.linear(F.relu(F.linear(features, down)), up))

    return adapter, {f"{prefix}down": down, f"{prefix}up": up}
