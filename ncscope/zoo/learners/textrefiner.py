"""TextRefiner: CoOp's text features refined by a memory of local image features (Xie et al. 2024).

arXiv:2412.08176. The method compares images with the refined features as they are, not normalised:
their lengths are part of the classifier. M memory items, K classes, D embedding width.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.coop import arrange, context_of, of_classes, position_of
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, class_source, prompt_part, take
from ncscope.zoo.learners.said import said_number
from ncscope.zoo.settings import Settings

_ALPHA = "TRAINER.TF.ALPHA"
_USUAL_SHARE = 0.2  # the authors' default
_ASSUMED = (
    f"the share of the refinement ({_ALPHA}) is neither in the file nor in a log.txt: the authors' "
    f"default {_USUAL_SHARE} is taken; --setting {_ALPHA}=NUMBER says otherwise"
)


def load_textrefiner(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner from the whole model and the memory saved beside it.

    Raises:
        CheckpointError: the memory's file is not beside it and not given as `--base`.
    """
    if "extractor.weight" in tensors:
        raise CheckpointError(
            f"{settings.where}: this is TextRefiner's memory, a part of it; give the folder of the "
            f"run, which holds prompt_learner, too"
        )
    memory = {**settings.companions, **settings.base}
    if "extractor.weight" not in memory or "memory_item" not in memory:
        raise CheckpointError(
            f"{settings.where}: TextRefiner needs its memory, too; give the run's folder that "
            f"holds Memory, or its checkpoint: --base CHECKPOINT"
        )
    tower, width = text_tower(backbone.model), backbone.width
    learner = prompt_part(tensors)
    stored = context_of(learner, tower.positions.shape[1], settings)
    context, position = as_used(stored, backbone, half=False), position_of(settings)
    logged = said_number(settings, _ALPHA)
    share = _USUAL_SHARE if logged is None else logged
    items = as_used(take(memory, "memory_item", ("M", width), settings), backbone, half=False)
    weight = take(memory, "extractor.weight", (width, 2 * width), settings)
    weight = as_used(weight, backbone, half=False)
    bias = memory.get("extractor.bias")
    bias = None if bias is None else as_used(bias, backbone, half=False)
    source = class_source(
        tensors, backbone, settings, num_context=context.shape[-2], dtype=stored.dtype
    )

    def text(names: list[str]) -> Tensor:
        own = of_classes(context, names, settings)
        plain = encode_prompts(tower, arrange(source(names), own, position=position))
        plain = F.normalize(plain, dim=-1)
        recalled = (plain @ items.T).softmax(dim=-1) @ items
        return plain + share * F.linear(torch.cat([plain, recalled], dim=-1), weight, bias)

    facts = {
        "context": list(context.shape),
        "class_token_position": position,
        "memory": list(items.shape),
        "share": share,
    }
    assumed = (_ASSUMED,) if logged is None else ()
    return build(backbone, settings, Sides(text, facts=facts, warnings=assumed))
