"""ATPrompt: learned tokens and a written word for each of several attributes before the context
(Li et al. 2024, arXiv:2412.09442).

Order: attribute tokens 1, word 1, ..., context, class name. n context tokens, m tokens of an
attribute, W token width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.zoo.learners.tensors import as_used, is_half, prompt_part, take
from ncscope.zoo.settings import Settings


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
