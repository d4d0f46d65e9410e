"""CLIP-LoRA: low-rank changes of the attention weights (Zanella and Ben Ayed 2024).

arXiv:2405.18541. Merged into the weights once: W + alpha / sqrt(r) x B A. r rank, d width of a
tower.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower
from ncscope.clip.prompts import TEMPLATES
from ncscope.clip.text_tower import text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import plain_text, take, templates_of
from ncscope.zoo.settings import Settings

# Blocks of a tower of 12; the authors use the same numbers for deeper image towers
_POSITIONS = {
    "top": (11,),
    "top1": (11,),
    "top2": (10, 11),
    "top3": (9, 10, 11),
    "bottom": (0, 1, 2, 3),
    "mid": (4, 5, 6, 7),
    "up": (8, 9, 10, 11),
    "half-up": (6, 7, 8, 9, 10, 11),
    "half-bottom": (0, 1, 2, 3, 4, 5),
}
_PARTS = ("q_proj", "k_proj", "v_proj")  # in the order of the joint projection


def load_clip_lora(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner on a copy of the backbone with the changes merged in.

    Raises:
        CheckpointError: no rank and alpha in the file, or layers that do not fit the towers.
    """
    rank, alpha = settings.extras.get("metadata.r"), settings.extras.get("metadata.alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        raise CheckpointError(f"{settings.where}: `metadata` with `r` and `alpha` is not in it")
    check_image_tower(backbone, method=settings.method)
    merged = copy.deepcopy(backbone.model)
    blocks = _blocks(merged, tensors, settings)
    with torch.no_grad():
        for index, block in enumerate(blocks):
            _merge(block.attn, tensors, f"weights.layer_{index}.", alpha / rank**0.5, settings)
    tuned = dataclasses.replace(backbone, model=merged)
    parts = {key: value for key, value in tensors.items() if ".w_lora_" in key}
    parts["scale"] = torch.tensor(alpha / rank**0.5)
    facts = {
        "rank": rank,
        "alpha": alpha,
        "layers": len(blocks),
        "templates": list(templates_of(settings, TEMPLATES)),
    }
    text = plain_text(tuned, settings, TEMPLATES)
    return build(backbone, settings, Sides(text, tuned.encode_image, parts, facts))


def _blocks(model, tensors: Mapping[str, Tensor], settings: Settings) -> Sequence:
    """The blocks that `layer_0`, `layer_1`, ... stand for: the text tower's first."""
    numbers = {int(m[1]) for key in tensors if (m := re.match(r"weights\.layer_(\d+)\.", key))}
    count = len(numbers)
    encoder = settings.extras.get("metadata.encoder", "both")
    position = settings.extras.get("metadata.position", "all")
    text = list(text_tower(model).blocks) if encoder in ("text", "both") else []
    image = list(model.visual.transformer.resblocks) if encoder in ("vision", "both") else []
    if position == "all":
        image = image[: count - len(text)]  # the authors' "all" of a deep image tower is its first
    elif isinstance(position, str) and position in _POSITIONS:
        chosen = _POSITIONS[position]
        text = [text[i] for i in chosen if i < len(text)]
        image = [image[i] for i in chosen if i < len(image)]
    blocks = [*text, *image]
    if numbers != set(range(len(blocks))):
        raise CheckpointError(
            f"{settings.where}: changes of {count} layers (encoder {encoder!r}, position "
            f"{position!r}) do not fit the backbone, which has {len(blocks)}. Was it trained on "
            f"another backbone?"
        )
    return blocks


def _merge(
    attn: torch.nn.MultiheadAttention,
    tensors: Mapping[str, Tensor],
    prefix: str,
    scale: float,
    settings: Settings,
) -> None:
    """Add the changes of one layer to its attention's weights, in place."""
    width = attn.embed_dim
    places = [
        (part, attn.in_proj_weight[i * width : (i + 1) * width]) for i, part in enumerate(_PARTS)
    ]
    for part, weight in [*places, ("proj", attn.out_proj.weight)]:
        if f"{prefix}{part}.w_lora_A" in tensors:
            low = take(tensors, f"{prefix}{part}.w_lora_A", ("r", width), settings)
            high = take(tensors, f"{prefix}{part}.w_lora_B", (width, len(low)), settings)
            weight += (scale * high @ low).to(weight)
