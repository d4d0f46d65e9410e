"""LIFT: light tuners inside the image tower and a table of class vectors (Shi et al. 2024).

arXiv:2309.10019. Features are the image tower's class token after its last norm, in the tower's own
width: the projection to CLIP's space is not used, and the table of class vectors lives there, too.
Which tuners there are, and in which blocks, is in the keys: AdaptFormer, adapters, LoRA of queries
and values, deep or shallow prompts. Tuners that need numbers from elsewhere are refused by name.
C classes, r hidden width, V width of the image tower.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build, rows_for
from ncscope.zoo.learners.parts import as_used, take
from ncscope.zoo.settings import Settings

_READ = ("adaptformer_list", "adapter_list", "lora_list", "vpt_list")
_REASONS = {
    "masked_linear_list": "which weights it tunes follows from a seed that is not in the file",
    "block_tuned": "the file does not say at which block the tuned ones begin",
}
_WHY = "its class vectors are a table of the classes it was trained on"
_TRANSFORM = (
    "LIFT's images are resized to 8/7 of the input and cropped, bilinear; the backbone's own "
    "transform is used here, so its features differ a little from the run's"
)
Parts = Mapping[str, Tensor]


def load_lift(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with tuned image features and the class vectors of its head, both V wide.

    Raises:
        CheckpointError: tuners that are not read, other shapes than the backbone's, a class that
            is not one of the training classes.
        BackboneError: the backbone has no vision transformer.
    """
    vision = check_image_tower(backbone, method=settings.method)
    table = as_used(take(tensors, "head.weight", ("C", vision), settings), backbone, half=False)
    blocks = len(backbone.model.visual.transformer.resblocks)
    tuners = _tuners(tensors, vision, blocks, backbone, settings)

    def text(names: list[str]) -> Tensor:
        return rows_for(table, names, settings, what=_WHY)

    def image(pixels: Tensor) -> Tensor:
        return _image_pass(backbone, pixels, tuners)

    kinds = sorted({key.partition(".")[0] for parts in tuners for key in parts})
    warnings = [_TRANSFORM]
    if "head.bias" in tensors:
        warnings.append("LIFT's head adds a bias to every class, which is no part of its vectors")
    parts = {f"{i}.{key}": value for i, own in enumerate(tuners) for key, value in own.items()}
    facts = {"tuners": kinds, "width": vision}
    return build(backbone, settings, Sides(text, image, parts, facts, warnings=warnings))


def _tuners(
    tensors: Mapping[str, Tensor],
    vision: int,
    blocks: int,
    backbone: Backbone,
    settings: Settings,
) -> list[Parts]:
    """The tensors of each block's tuners, by `kind.name`."""
    found: list[dict[str, Tensor]] = [{} for _ in range(blocks)]
    for key, value in tensors.items():
        if not key.startswith("tuner."):
            continue
        match = re.fullmatch(r"tuner\.(\w+)\.(\d{1,4})\.(.+)", key)
        kind = match[1] if match else key.split(".")[1]
        if match is None or kind not in _READ:
            why = _REASONS.get(kind, "it is none of the tuners that are read")
            raise CheckpointError(
                f"{settings.where}: LIFT's tuner `{kind}`: {why}; read are {', '.join(_READ)}"
            )
        if int(match[2]) >= blocks:
            raise CheckpointError(
                f"{settings.where}: a tuner of block {match[2]}, but the backbone's image tower "
                f"has {blocks} blocks. Was it trained on another backbone?"
            )
        found[int(match[2])][f"{kind}.{match[3]}"] = as_used(value, backbone, half=False)
    for index, parts in enumerate(found):
        _check(parts, index, vision, settings)
    return [dict(parts) for parts in found]


