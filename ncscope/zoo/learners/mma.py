"""MMA: adapters beside the upper blocks of both towers, with a part they share.

Yang et al. 2024, Multi-Modal Adapter, CVPR. r adapter width, W and V widths of the text and image
towers.
"""

import re
from collections.abc import Callable, Mapping

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

_USUAL_SCALE = 0.001
_ASSUMED = (
    "the scale of the adapters is neither in the file nor in a log.txt (ADAPTER_SCALE): the "
    "authors' usual 0.001 is taken; --adapter-scale says otherwise"
)
Adapter = Callable[[Tensor], Tensor]


def load_mma(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of "a photo of a {}." with adapters in both towers.

    Raises:
        CheckpointError: other shapes than the backbone's, adapters of missing blocks.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    scale = settings.adapter_scale if settings.adapter_scale is not None else _USUAL_SCALE
    text_adapters, _ = _adapters(tensors, "text", width, scale, backbone, settings)
    image_adapters, parts = _adapters(tensors, "visual", vision, scale, backbone, settings)
    source = whole_prompts(tensors, "token_embedding", backbone, settings)

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, source(names), beside=text_adapters)

    def image(pixels: Tensor) -> Tensor:
        return image_features(backbone, pixels, beside=image_adapters)

    facts = {"adapter_scale": scale, "adapted_blocks": sorted(text_adapters)}
    assumed = (_ASSUMED,) if settings.adapter_scale is None else ()
    return build(backbone, settings, Sides(text, image, parts, facts, warnings=assumed))


def _adapters(
    tensors: Mapping[str, Tensor],
    side: str,
    width: int,
    scale: float,
    backbone: Backbone,
    settings: Settings,
) -> tuple[dict[int, Adapter], dict[str, Tensor]]:
    """What each block adds, by its index from 0 (the file counts from 1), and the tensors used."""
    found = [re.fullmatch(rf"{side}_adapter\.(\d+)\.up\.weight", key) for key in tensors]
    layers = sorted(int(match[1]) for match in found if match)
    if not layers or layers[0] < 1:
        raise CheckpointError(f"{settings.where}: no `{side}_adapter` of blocks 1, 2, ...")
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
