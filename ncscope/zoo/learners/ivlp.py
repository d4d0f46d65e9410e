"""Independent prompts in both towers: IVLP, VPT, PromptSRC and ProMetaR.

IVLP and VPT are baselines of Khattak et al. 2023 (arXiv:2210.03117). PromptSRC (arXiv:2307.06948;
ProMetaR: arXiv:2404.00851) averages all weights of the last epochs, the towers' too: `--backbone
checkpoint` uses those. All prompts but the first text ones are rounded to half, whatever precision
the run had. n text tokens, m image tokens, W and V widths of the text and image towers.
"""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.image_tower import check_image_tower, deep_image_prompts, image_features
from ncscope.clip.prompts import DEFAULT_TEMPLATE
from ncscope.clip.text_tower import deep_prompts, encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import (
    as_used,
    check_depth,
    class_source,
    is_half,
    rounded,
    take,
    written_text,
)
from ncscope.zoo.settings import Settings

_SHALLOW = r"{}_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow"


def load_ivlp(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with text prompts, and image prompts where the file has them.

    Raises:
        CheckpointError: other shapes than the backbone's.
        BackboneError: image prompts, but the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width = tower.positions.shape[1]
    context = take(tensors, "prompt_learner.ctx", ("n", width), settings)
    deep = _deep(tensors, "text", context.shape, settings)
    check_depth(len(deep) + 1, backbone, settings)
    source = class_source(
        tensors,
        backbone,
        settings,
        num_context=len(context),
        dtype=tensors["prompt_learner.ctx"].dtype,
    )
    before = deep_prompts([rounded(value, backbone) for value in deep])
    context = as_used(context, backbone, half=is_half(tensors))

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), context), before=before)

    facts = {"context": list(context.shape), "text_depth": len(deep) + 1}
    if "image_encoder.VPT" not in tensors:
        return build(backbone, settings, Sides(text, facts={**facts, "vision_depth": 0}))
    image, parts = prompted_image(tensors, backbone, settings)
    return build(
        backbone, settings, Sides(text, image, parts, {**facts, "vision_depth": len(parts)})
    )


def load_vpt(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with image prompts alone; its text is "a photo of a {}." or `--template`."""
    text, facts = written_text(backbone, settings, usual=(DEFAULT_TEMPLATE,))
    image, parts = prompted_image(tensors, backbone, settings)
    facts["vision_depth"] = len(parts)
    return build(backbone, settings, Sides(text, image, parts, facts))


def prompted_image(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> tuple[Callable[[Tensor], Tensor], dict[str, Tensor]]:
    """The image side of `image_encoder.VPT` and its deep prompts, and these prompts."""
    vision = check_image_tower(backbone, method=settings.method)
    shallow = take(tensors, "image_encoder.VPT", ("m", vision), settings)
    deep = _deep(tensors, "image", shallow.shape, settings)
    shallow, *rest = (rounded(value, backbone) for value in (shallow, *deep))
    before = deep_image_prompts(rest)

    def image(pixels: Tensor) -> Tensor:
        return image_features(backbone, pixels, appended=shallow, before=before)

    return image, {"shallow": shallow, **{f"deep.{i}": v for i, v in enumerate(rest)}}


def _deep(
    tensors: Mapping[str, Tensor], side: str, shape: tuple[int, ...], settings: Settings
) -> list[Tensor]:
    """The prompts of blocks 1, 2, ... of one tower, which must follow on one another."""
    found = {int(m[1]): key for key in tensors if (m := re.fullmatch(_SHALLOW.format(side), key))}
    if sorted(found) != list(range(1, len(found) + 1)):
        raise CheckpointError(
            f"{settings.where}: {side} prompts are of blocks {sorted(found)}; expected 1, 2, ... "
            f"without a gap"
        )
    return [take(tensors, found[i], tuple(shape), settings) for i in sorted(found)]