def _check(parts: Parts, index: int, vision: int, settings: Settings) -> None:
    """Refuse tuners of other shapes than the tower's width asks for."""
    for kind in {key.partition(".")[0] for key in parts}:
        shapes: dict[str, tuple[int | str, ...]] = {"prompt": ("n", vision)}
        if kind == "lora_list":
            ranks = [("lora_A", (vision, "r")), ("lora_B", ("r", vision))]
            shapes = {f"{side}.{name}": shape for side in "qv" for name, shape in ranks}
        elif kind != "vpt_list":
            shapes = {
                **{f"ln.{name}": (vision,) for name in ("weight", "bias")},
                "down_proj.weight": ("r", vision),
                "down_proj.bias": ("r",),
                "up_proj.weight": (vision, "r"),
                "up_proj.bias": (vision,),
            }
            if kind == "adaptformer_list":
                shapes["scale"] = (1,)
        own = {key.partition(".")[2]: v for key, v in parts.items() if key.startswith(f"{kind}.")}
        named = {f"tuner.{kind}.{index}.{key}": value for key, value in own.items()}
        for name, shape in shapes.items():
            take(named, f"tuner.{kind}.{index}.{name}", shape, settings)
        if extra := sorted(own.keys() - shapes.keys()):
            raise CheckpointError(
                f"{settings.where}: `tuner.{kind}.{index}.{extra[0]}` is no part of that tuner"
            )


def _image_pass(backbone: Backbone, pixels: Tensor, tuners: list[Parts]) -> Tensor:
    """(B, V): the class token after the tower's last norm."""
    visual: Any = backbone.model.visual
    with backbone.autocast():
        tokens = visual.conv1(pixels.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(tokens).expand(len(tokens), 1, -1)
        tokens = torch.cat([first, tokens], dim=1) + visual.positional_embedding.to(tokens)
        tokens, length = visual.ln_pre(tokens), tokens.shape[1]
        for block, parts in zip(visual.transformer.resblocks, tuners, strict=True):
            if "vpt_list.prompt" in parts:  # in place of the block's before
                prompt = parts["vpt_list.prompt"].to(tokens).expand(len(tokens), -1, -1)
                tokens = torch.cat([tokens[:, :length], prompt], dim=1)
            tokens = _block(block, tokens, parts)
        return visual.ln_post(tokens[:, 0]).float()


def _block(block: Any, tokens: Tensor, parts: Parts) -> Tensor:
    tokens = tokens + block.ls_1(_attention(block.attn, block.ln_1(tokens), parts))
    out = block.ls_2(block.mlp(block.ln_2(tokens)))
    if "adapter_list.up_proj.weight" in parts:
        out = out + _bottleneck(out, parts, "adapter_list.")
    if "adaptformer_list.up_proj.weight" in parts:
        scale = parts["adaptformer_list.scale"].to(tokens)
        out = out + scale * _bottleneck(tokens, parts, "adaptformer_list.")
    return tokens + out


def _attention(attn: Any, normed: Tensor, parts: Parts) -> Tensor:
    """Self-attention with low-rank changes of queries and values."""
    query, key, value = F.linear(normed, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
    if "lora_list.q.lora_A" in parts:
        query, value = query + _low_rank(normed, parts, "q"), value + _low_rank(normed, parts, "v")
    heads = [x.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for x in (query, key, value)]
    mixed = F.scaled_dot_product_attention(heads[0], heads[1], heads[2])
    return attn.out_proj(mixed.transpose(1, 2).flatten(2))


def _low_rank(x: Tensor, parts: Parts, side: str) -> Tensor:
    low, high = (parts[f"lora_list.{side}.lora_{name}"].to(x) for name in "AB")
    return x @ low @ high / low.shape[1]


def _bottleneck(x: Tensor, parts: Parts, kind: str) -> Tensor:
    own = {key.removeprefix(kind): v.to(x) for key, v in parts.items() if key.startswith(kind)}
    x = F.layer_norm(x, x.shape[-1:], own["ln.weight"], own["ln.bias"])
    hidden = F.relu(F.linear(x, own["down_proj.weight"], own["down_proj.bias"]))
    return F.linear(hidden, own["up_proj.weight"], own["up_proj.bias"])
