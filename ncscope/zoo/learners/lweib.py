"""LwEIB: small convolutions inside the blocks of both towers (Yang et al. 2025).

They lie before attention and inside the MLP, depthwise, of three tokens in the text tower and 3 x 3
patches in the image tower. In the text tower they look at the token that follows, too, so it is no
causal tower any more: every prompt is a full pass of all its positions, padding included. Class
features are means over written descriptions, whose tokens are in the file for its own classes.
C classes of T descriptions, L positions, W and V tower widths, D embedding width.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.checkpoint.class_names import tidy
from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower
from ncscope.clip.text_tower import TextTower, text_tower
from ncscope.errors import CheckpointError, shown
from ncscope.zoo.learners.learner import Learner, Sides, build, folded, rows_of
from ncscope.zoo.learners.logged import needed_number
from ncscope.zoo.learners.parts import as_used, check_depth, take
from ncscope.zoo.settings import Settings

Convs = Mapping[int, tuple[Tensor, Tensor]]  # of each block, before attention and in the MLP
_SCALE = "TRAINER.LWEIB.ADAPTER_SCALE"
_WORDS = "TRAINER.LWEIB.TEXT_CTX_INIT"
_WHY = "class features are means over written descriptions, and the file has its own classes' only"
_PROMPTS_AT_ONCE = 64  # bounds memory


def load_lweib(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of the training classes, with convolutions in both towers.

    Raises:
        CheckpointError: other shapes than the backbone's, no scale, a class that is not its own.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    scale = settings.adapter_scale
    if scale is None:
        scale = needed_number(
            settings, _SCALE, what="the scale of its convolutions", like="0.025 or 0.075"
        )
    text_convs = _convs(tensors, "text", width, backbone, settings)
    image_convs = _convs(tensors, "visual", vision, backbone, settings)
    ids = _descriptions(tensors, tower, settings)
    settings, warnings = _named(ids, backbone, settings)

    def text(names: list[str]) -> Tensor:
        rows = rows_of(names, settings, count=len(ids), what=_WHY)
        picked = ids[rows].flatten(0, 1).to(backbone.device)
        parts = picked.split(_PROMPTS_AT_ONCE)
        features = torch.cat([_text_pass(tower, part, text_convs, scale) for part in parts])
        return F.normalize(features, dim=-1).unflatten(0, (len(rows), -1)).mean(dim=1)

    def image(pixels: Tensor) -> Tensor:
        return _image_pass(backbone, pixels, image_convs, scale)

    parts = {f"{i}.{n}": conv for i, pair in image_convs.items() for n, conv in enumerate(pair)}
    facts = {
        "adapter_scale": scale,
        "adapted_blocks": sorted(text_convs),
        "descriptions": ids.shape[1],
    }
    sides = Sides(text, image, {**parts, "scale": torch.tensor(scale)}, facts, warnings=warnings)
    return build(backbone, settings, sides)


def _descriptions(tensors: Mapping[str, Tensor], tower: TextTower, settings: Settings) -> Tensor:
    """(C, T, L) token ids of the training classes' prompts."""
    limit, vocabulary = len(tower.positions), len(tower.embedding)
    take(tensors, "tk_prompts", ("C", "T", limit), settings)
    ids = tensors["tk_prompts"].long()
    if ids.numel() == 0 or int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
        raise CheckpointError(
            f"{settings.where}: `tk_prompts` is {tuple(ids.shape)} with tokens outside of "
            f"0..{vocabulary - 1}; expected prompts of the backbone's vocabulary"
        )
    return ids


def _named(ids: Tensor, backbone: Backbone, settings: Settings) -> tuple[Settings, list[str]]:
    """The settings with the file's own class names where none are given; and warnings."""
    decode: Any = getattr(backbone.tokenizer, "decode", None)
    if decode is None:
        return settings, []
    words = " ".join(settings.logged.get(_WORDS, "a photo of a").strip("'\"").split())
    first, comma = backbone.tokenizer([words, ","]).tolist()
    names = _names(ids[:, 0].tolist(), first[: first.index(max(first))], comma[1], decode)
    if names is None:
        said = f"the file's prompts are not {words!r}, a name and a comma, as {_WORDS} or the "
        return settings, [f"{said}authors' default says: class names are not read off them"]
    if settings.classnames is None:
        return replace(settings, classnames=names), []
    given = tuple(map(folded, settings.classnames))
    if given == tuple(map(folded, names)):
        return settings, []
    return settings, [f"the class list given is not the file's, which begins {shown(names)}"]


