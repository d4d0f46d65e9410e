"""AnchorOPT over CoCoOp and MaPLe, in the likeliest order of context and anchor tokens.

The authors draw one order of the tokens at every forward pass, the same for all classes, images
and blocks of that pass. Here it is the likeliest: for every place the token with the largest
parameter, compared in half precision as they do. CoCoOp_AnchorOPT shifts its context by the image
and not its anchor. MaPLe_AnchorOPT replaces the whole head before its upper blocks, with what
stands there of the anchor kept in the pool; its image side is MaPLe's and has no order.
n context tokens, a anchor tokens, B images, W and V tower widths.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.image_tower import check_image_tower, deep_image_prompts, image_features
from ncscope.clip.text_tower import Edit, Prompts, encode_prompts, on_shared, replaced, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.cocoop import meta_net
from ncscope.zoo.learners.learner import CONDITIONS, Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, check_depth, class_source, stack, take
from ncscope.zoo.settings import Settings

_MODE = "the likeliest order of context and anchor tokens, where the method draws one at random"
_SAID = (f"text features: {_MODE}",)
_PROMPTS_AT_ONCE = 2000  # bounds memory
_DEEP = "prompt_learner.compound_prompts_text.{}"
_PROJECTION = "prompt_learner.compound_prompt_projections.{}"


def load_cocoop_anchoropt(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner from the run's `normal_prompt_learner`, conditioned on images as CoCoOp.

    Raises:
        CheckpointError: the anchor's file is not beside it and not given as `--base`; an unknown
            condition.
    """
    condition = settings.condition or "mean"
    if condition not in CONDITIONS:
        raise CheckpointError(
            f"`condition` is {condition!r}; expected {', '.join(CONDITIONS)}: which image features "
            f"shift the context"
        )
    tower = text_tower(backbone.model)
    width = tower.positions.shape[1]
    others = {**settings.companions, **settings.base, **tensors}
    if "anchor_ctx_1" not in others:
        raise CheckpointError(
            f"{settings.where}: AnchorOPT needs its anchor, too; give the run's folder that holds "
            f"anchor_prompt_learner, or the anchor's checkpoint: --base CHECKPOINT"
        )
    context = as_used(take(tensors, "ctx", ("n", width), settings), backbone, half=False)
    anchor = as_used(take(others, "anchor_ctx_1", ("a", width), settings), backbone, half=False)
    order = _order(tensors, "ctx_pos_params", len(context) + len(anchor), backbone, settings)
    meta = meta_net(tensors, backbone, settings, rows=width, activation=F.relu)
    source = class_source(
        tensors, backbone, settings, num_context=len(context), dtype=tensors["ctx"].dtype
    )

    def text(names: list[str]) -> Tensor:
        head = torch.cat([context, anchor])[order]
        return encode_prompts(tower, _early(with_context(source(names), head), len(anchor)))

    def by_feature(names: list[str], features: Tensor) -> Tensor:
        tokens = source(names)
        shifted = context + meta(features)[:, None]  # (B, n, W)
        heads = torch.cat([shifted, anchor.expand(len(shifted), -1, -1)], dim=1)[:, order]
        parts = heads.split(max(1, _PROMPTS_AT_ONCE // len(names)))
        prompts = (_early(with_context(tokens, part), len(anchor)) for part in parts)
        return torch.cat([encode_prompts(tower, each) for each in prompts])

    facts = {"context": list(context.shape), "anchor": len(anchor), "mode": _MODE}
    sides = Sides(
        text,
        facts={**facts, "condition": condition},
        condition=condition,
        by_feature=by_feature,
        warnings=_SAID,
    )
    return build(backbone, settings, sides)


def load_maple_anchoropt(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner from the whole model, which holds its anchor.

    Raises:
        CheckpointError: other shapes than the backbone's, or an anchor of several tokens.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    stored = take(tensors, "prompt_learner.ctx", ("n", width), settings)
    anchor = take(tensors, "anchor_prompt_learner.anchor_ctx_1", (1, width), settings)
    count, keys = len(stored), stack(tensors, _DEEP)
    deep = [take(tensors, key, (count, width), settings) for key in keys]
    check_depth(len(deep) + 1, backbone, settings)
    order = _order(tensors, "prompt_learner.ctx_pos_params", count + 1, backbone, settings)
    head = as_used(torch.cat([stored, anchor]), backbone, half=False)[order]
    source = class_source(
        tensors,
        backbone,
        settings,
        num_context=count,
        dtype=tensors["prompt_learner.ctx"].dtype,
    )
    before = {
        block: _reordered(as_used(prompt, backbone, half=True), order)
        for block, prompt in enumerate(deep, start=1)
    }

    def text(names: list[str]) -> Tensor:
        prompts = _early(with_context(source(names), head), 1)
        return encode_prompts(tower, prompts, before=before)

    pairs = [("prompt_learner.proj", stored)]
    pairs += [(_PROJECTION.format(i), value) for i, value in enumerate(deep)]
    rows = [
        as_used(_linear(tensors, key, value, vision, settings), backbone, half=True)
        for key, value in pairs
    ]
    image_before = deep_image_prompts(rows[1:])

    def image(pixels: Tensor) -> Tensor:
        return image_features(backbone, pixels, appended=rows[0], before=image_before)

    facts = {"context": [count, width], "depth": len(rows), "anchor": 1, "mode": _MODE}
    parts = {f"rows.{i}": row for i, row in enumerate(rows)}
    return build(backbone, settings, Sides(text, image, parts, facts, warnings=_SAID))


def _order(
    tensors: Mapping[str, Tensor], key: str, count: int, backbone: Backbone, settings: Settings
) -> Tensor:
    """(n + a,): for every place the number of its token in the pool."""
    scores = take(tensors, key, (count, count), settings)
    return scores.half().float().argmax(dim=1).to(backbone.device)


def _early(prompts: Prompts, count: int) -> Prompts:
    """The prompts read where end-of-text would be without the anchor's tokens."""
    return replace(prompts, lengths=prompts.lengths - count)


def _reordered(prompt: Tensor, order: Tensor) -> Edit:
    """An edit that puts (n, W) deep prompts and the anchor's token into the places of `order`.

    The token is taken where the authors look for it: at the number of the first place the anchor
    was put in, counted from start-of-text, which is the token before the anchor's own.
    """
    places = (order == len(prompt)).nonzero().flatten().tolist() if not order.is_meta else [0]

    def change(tokens: Tensor) -> Tensor:
        pool = prompt.to(tokens).expand(len(tokens), -1, -1)
        if places:
            pool = torch.cat([pool, tokens[:, places[0] : places[0] + 1]], dim=1)
        return replaced(tokens, pool[:, order], start=1)

    return on_shared(change)


def _linear(
    tensors: Mapping[str, Tensor], key: str, prompts: Tensor, vision: int, settings: Settings
) -> Tensor:
    weight = take(tensors, f"{key}.weight", (vision, prompts.shape[1]), settings)
    return F.linear(prompts, weight, take(tensors, f"{key}.bias", (vision,), settings))
