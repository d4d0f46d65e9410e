"""TCP: class-specific prompts made from zero-shot text features (Yao et al. 2024). Also DeKg_TCP.

arXiv:2311.18231. n context tokens, K classes, W token width, D embedding width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.prompts import TCP_ZERO_SHOT
from ncscope.clip.text_tower import class_specific, encode_prompts, text_tower
from ncscope.errors import BackboneError
from ncscope.zoo.learners.cocoop import meta_net
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, class_source, plain_text, take
from ncscope.zoo.settings import Settings

_BLOCK = 8  # fixed in the authors' code


def load_tcp(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose context gives way to class-specific prompts before block 8.

    Raises:
        CheckpointError: other shapes than the backbone's; no data set and no template named.
        BackboneError: a text tower of fewer blocks.
    """
    tower = text_tower(backbone.model)
    if len(tower.blocks) <= _BLOCK:
        raise BackboneError(
            f"{settings.method} changes its prompts before block {_BLOCK}, but the backbone's text "
            f"tower has {len(tower.blocks)} blocks"
        )
    width = tower.positions.shape[1]
    context = take(tensors, "ctx", ("n", width), settings)
    count = len(context)
    meta = meta_net(tensors, backbone, settings, rows=count * width, activation=_quick_gelu)
    zero_shot = plain_text(backbone, settings, TCP_ZERO_SHOT)
    source = class_source(
        tensors, backbone, settings, num_context=count, dtype=tensors["ctx"].dtype
    )
    context = as_used(context, backbone, half=False)

    def text(names: list[str]) -> Tensor:
        own = meta(zero_shot(names)).view(len(names), count, width)
        prompts = with_context(source(names), context)
        return encode_prompts(tower, prompts, before={_BLOCK: class_specific(own)})

    return build(backbone, settings, Sides(text, facts={"context": [count, width]}))


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)
