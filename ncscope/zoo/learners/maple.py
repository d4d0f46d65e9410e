"""MaPLe: deep text prompts, and image prompts projected from them (Khattak et al. 2023).

arXiv:2210.03117. Also MaPLe_ATP, whose context follows learned and written attributes, and
CoPrompt, MaPLe with an adapter after each tower (Roy and Etemad 2024, arXiv:2306.01195).
All prompts but the first text ones are rounded to half, whatever precision the run had.
n context tokens, J depth, W and V widths of the text and image towers.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.image_tower import check_image_tower, deep_image_prompts, image_features
from ncscope.clip.text_tower import Edit, Flow, deep_prompts, encode_prompts, text_tower
from ncscope.zoo.learners.adapters import bottleneck
from ncscope.zoo.learners.atprompt import attributed
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import (
    as_used,
    check_depth,
    class_source,
    is_half,
    rounded,
    stack,
    take,
)
from ncscope.zoo.settings import Settings

_TEXT = "prompt_learner.compound_prompts_text.{}"
_PROJECTION = "prompt_learner.compound_prompt_projections.{}"
_SHARES = {"image": 0.1, "text": 0.2}  # of the adapter's output, fixed in the authors' code


def load_maple(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner from `prompt_learner.ctx`, its compound prompts and their projections.

    Raises:
        CheckpointError: other shapes than the backbone's.
        BackboneError: the backbone has no vision transformer.
    """
    return build(backbone, settings, _sides(tensors, backbone, settings))


def load_coprompt(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of MaPLe's features, each mixed with its adapter's output."""
    sides = _sides(tensors, backbone, settings)
    plain_text, plain_image = sides.text, sides.image
    assert plain_image is not None  # MaPLe always has image prompts
    on_image, parts = bottleneck(
        tensors, "adapter_image.", backbone, settings, share=_SHARES["image"]
    )
    on_text, _ = bottleneck(tensors, "adapter_text.", backbone, settings, share=_SHARES["text"])
    adapted = replace(
        sides,
        text=lambda names: on_text(plain_text(names)),
        image=lambda pixels: on_image(plain_image(pixels)),
        image_parts={**sides.image_parts, **parts},
        facts={**sides.facts, "adapter_shares": _SHARES},
    )
    return build(backbone, settings, adapted)


def _sides(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Sides:
    """Both sides of MaPLe, to which CoPrompt adds adapters."""
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    stored = take(tensors, "prompt_learner.ctx", ("n", width), settings)
    count = len(stored)
    keys = stack(tensors, _TEXT)
    deep = [take(tensors, key, (count, width), settings) for key in keys]
    check_depth(len(deep) + 1, backbone, settings)
    shallow = _project(tensors, "prompt_learner.proj", stored, vision, settings)
    projected = [
        _project(tensors, _PROJECTION.format(i), value, vision, settings)
        for i, value in enumerate(deep)
    ]
    context = as_used(stored, backbone, half=is_half(tensors))
    shallow, *rest = (rounded(value, backbone) for value in (shallow, *deep))
    image_prompts = [rounded(value, backbone) for value in projected]
    found = attributed(tensors, context, backbone, settings)
    head = found.head
    source = class_source(
        tensors,
        backbone,
        found.settings,
        num_context=len(head),
        dtype=tensors["prompt_learner.ctx"].dtype,
    )
    # MaPLe_ATP's authors count n tokens for every attribute, whatever it has
    start = 1 + found.number * (count + 1)
    before = deep_prompts(rest, start=start)
    if start + count > 1 + len(head):
        before = {block: _in_place(new, start=start) for block, new in enumerate(rest, start=1)}
    image_before = deep_image_prompts(image_prompts)

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), head), before=before)

    def image(pixels: Tensor) -> Tensor:
        return image_features(backbone, pixels, appended=shallow, before=image_before)

    parts = {"shallow": shallow, **{f"deep.{i}": v for i, v in enumerate(image_prompts)}}
    facts = {"context": [count, width], "depth": len(deep) + 1, **found.facts}
    return Sides(text, image, parts, facts, warnings=found.warnings)


def _in_place(new: Tensor, *, start: int) -> Edit:
    """An edit that replaces positions `start`.. by (n, W) `new`, in classes' own tokens, too."""

    def change(tokens: Tensor, places: Tensor) -> Tensor:
        inside = (places >= start) & (places < start + len(new))
        return torch.where(inside[:, None], new[(places - start).clamp(0, len(new) - 1)], tokens)

    def edit(flow: Flow) -> Flow:
        shared, packing = flow.shared, flow.packing
        places = torch.arange(shared.shape[1], device=shared.device)
        own_places = shared.shape[1] + packing.place % packing.longest
        return Flow(change(shared, places), change(flow.own, own_places), packing)

    return edit


def _project(
    tensors: Mapping[str, Tensor], key: str, prompts: Tensor, vision: int, settings: Settings
) -> Tensor:
    """(n, W) text prompts to (n, V) image prompts."""
    weight = take(tensors, f"{key}.weight", (vision, prompts.shape[1]), settings)
    return F.linear(prompts, weight, take(tensors, f"{key}.bias", (vision,), settings))
