"""AnchorOPT: a learned order of context and anchor tokens (of the authors of ATPrompt, 2025).

The order is drawn at random at every forward pass of the authors' code. Here it is the likeliest
one: for every place the token with the largest parameter. The authors read the text feature at the
place where end-of-text would be without the anchor, which is `a` tokens before it; so is it here.
n context tokens, a anchor tokens, W token width.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, class_source, take
from ncscope.zoo.settings import Settings

_MODE = "the likeliest order of context and anchor tokens, where the method draws one at random"


def load_anchoropt(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner from the run's `normal_prompt_learner`, or of its anchor alone.

    Raises:
        CheckpointError: the anchor's file is not beside it and not given as `--base`.
    """
    if "ctx_pos_params" not in tensors:
        return _anchor(tensors, backbone, settings)
    tower = text_tower(backbone.model)
    width = tower.positions.shape[1]
    context = take(tensors, "ctx", ("n", width), settings)
    others = {**settings.companions, **settings.base, **tensors}
    if "anchor_ctx_1" not in others:
        raise CheckpointError(
            f"{settings.where}: AnchorOPT needs its anchor, too; give the run's folder that holds "
            f"anchor_prompt_learner, or the anchor's checkpoint: --base CHECKPOINT"
        )
    anchor = take(others, "anchor_ctx_1", ("a", width), settings)
    pool = torch.cat([context, anchor])
    scores = take(tensors, "ctx_pos_params", (len(pool), len(pool)), settings)
    head = as_used(pool[scores.argmax(dim=1)], backbone, half=False)
    source = class_source(
        tensors, backbone, settings, num_context=len(context), dtype=tensors["ctx"].dtype
    )

    def text(names: list[str]) -> Tensor:
        prompts = with_context(source(names), head)
        return encode_prompts(tower, replace(prompts, lengths=prompts.lengths - len(anchor)))

    facts = {"context": [len(context), width], "anchor": len(anchor), "mode": _MODE}
    return build(
        backbone, settings, Sides(text, facts=facts, warnings=(f"text features: {_MODE}",))
    )


def _anchor(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """The anchor's own prompts: anchor, "of", class name."""
    tower = text_tower(backbone.model)
    width = tower.positions.shape[1]
    anchor = take(tensors, "anchor_ctx_1", ("a", width), settings)
    word = take(tensors, "token_of", ("C", 1, width), settings)[0]
    head = as_used(torch.cat([anchor, word]), backbone, half=False)
    dtype = tensors["anchor_ctx_1"].dtype
    source = class_source(tensors, backbone, settings, num_context=len(head), dtype=dtype)

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), head))

    return build(backbone, settings, Sides(text, facts={"anchor": len(anchor)}))
