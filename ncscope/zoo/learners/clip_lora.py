"""CLIP-LoRA: low-rank changes of the attention weights (Zanella and Ben Ayed 2024).

arXiv:2405.18541. Merged into the weights once: W + alpha / sqrt(r) x B A. The prompt is "a photo of
a {}." whatever the data set: the authors' lists of others are commented out. r rank, d width of a
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
from ncscope.clip.prompts import DEFAULT_TEMPLATE
from ncscope.clip.text_tower import text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import take, written_text
from ncscope.zoo.settings import Settings

# Blocks of a tower of 12
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
# Of ViT-L/14's image tower of 24. Until September 2024 its numbers were those of 12 blocks, and all
# meant the first 21; which a file is of is told by how many layers it has.
_DEEP = {"half-up": tuple(range(12, 24)), "half-bottom": tuple(range(12))}
_DEEP_ALL = (24, 21)
_PARTS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "proj"}  # joint projection, then output
_ENCODERS = ("text", "vision", "both")


def load_clip_lora(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner on a copy of the backbone with the changes merged in.

    Raises:
        CheckpointError: `metadata` that lacks or contradicts the tensors, or layers that do not fit
            the towers.
    """
    rank, alpha = settings.extras.get("metadata.r"), settings.extras.get("metadata.alpha")
    if not isinstance(rank, int) or not isinstance(alpha, int | float) or rank < 1:
        raise CheckpointError(f"{settings.where}: `metadata` with `r` and `alpha` is not in it")
    check_image_tower(backbone, method=settings.method)
    merged = copy.deepcopy(backbone.model)
    blocks = _blocks(merged, tensors, settings)
    _check_parts(tensors, settings, layers=len(blocks))
    with torch.no_grad():
        for index, block in enumerate(blocks):
            prefix = f"weights.layer_{index}."
            _merge(block.attn, tensors, prefix, settings, rank=rank, scale=alpha / rank**0.5)
    tuned = dataclasses.replace(backbone, model=merged)
    parts = {key: value for key, value in tensors.items() if ".w_lora_" in key}
    parts["scale"] = torch.tensor(alpha / rank**0.5)
    text, facts = written_text(tuned, settings, usual=(DEFAULT_TEMPLATE,))
    facts |= {"rank": rank, "alpha": alpha, "layers": len(blocks)}
    return build(backbone, settings, Sides(text, tuned.encode_image, parts, facts))


def _blocks(model, tensors: Mapping[str, Tensor], settings: Settings) -> Sequence:
    """The blocks that `layer_0`, `layer_1`, ... stand for: the text tower's first."""
    numbers = {int(m[1]) for key in tensors if (m := re.match(r"weights\.layer_(\d+)\.", key))}
    encoder = settings.extras.get("metadata.encoder")
    position = settings.extras.get("metadata.position")
    if encoder not in _ENCODERS or not (position == "all" or position in _POSITIONS):
        raise CheckpointError(
            f"{settings.where}: `metadata` says encoder {encoder!r} and position {position!r}; "
            f"expected one of {', '.join(_ENCODERS)} and one of {', '.join(_POSITIONS)}, all"
        )
    text = list(text_tower(model).blocks) if encoder != "vision" else []
    image = list(model.visual.transformer.resblocks) if encoder != "text" else []
    own = _chosen(position, len(text))
    ways = [(own, way) for way in _image_ways(position, len(image))]
    fitting = [way for way in ways if numbers == set(range(len(way[0]) + len(way[1])))]
    if not fitting:
        counts = " or ".join(str(len(own) + len(way)) for own, way in ways)
        raise CheckpointError(
            f"{settings.where}: changes of {len(numbers)} layers (encoder {encoder!r}, position "
            f"{position!r}) do not fit the backbone, which has {counts or 'no such layers'}. Was "
            f"it trained on another backbone?"
        )
    own, way = fitting[0]
    return [*(text[i] for i in own), *(image[i] for i in way)]


def _chosen(position: object, count: int) -> tuple[int, ...]:
    """The blocks of a position in a tower of `count`, as in a tower of 12."""
    if position == "all":
        return tuple(range(count))
    return tuple(i for i in _POSITIONS[str(position)] if i < count)


def _image_ways(position: object, count: int) -> list[tuple[int, ...]]:
    """What a position may mean in the image tower, the newer meaning first."""
    if count != 24:
        return [_chosen(position, count)]
    if position == "all":
        return [tuple(range(number)) for number in _DEEP_ALL]
    newer = [_DEEP[str(position)]] if position in _DEEP else []
    older = [] if str(position).startswith("top") else [_POSITIONS[str(position)]]
    return newer + older


def _check_parts(tensors: Mapping[str, Tensor], settings: Settings, *, layers: int) -> None:
    """Refuse layers whose changed weights are not those that `metadata.params` names."""
    params = settings.extras.get("metadata.params")
    if not isinstance(params, tuple) or not params or not set(params) <= set(_PARTS):
        raise CheckpointError(
            f"{settings.where}: `metadata` says params {params!r}; expected some of "
            f"{', '.join(_PARTS)}"
        )
    wanted = {_PARTS[str(name)] for name in params}
    for index in range(layers):
        prefix = f"weights.layer_{index}."
        found = {
            key.removeprefix(prefix).split(".")[0] for key in tensors if key.startswith(prefix)
        }
        if found != wanted:
            raise CheckpointError(
                f"{settings.where}: layer {index} changes {', '.join(sorted(found))}; `metadata` "
                f"says params {', '.join(map(str, params))}, so {', '.join(sorted(wanted))} was "
                f"expected: the file contradicts itself"
            )


def _merge(
    attn: torch.nn.MultiheadAttention,
    tensors: Mapping[str, Tensor],
    prefix: str,
    settings: Settings,
    *,
    rank: int,
    scale: float,
) -> None:
    """Add the changes of one layer to its attention's weights, in place."""
    width = attn.embed_dim
    *joint, output = _PARTS.values()
    places = [
        (part, attn.in_proj_weight[i * width : (i + 1) * width]) for i, part in enumerate(joint)
    ]
    for part, weight in [*places, (output, attn.out_proj.weight)]:
        low_key = f"{prefix}{part}.w_lora_A"
        if low_key in tensors:
            low = take(tensors, low_key, ("r", width), settings)
            if len(low) != rank:
                raise CheckpointError(
                    f"{settings.where}: `{low_key}` has rank {len(low)}; `metadata` says r "
                    f"{rank}: the file contradicts itself"
                )
            high = take(tensors, f"{prefix}{part}.w_lora_B", (width, rank), settings)
            weight += (scale * high @ low).to(weight)