def _names(
    prompts: list[list[int]], start: list[int], comma: int, decode: Any
) -> tuple[str, ...] | None:
    """What stands between `start` and the first comma of each prompt; None where one has none."""
    names = []
    for row in prompts:
        own = row[: row.index(max(row))]
        stop = own.index(comma) if comma in own else len(own)
        if own[: len(start)] != start or stop == len(start):
            return None
        names.append(tidy(decode(own[len(start) : stop])))
    return tuple(names)


def _convs(
    tensors: Mapping[str, Tensor], side: str, width: int, backbone: Backbone, settings: Settings
) -> Convs:
    """Kernels by block from 0; the file counts from 1, and its 0 is of no block."""
    found = (
        re.fullmatch(rf"{side}_adapter\.(\d{{1,4}})\.att_conv\.conv\.weight", k) for k in tensors
    )
    layers = sorted({int(match[1]) for match in found if match} - {0})
    if not layers:
        raise CheckpointError(f"{settings.where}: no `{side}_adapter` of blocks 1, 2, ...")
    if side == "text":
        check_depth(layers[-1], backbone, settings)
    elif layers[-1] > (depth := len(backbone.model.visual.transformer.resblocks)):
        raise CheckpointError(
            f"{settings.where}: adapters of {layers[-1]} blocks, but the backbone's image tower "
            f"has {depth}. Was it trained on another backbone?"
        )
    size = (3,) if side == "text" else (3, 3)
    kernels: dict[int, tuple[Tensor, Tensor]] = {}
    for layer in layers:
        prefix = f"{side}_adapter.{layer}."
        first = take(tensors, f"{prefix}att_conv.conv.weight", (width, 1, *size), settings)
        second = take(tensors, f"{prefix}mlp_conv.conv.weight", (4 * width, 1, *size), settings)
        pair = (as_used(first, backbone, half=False), as_used(second, backbone, half=False))
        kernels[layer - 1] = pair
    return kernels


def _text_pass(tower: TextTower, ids: Tensor, convs: Convs, scale: float) -> Tensor:
    """(N, D) from (N, L) token ids, every position of every prompt."""
    tokens = tower.embedding[ids] + tower.positions
    length = tokens.shape[1]
    mask = tokens.new_full((length, length), float("-inf")).triu_(1)
    for index, block in enumerate(tower.blocks):
        tokens = _block(block, tokens, convs.get(index), _along, scale, mask)
    rows = torch.arange(len(ids), device=ids.device)
    return tower.project(tower.norm(tokens[rows, ids.argmax(dim=1)]))


def _image_pass(backbone: Backbone, pixels: Tensor, convs: Convs, scale: float) -> Tensor:
    visual: Any = backbone.model.visual
    with backbone.autocast():
        tokens = visual.conv1(pixels.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(tokens).expand(len(tokens), 1, -1)
        tokens = torch.cat([first, tokens], dim=1) + visual.positional_embedding.to(tokens)
        tokens = visual.ln_pre(tokens)
        for index, block in enumerate(visual.transformer.resblocks):
            tokens = _block(block, tokens, convs.get(index), _over_patches, scale, None)
        return (visual.ln_post(tokens[:, 0]) @ visual.proj).float()


def _block(
    block: Any,
    tokens: Tensor,
    kernels: tuple[Tensor, Tensor] | None,
    convolve: Callable[[Tensor, Tensor], Tensor],
    scale: float,
    mask: Tensor | None,
) -> Tensor:
    if kernels is None:
        return block(tokens) if mask is None else block(tokens, attn_mask=mask)
    before, inside = kernels
    normed = block.ln_1(tokens)
    normed = normed + scale * convolve(normed, before)
    mixed = block.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
    tokens = tokens + block.ls_1(mixed)
    hidden = block.mlp.c_fc(block.ln_2(tokens))
    hidden = hidden + scale * convolve(hidden, inside)
    return tokens + block.ls_2(block.mlp.c_proj(block.mlp.gelu(hidden)))


def _along(tokens: Tensor, kernel: Tensor) -> Tensor:
    """(N, L, C) through a depthwise convolution over positions."""
    kernel = kernel.to(tokens)
    return F.conv1d(tokens.transpose(1, 2), kernel, padding=1, groups=len(kernel)).transpose(1, 2)


def _over_patches(tokens: Tensor, kernel: Tensor) -> Tensor:
    """(B, 1 + P, C) through one over the square of patches; nothing is added to the class token."""
    kernel, patches = kernel.to(tokens), tokens[:, 1:].transpose(1, 2)
    side = round(patches.shape[2] ** 0.5)
    square = patches.unflatten(2, (side, side))
    square = F.conv2d(square, kernel, padding=1, groups=len(kernel))
    return F.pad(square.flatten(2).transpose(1, 2), (0, 0, 1, 0))
