"""DPC: a mixture of two CoOp prompts (Li et al. 2025, arXiv:2503.13443).

The file's `ctx` is the mixture for the training classes, w stack + (1 - w) p with the prompt p of
an earlier CoOp run. New classes have another mixture of the same two. n tokens, W token width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.zoo.learners.learner import Learner, Sides, build, folded
from ncscope.zoo.learners.parts import as_used, class_source, prompt_part, take
from ncscope.zoo.settings import Settings, logged_number

_PARTLY = (
    "`ctx` is the mixture for the training classes, and new classes get it, too: their own needs "
    "the CoOp prompt it is mixed with (--base) and both weights (SPLE.STACK in log.txt)"
)


def load_dpc(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with the file's prompt, and for new classes their mixture where it is known.

    Raises:
        CheckpointError: other shapes than the backbone's; a base prompt of another shape.
    """
    tower = text_tower(backbone.model)
    learner, width = prompt_part(tensors), tower.positions.shape[1]
    mixed = take(learner, "ctx", ("n", width), settings)
    for_new = _for_new(mixed, settings)
    source = class_source(
        tensors, backbone, settings, num_context=len(mixed), dtype=learner["ctx"].dtype
    )
    trained = {folded(name) for name in settings.classnames or ()}
    half = learner["ctx"].dtype == torch.float16
    contexts = [as_used(each, backbone, half=half) for each in (mixed, for_new) if each is not None]

    def text(names: list[str]) -> Tensor:
        tokens = source(names)
        rows = [encode_prompts(tower, with_context(tokens, context)) for context in contexts]
        new = torch.tensor([folded(name) not in trained for name in names], device=rows[0].device)
        return torch.where(new[:, None], rows[-1], rows[0])

    facts = {"context": list(mixed.shape), "new_classes": "mixed" if len(contexts) > 1 else "ctx"}
    warnings = () if len(contexts) > 1 else (_PARTLY,)
    return build(backbone, settings, Sides(text, facts=facts, warnings=warnings))


def _for_new(mixed: Tensor, settings: Settings) -> Tensor | None:
    """The prompt of new classes; None where the base prompt or a weight is not known."""
    weight = logged_number(settings, "SPLE.STACK.WEIGHT")
    weight_new = logged_number(settings, "SPLE.STACK.WEIGHT_FOR_NEW")
    if not settings.base or weight is None or weight_new is None or not settings.classnames:
        return None
    plain = take(prompt_part(settings.base), "ctx", tuple(mixed.shape), settings)
    if weight == 0:
        return None  # nothing of the other prompt is left in the mixture
    other = (mixed - (1 - weight) * plain) / weight
    return weight_new * other + (1 - weight_new) * plain
