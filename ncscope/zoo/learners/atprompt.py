"""ATPrompt: learned tokens and a written word for each of several attributes before the context.

Li et al. 2024, arXiv:2412.09442. CoOp_ATP is here; the others are with CoCoOp and MaPLe.
Order: attribute tokens 1, word 1, ..., context, class name. n context tokens, m tokens of an
attribute, W token width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, class_source, is_half, prompt_part, take
from ncscope.zoo.settings import Settings


def load_coop_atp(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner from `ctx`, `ctx_att1`.. and the attributes' words, `token_middle1`.."""
    tower = text_tower(backbone.model)
    learner, width = prompt_part(tensors), tower.positions.shape[1]
    context = as_used(take(learner, "ctx", ("n", width), settings), backbone, half=False)
    head, place = attributed(tensors, context, backbone, settings)
    source = class_source(
        tensors, backbone, settings, num_context=len(head), dtype=learner["ctx"].dtype
    )

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), head))

    facts = {"context": list(context.shape), "tokens_of_attributes": place - 1}
    return build(backbone, settings, Sides(text, facts=facts))


def attributed(
    tensors: Mapping[str, Tensor], context: Tensor, backbone: Backbone, settings: Settings
) -> tuple[Tensor, int]:
    """Attributes and context as one, and the position in the prompt of the first context token.

    Without `token_middle1` there are no attributes. `ctx_att` of attributes beyond the words are
    in every file and unused.
    """
    learner, width = prompt_part(tensors), context.shape[-1]
    half = is_half(tensors)
    parts: list[Tensor] = []
    while f"token_middle{len(parts) // 2 + 1}" in learner:
        number = len(parts) // 2 + 1
        tokens = take(learner, f"ctx_att{number}", ("m", width), settings)
        word = take(learner, f"token_middle{number}", ("C", 1, width), settings)[0]
        parts += [as_used(tokens, backbone, half=half), word.to(backbone.device)]
    place = 1 + sum(len(part) for part in parts)
    return torch.cat([*parts, context]), place
