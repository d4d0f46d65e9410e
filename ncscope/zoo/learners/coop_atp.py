"""CoOp_ATP: CoOp's context after learned attributes (ATPrompt, arXiv:2412.09442)."""

from collections.abc import Mapping

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.zoo.learners.atprompt import attributed
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import class_source
from ncscope.zoo.learners.tensors import as_used, prompt_part, take
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
