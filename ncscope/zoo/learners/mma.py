"""MMA: adapters beside the upper blocks of both towers, with a part they share.

Yang et al. 2024, Multi-Modal Adapter, CVPR. r adapter width, W and V widths of the text and image
towers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower, image_features
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, check_depth, take, whole_prompts
from ncscope.zoo.settings import Settings

Adapter = Callable[[Tensor], Tensor]


def load_mma(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of written prompts ("a photo of a {}.") with adapters in both towers.

    Adapter i > 0 stands beside block i - 1; adapter 0 (ADAPTER_START 0) changes the tokens before
    the first block: of text before positions are added, of images after the tower's first norm.

    Raises:
        CheckpointError: other shapes than the backbone's, adapters of missing blocks, no scale.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    scale = settings.adapter_scale
    if scale is None:
        raise CheckpointError(
            f"{settings.where}: the scale of MMA's adapters is not in the file, and no log.txt "
            f"says it (ADAPTER_SCALE); give it: --adapter-scale NUMBER (0.001 in its authors' "
            f"scripts, 0.1 without them)"
        )
    text_adapters, _ = _adapters(tensors, "text", width, scale, backbone, settings)
    image_adapters, parts = _adapters(tensors, "visual", vision, scale, backbone, settings)
    source = whole_prompts(tensors, "token_embedding", backbone, settings)
    facts = {
        "adapter_scale": scale,
        "adapted_blocks": sorted(block for block in text_adapters if block >= 0),
        "adapted_tokens": -1 in text_adapters,
    }
    first, image_first = text_adapters.pop(-1, None), image_adapters.pop(-1, None)
    before = {} if image_first is None else {0: lambda tokens: tokens + image_first(tokens)}

    def text(names: list[str]) -> Tensor:
        prompts = source(names)
        if first is not None:
            shared, own = (part + first(part) for part in (prompts.shared, prompts.own))
            prompts = replace(prompts, shared=shared, own=own)
        return encode_prompts(tower, prompts, beside=text_adapters)

    def image(pixels: Tensor) -> Tensor:
        return image_features(backbone, pixels, before=before, beside=image_adapters)

    return build(backbone, settings, Sides(text, image, parts, facts))


def _adapters(
    tensors: Mapping[str, Tensor],
    side: str,
    width: int,
    scale: float,
    backbone: Backbone,
    settings: Settings,
) -> tuple[dict[int, Adapter], dict[str, Tensor]]:
    """What each block adds, by its index from 0 (the file counts from 1), and the tensors used.

    The one at -1 is of the tokens before the first block.
    """
    found = [re.fullmatch(rf"{side}_adapter\.(\d+)\.up\.weight", key) for key in tensors]
    layers = sorted(int(match[1]) for match in found if match)
    if not layers:
        raise CheckpointError(f"{settings.where}: no `{side}_adapter` of any block")
    check_depth(layers[-1], backbone, settings)
    parts: dict[str, Tensor] = {"scale": torch.tensor(scale)}
    adapters: dict[int, Adapter] = {}
    for layer in layers:
        own, shared = f"{side}_adapter.{layer}.", f"shared_adapter.{layer}.0."
        down = take(tensors, f"{own}down.0.weight", ("r", width), settings)
        rank = len(down)
        shapes = {
            f"{own}down.0.weight": (rank, width),
            f"{own}down.0.bias": (rank,),
            f"{shared}weight": (rank, rank),
            f"{shared}bias": (rank,),
            f"{own}up.weight": (width, rank),
            f"{own}up.bias": (width,),
        }
        used = {
            key: as_used(take(tensors, key, shape, settings), backbone, half=False)
            for key, shape in shapes.items()
        }
        parts |= used
        adapters[layer - 1] = _adapter(list(used.values()), scale)
    return adapters, parts


def _adapter(parts: list[Tensor], scale: float) -> Adapter:
    def adapter(normed: Tensor) -> Tensor:
        down, down_bias, shared, shared_bias, up, up_bias = (p.to(normed.dtype) for p in parts)
        inner = F.relu(F.linear(normed, down, down_bias))
        inner = F.relu(F.linear(inner, shared, shared_bias))
        return scale * F.linear(inner, up, up_bias)

    return adapter
