"""CLIP-Adapter: an adapter after the image tower (Gao et al. 2024, arXiv:2110.04544)."""

from collections.abc import Mapping

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.templates import TEMPLATES
from ncscope.zoo.learners.bottleneck import bottleneck
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.plain_text import plain_text, templates_of
from ncscope.zoo.settings import Settings

_SHARE = 0.2  # of the adapter's output, fixed in the authors' code


def load_clip_adapter(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner with adapted image features and the zero-shot text features of its data set."""
    adapter, parts = bottleneck(tensors, "", backbone, settings)

    def adapted(features: Tensor) -> Tensor:
        return _SHARE * adapter(features) + (1 - _SHARE) * features

    facts = {"templates": list(templates_of(settings, TEMPLATES)), "adapter_share": _SHARE}
    text = plain_text(backbone, settings, TEMPLATES)
    return build(backbone, settings, Sides(text, adapter=adapted, image_parts=parts, facts=facts))
