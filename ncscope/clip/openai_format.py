"""OpenAI's CLIP state dicts: recognising them, and the architecture that their shapes tell.

What no shape tells, the activation and the width of a head, is the same in every model that
OpenAI published: QuickGELU, 64.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ncscope.errors import BackboneError

EXTRA_KEYS = ("input_resolution", "context_length", "vocab_size")  # numbers beside the weights
VOCABULARY = 49408
_WIDEST_VIT = 1024  # wider ones (ViT-H, -g, -G; none is OpenAI's) have heads of another width


def precision_is_openais(tensors: Mapping[str, Tensor]) -> bool:
    """Whether weights are half precision and layer norms are not, as in OpenAI's files.

    Others publish their models in one precision; a model halved throughout says nothing.
    """
    weight, norm = tensors.get("visual.conv1.weight"), tensors.get("ln_final.weight")
    if weight is None or norm is None:
        return False
    return weight.dtype == torch.float16 and norm.dtype == torch.float32


def architecture(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, Any]:
    """Read an open_clip model configuration off the shapes of an OpenAI-format state dict.

    Raises:
        BackboneError: keys are missing, or the shapes are none that OpenAI's format has.
    """
    for key in ("text_projection", "positional_embedding", "token_embedding.weight"):
        if key not in tensors or tensors[key].ndim != 2:
            raise BackboneError(
                f"{where}: no CLIP state dict in OpenAI's format (no 2-D `{key}`); name its "
                f"architecture: --backbone NAME --pretrained {where}"
            )
    vocabulary, text_width = tensors["token_embedding.weight"].shape
    if vocabulary != VOCABULARY:
        raise BackboneError(
            f"{where}: {vocabulary} tokens; expected {VOCABULARY}, CLIP's byte-pair vocabulary"
        )
    return {
        "embed_dim": tensors["text_projection"].shape[1],
        "vision_cfg": _vision(tensors, where),
        "text_cfg": {
            "context_length": tensors["positional_embedding"].shape[0],
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": _heads(text_width, where),
            "layers": _count(r"transformer\.resblocks\.(\d+)\.", tensors, where),
        },
        "quick_gelu": True,
    }


def _vision(tensors: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    conv = tensors.get("visual.conv1.weight")
    position = tensors.get("visual.positional_embedding")
    if position is None:
        position = tensors.get("visual.attnpool.positional_embedding")
    if conv is None or position is None or conv.ndim != 4 or position.ndim != 2:
        raise BackboneError(f"{where}: the image tower is neither a ViT nor a ResNet of OpenAI's")
    side = round((position.shape[0] - 1) ** 0.5)
    if side < 1 or side**2 + 1 != position.shape[0]:
        raise BackboneError(f"{where}: {position.shape[0]} image positions, not a square and one")
    if "visual.proj" not in tensors:
        stages = [rf"visual\.layer{stage}\.(\d+)\." for stage in (1, 2, 3, 4)]
        return {
            "layers": [_count(stage, tensors, where) for stage in stages],
            "width": 2 * conv.shape[0],  # of the stem's last convolution
            "patch_size": None,
            "image_size": 32 * side,
        }
    width, patch = conv.shape[0], conv.shape[-1]
    _heads(width, where)
    if width > _WIDEST_VIT:
        raise BackboneError(
            f"{where}: an image tower {width} wide is not OpenAI's, so its heads are not known; "
            f"name its architecture: --backbone NAME --pretrained {where}"
        )
    layers = _count(r"visual\.transformer\.resblocks\.(\d+)\.", tensors, where)
    return {"layers": layers, "width": width, "patch_size": patch, "image_size": patch * side}


def _heads(width: int, where: str) -> int:
    if width % 64:
        raise BackboneError(f"{where}: a tower {width} wide; expected a multiple of 64, one a head")
    return width // 64


def _count(pattern: str, tensors: Mapping[str, Tensor], where: str) -> int:
    found = {match[1] for key in tensors if (match := re.match(pattern, key))}
    if not found:
        raise BackboneError(f"{where}: no keys like {pattern.replace(chr(92), '')}")
    return len(found)
