"""Tip-Adapter and Tip-Adapter-F: a cache of training features beside zero-shot text features
(Zhang et al. 2022, arXiv:2207.09519).

The cache takes part in the decision, not in the features. K classes, D embedding width.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from ncscope.checkpoint.flat import BARE
from ncscope.clip.backbone import Backbone
from ncscope.clip.templates import IMAGENET_SEVEN, TEMPLATES, known_data
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.plain_text import plain_text, templates_of
from ncscope.zoo.settings import Settings


def load_tip_adapter(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner with the zero-shot features the cache is added to; logit scale 100.

    Raises:
        CheckpointError: a cache of another width; no data set and no template named.
    """
    cache = tensors[BARE]
    if cache.ndim != 2 or backbone.width not in cache.shape:
        raise CheckpointError(
            f"{settings.where}: the cache is {tuple(cache.shape)}; expected keys of width "
            f"{backbone.width}. Was it made with another backbone?"
        )
    if known_data(settings.data_name) == "ImageNet" and not settings.templates:
        settings = replace(settings, templates=IMAGENET_SEVEN)
    templates = templates_of(settings, TEMPLATES)
    encode = plain_text(backbone, replace(settings, templates=templates))

    def text(names: list[str]) -> Tensor:
        return F.normalize(encode(names), dim=-1)

    facts = {"templates": list(templates), "cache": list(cache.shape)}
    return build(backbone, settings, Sides(text, facts=facts, logit_scale=100))
