"""CLIP's vision transformer with learned tokens: appended, replaced or inserted between blocks.

B images, n learned tokens, L tokens, V width of the image tower, D embedding width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.plain import Block
from ncscope.clip.text_tower import replaced
from ncscope.errors import BackboneError, ShapeError

Change = Callable[[Tensor], Tensor]  # of (B, L, V) tokens


def check_image_tower(backbone: Backbone, *, method: str) -> int:
    """Return V, the width of the backbone's vision transformer.

    Raises:
        BackboneError: the image tower is a ResNet, or no vision transformer read at its class
            token, so that tokens appended to it make no sense.
    """
    visual: Any = backbone.model.visual
    parts = ("conv1", "class_embedding", "positional_embedding", "ln_pre", "ln_post", "transformer")
    usual = all(hasattr(visual, part) for part in parts)
    pooled = usual and visual.pool_type == "tok" and visual.attn_pool is None
    if not pooled or visual.final_ln_after_pool:
        raise BackboneError(
            f"{method} puts learned tokens into a vision transformer read at its class token; the "
            f"image tower of {backbone.description['name']} is none; choose a backbone such as "
            f"ViT-B-16"
        )
    return int(visual.class_embedding.shape[0])


def image_features(
    backbone: Backbone,
    pixels: Tensor,
    *,
    appended: Tensor | None = None,
    before: Mapping[int, Change] | None = None,
    beside: Mapping[int, Change] | None = None,
) -> Tensor:
    """(B, 3, H, W) preprocessed pixels to (B, D) float32 features, not normalised.

    Arguments as for `image_tokens`.
    """
    visual: Any = backbone.model.visual
    tokens = image_tokens(backbone, pixels, appended=appended, before=before, beside=beside, read=1)
    with backbone.autocast():
        return (tokens[:, 0] @ visual.proj).float()


def image_tokens(
    backbone: Backbone,
    pixels: Tensor,
    *,
    appended: Tensor | None = None,
    before: Mapping[int, Change] | None = None,
    beside: Mapping[int, Change] | None = None,
    read: int | None = None,
) -> Tensor:
    """All tokens after the tower's last norm, (B, L, V), the class token first; differentiable.

    Args:
        appended: (n, V) tokens that follow the patches, without positions, before `ln_pre`.
        before: changes the tokens before a block, by its index from 0.
        beside: what a block adds to its output, from its normalised input (adapters).
        read: how many tokens are looked at, the first ones; there may be more.
    """
    visual: Any = backbone.model.visual
    before, beside = before or {}, beside or {}
    with backbone.autocast():
        tokens = visual.conv1(pixels.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(tokens).expand(len(tokens), 1, -1)
        tokens = torch.cat([first, tokens], dim=1) + visual.positional_embedding.to(tokens)
        if appended is not None:
            _check_width(appended, tokens)
            new = appended.to(tokens).expand(len(tokens), -1, -1)
            tokens = torch.cat([tokens, new], dim=1)
        tokens = visual.ln_pre(tokens)
        last = len(visual.transformer.resblocks) - 1
        for index, block in enumerate(visual.transformer.resblocks):
            tokens = before[index](tokens) if index in before else tokens
            extra = beside.get(index)
            added = None if extra is None else extra(block.ln_1(tokens))
            own = index == last and isinstance(block, Block)
            tokens = block(tokens, first=read) if own else block(tokens)
            tokens = tokens if added is None else tokens + added[:, : tokens.shape[1]]
        return visual.ln_post(tokens)


def _check_width(appended: Tensor, tokens: Tensor) -> None:
    if appended.ndim != 2 or appended.shape[1] != tokens.shape[2]:
        raise ShapeError(
            f"tokens to append are {tuple(appended.shape)}; expected (n, {tokens.shape[2]}). "
            f"Another backbone?"
        )


def deep_image_prompts(prompts: Sequence[Tensor]) -> dict[int, Change]:
    """Prompts of (n, V) each that replace the last n tokens before blocks 1, 2, ..."""
    return {
        block: lambda tokens, new=new: replaced(tokens, new, start=tokens.shape[1] - len(new))
        for block, new in enumerate(prompts, start=1)
    }
