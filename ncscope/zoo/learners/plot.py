"""PLOT: several prompts a class, compared with an image by optimal transport; PLOT++, PLOTNemesis.

Chen et al. 2023, arXiv:2210.01253. PLOT++ has several image prompts, too. The measures are of
pooled features, the means over prompts; the method's decision is not. PLOT++ begins each prompt
with a phrase of its own. Where a phrase is longer or shorter than the context, its last words stay,
or names lose their first token: then the tokens in the file are used.
N text prompts, M image prompts, n and m their tokens, K classes, W and V token widths.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import picked, stored
from ncscope.clip.image_tower import check_image_tower, image_features
from ncscope.clip.text_tower import TextTower, encode_prompts, text_tower
from ncscope.zoo.learners.coop import arrange, position_of
from ncscope.zoo.learners.learner import Learner, Sides, build, rows_of
from ncscope.zoo.learners.parts import (
    ClassSource,
    as_used,
    class_source,
    is_half,
    prompt_part,
    take,
)
from ncscope.zoo.settings import Settings

_PHRASES = "its prompts begin with phrases of different lengths, cut to one for its own classes"


def load_plot(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose text features are means over the N prompts, before any is normalised."""
    return build(backbone, settings, _text_side(tensors, backbone, settings))


def load_plotpp(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """PLOT's text side, and image features that are means over the M image prompts."""
    side = _text_side(tensors, backbone, settings)
    vision = check_image_tower(backbone, method=settings.method)
    prompts = take(tensors, "prompt_learner.ctx_vision", ("M", "m", vision), settings)
    prompts = as_used(prompts, backbone, half=is_half(tensors))

    def image(pixels: Tensor) -> Tensor:
        passes = [image_features(backbone, pixels, appended=prompt) for prompt in prompts]
        return torch.stack(passes).mean(dim=0)

    facts = {**side.facts, "image_prompts": len(prompts)}
    return build(backbone, settings, Sides(side.text, image, {"prompts": prompts}, facts))


def _text_side(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Sides:
    tower = text_tower(backbone.model)
    learner, width = prompt_part(tensors), tower.positions.shape[1]
    position = position_of(settings)
    contexts = take(learner, "ctx", ("N", "n", width), settings).to(backbone.device)
    sources = _by_phrase(learner, tower, settings, sets=len(contexts))
    if not sources:
        source = class_source(
            tensors,
            backbone,
            settings,
            num_context=contexts.shape[1],
            dtype=learner["ctx"].dtype,
            sets=len(contexts),
        )
        sources = [source] * len(contexts)

    def text(names: list[str]) -> Tensor:
        pairs = zip(sources, contexts, strict=True)
        prompts = (arrange(source(names), own, position=position) for source, own in pairs)
        return torch.stack([encode_prompts(tower, each) for each in prompts]).mean(dim=0)

    facts = {"prompts": len(contexts), "context": list(contexts.shape[1:])}
    return Sides(text, facts={**facts, "class_token_position": position})


def _by_phrase(
    learner: Mapping[str, Tensor], tower: TextTower, settings: Settings, *, sets: int
) -> list[ClassSource]:
    """The file's own tokens for each prompt, where the prompts differ in them; else nothing."""
    prefix, suffix = learner.get("token_prefix"), learner.get("token_suffix")
    if prefix is None or suffix is None or len(suffix) % sets or len(prefix) != len(suffix):
        return []
    count = len(suffix) // sets
    parts = suffix.split(count) if count else ()
    if all(torch.equal(part, suffix[:count]) for part in parts):
        return []

    def source(part: Tensor) -> ClassSource:
        tokens = stored(prefix[:count], part, tower, where=settings.where)
        return lambda names: picked(tokens, rows_of(names, settings, count=count, what=_PHRASES))

    return [source(part) for part in parts]
