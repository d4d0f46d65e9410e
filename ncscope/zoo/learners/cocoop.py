"""CoCoOp: a context that a small network shifts by the image (Zhou et al. 2022, arXiv:2203.05557).

There is no one set of text features: see `conditioned` of `ncscope.zoo.learners.learner` for the
choices. Also CoCoOp_ATP, whose context follows attributes that are not shifted.
n context tokens, N features, B images, K classes, D embedding, W token and h hidden width.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.atprompt import attributed
from ncscope.zoo.learners.learner import CONDITIONS, Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, class_source, prompt_part, take
from ncscope.zoo.settings import Settings

_PROMPTS_AT_ONCE = 2000  # bounds memory


def load_cocoop(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose `text_features` are those of the unshifted context.

    Raises:
        CheckpointError: other shapes than the backbone's, an unknown condition.
    """
    condition = settings.condition or "mean"
    if condition not in CONDITIONS:
        raise CheckpointError(
            f"`condition` is {condition!r}; expected {', '.join(CONDITIONS)}: which image features "
            f"shift the context"
        )
    tower = text_tower(backbone.model)
    learner, width = prompt_part(tensors), tower.positions.shape[1]
    context = as_used(take(learner, "ctx", ("n", width), settings), backbone, half=False)
    meta = meta_net(learner, backbone, settings, rows=width, activation=F.relu)
    found = attributed(tensors, context, backbone, settings)
    head, place = found.head, found.place
    source = class_source(
        tensors, backbone, found.settings, num_context=len(head), dtype=learner["ctx"].dtype
    )

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), head))

    def by_feature(names: list[str], image_features: Tensor) -> Tensor:
        tokens = source(names)
        shifted = context + meta(image_features)[:, None]  # (B, n, W)
        heads = torch.cat([head[: place - 1].expand(len(shifted), -1, -1), shifted], dim=1)
        parts = heads.split(max(1, _PROMPTS_AT_ONCE // len(names)))
        return torch.cat([encode_prompts(tower, with_context(tokens, part)) for part in parts])

    sides = Sides(
        text,
        facts={"context": list(context.shape), "condition": condition, **found.facts},
        condition=condition,
        by_feature=by_feature,
        warnings=found.warnings,
    )
    return build(backbone, settings, sides)


def meta_net(
    learner: Mapping[str, Tensor],
    backbone: Backbone,
    settings: Settings,
    *,
    rows: int,
    activation: Callable[[Tensor], Tensor],
) -> Callable[[Tensor], Tensor]:
    """A function from (N, D) features, which it normalises, to (N, R).

    Args:
        learner: with `meta_net.linear1` and `meta_net.linear2`.
        rows: R.
    """
    first = take(learner, "meta_net.linear1.weight", ("h", backbone.width), settings)
    shapes = {
        "meta_net.linear1.weight": tuple(first.shape),
        "meta_net.linear1.bias": (len(first),),
        "meta_net.linear2.weight": (rows, len(first)),
        "meta_net.linear2.bias": (rows,),
    }
    parts = [
        as_used(take(learner, key, shape, settings), backbone, half=False)
        for key, shape in shapes.items()
    ]

    def made(features: Tensor) -> Tensor:
        directions = F.normalize(features.to(parts[0]), dim=-1)
        return F.linear(activation(F.linear(directions, parts[0], parts[1])), parts[2], parts[3])

    return made
