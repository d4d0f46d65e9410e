"""Names of weights in Hugging Face's CLIP and SigLIP, and where each lies in our towers.

Queries, keys and values are apart there and one tensor here; projections are the other way round.
The same places serve whole weights and what an adapter adds to one of them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.errors import BackboneError

_BLOCK = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_PARTS = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}
_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
    "head.weight": "text_projection.weight",  # SigLIP's
    "head.bias": "text_projection.bias",
}
_VISION = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.patch_embedding.bias": "conv1.bias",  # SigLIP's
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",  # so spelt
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}
_TURNED = ("text_projection.weight", "visual_projection.weight")
_LAYER = re.compile(r"encoder\.layers\.(\d{1,4})\.([a-z0-9_.]+)\.(weight|bias)")
_PROBE = re.compile(r"head\.(probe|(attention|layernorm|mlp)\.[a-z0-9_.]+)")
_BUFFERS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
SIDES = ("text_model.", "vision_model.")


@dataclass(frozen=True)
class Place:
    """A weight's name here, the third of its rows where it is one, and whether it is transposed."""

    name: str
    part: int | None = None
    turned: bool = False

    def of(self, tensor: Tensor) -> Tensor:
        """The view of our tensor that has the shape and order of theirs."""
        if self.part is not None:
            tensor = tensor.chunk(3)[self.part]
        return tensor.T if self.turned else tensor


def is_hf(names: Mapping[str, object]) -> bool:
    """Whether weights are named as in Hugging Face's models."""
    return any(name.startswith(SIDES) for name in names)


def place_of(name: str, *, text: str = "") -> Place | None:
    """Where a weight lies here; None for a name that is none of theirs.

    Args:
        text: what our names of the text tower begin with: `text.` in a SigLIP.
    """
    if name in ("logit_scale", "logit_bias"):
        return Place(name)
    if name in _TURNED:
        return Place("visual.proj" if name == _TURNED[1] else f"{text}text_projection", turned=True)
    for side, ours, table in zip(SIDES, (text, "visual."), (_TEXT, _VISION), strict=True):
        if not name.startswith(side):
            continue
        rest = name.removeprefix(side)
        if rest in table:
            return Place(ours + table[rest])
        if (layer := _LAYER.fullmatch(rest)) is not None:
            return _in_block(f"{ours}transformer.resblocks.{layer[1]}.", layer[2], layer[3])
        if side == "vision_model." and _PROBE.fullmatch(rest):
            return Place(ours + rest)
    return None


def _in_block(block: str, module: str, kind: str) -> Place | None:
    if module in _PARTS:
        return Place(f"{block}attn.in_proj_{kind}", _PARTS[module])
    return Place(f"{block}{_BLOCK[module]}.{kind}") if module in _BLOCK else None


def our_names(tensors: Mapping[str, Tensor], *, where: str, text: str = "") -> dict[str, Tensor]:
    """The weights under our names; names that are none of theirs stay, and fit no model.

    Raises:
        BackboneError: queries, keys and values that do not belong together.
    """
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, value in tensors.items():
        place = place_of(name, text=text)
        if name in _BUFFERS:
            continue
        if place is None:
            found[name] = value
        elif place.part is not None:
            parts.setdefault(place.name, {})[place.part] = value
        elif place.turned and value.ndim == 2:
            found[place.name] = value.T.contiguous()
        else:
            found[place.name] = value
    for name, thirds in parts.items():
        kinds = {(part.shape, part.dtype) for part in thirds.values()}
        if len(thirds) < 3 or len(kinds) > 1 or thirds[min(thirds)].ndim == 0:
            raise BackboneError(
                f"{where}: the queries, keys and values of `{name}` are {len(thirds)} tensors of "
                f"{len(kinds)} kinds; expected three alike"
            )
        found[name] = torch.cat([thirds[i] for i in range(3)])
    return found
