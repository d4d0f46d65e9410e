"""CLIP's text tower for learned prompts: tokens that all classes share run once, not per class.

The tower is causal: tokens after end-of-text change nothing, and start-of-text with a learned
context is the same for every class, at every layer. So it is one short sequence, and the classes'
own tokens (name, full stop, end-of-text) attend to its keys and values and to their own. Values
and gradients are those of the full pass over K x 77 tokens. Deep prompts are edits of what flows
between two blocks.

B prompt contexts (1, or one an image), K classes, L positions, P shared tokens, S own tokens of the
longest class, T own tokens of all classes, n replaced or inserted tokens, H heads, W token width,
D embedding width.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ncscope.errors import BackboneError, ShapeError


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the T own tokens lie in a padded (K, S) table."""

    lengths: Tensor  # (K,), on the CPU
    longest: int  # S
    place: Tensor  # (T,) in 0..K*S-1
    last: Tensor  # (K,): end-of-text among the T tokens


@dataclass(frozen=True, eq=False)
class Flow:
    """`shared` (B, P, W), start-of-text first, and `own` (B, T, W), end-of-text last."""

    shared: Tensor
    own: Tensor
    packing: Packing


Edit = Callable[[Flow], Flow]  # of the tokens before a block
Extra = Callable[[Tensor], Tensor]  # (B, L, W) normalised input of a block to an addition


@dataclass(frozen=True, eq=False)
class TextTower:
    """The parts of a model that prompts pass through; its frozen weights stay where they are."""

    blocks: tuple[Any, ...]
    embedding: Tensor  # (V, W) of the vocabulary's V tokens
    positions: Tensor  # (L, W)
    norm: nn.Module
    project: Callable[[Tensor], Tensor]  # (..., W) to (..., D)


@dataclass(frozen=True, eq=False)
class Prompts:
    """Embedded prompts without positions: start-of-text first, end-of-text last.

    `shared` is (P, W), or (B, P, W) where contexts differ by image; `own` is (K, S, W), each class
    padded at its end; `lengths` (K,), best on the CPU, counts each class's own tokens.
    """

    shared: Tensor
    own: Tensor
    lengths: Tensor


def text_tower(model: nn.Module) -> TextTower:
    """The text tower of an open_clip model.

    Raises:
        BackboneError: it is not CLIP's causal transformer, which prompts are defined on.
    """
    tower: Any = getattr(model, "text", model)
    blocks = tuple(getattr(getattr(tower, "transformer", None), "resblocks", ()))
    pooling = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
    causal = getattr(tower, "attn_mask", None) is not None
    usual = all(isinstance(getattr(block, "attn", None), nn.MultiheadAttention) for block in blocks)
    added = getattr(tower, "cls_emb", None) is not None
    if not (blocks and usual and causal and pooling in ("argmax", "eos")) or added:
        raise BackboneError(
            "the backbone's text tower is not CLIP's causal transformer read at end-of-text, which "
            "learned prompts need; choose a backbone of CLIP's architecture, such as ViT-B-16"
        )
    weights = tower.text_projection
    linear = isinstance(weights, nn.Linear)
    project = weights if linear else (lambda x: x if weights is None else x @ weights)
    embedding, positions = tower.token_embedding.weight, tower.positional_embedding
    return TextTower(blocks, embedding, positions, tower.ln_final, project)


def encode_prompts(
    tower: TextTower,
    prompts: Prompts,
    *,
    before: Mapping[int, Edit] | None = None,
    beside: Mapping[int, Extra] | None = None,
) -> Tensor:
    """Text features of prompts, not normalised, differentiable.

    Args:
        before: changes the tokens before a block, by its index from 0 (deep prompts).
        beside: what a block adds to its output, from its normalised input (adapters).

    Returns:
        (K, D), or (B, K, D) where the shared tokens are (B, P, W).

    Raises:
        ShapeError: prompts of other shapes, or longer than the tower's positions.
    """
    before, beside = before or {}, beside or {}
    flow = _start(tower, prompts)
    for index, block in enumerate(tower.blocks):
        flow = before[index](flow) if index in before else flow
        extra = beside.get(index)
        flow = _block(block, flow, extra, read=index == len(tower.blocks) - 1)
    features = tower.project(tower.norm(flow.own))
    return features if prompts.shared.ndim == 3 else features[0]


def _start(tower: TextTower, prompts: Prompts) -> Flow:
    """Embedded prompts with their positions added, own tokens packed."""
    shared, own = prompts.shared.to(tower.positions), prompts.own.to(tower.positions)
    limit, width = tower.positions.shape
    if shared.ndim not in (2, 3) or own.ndim != 3 or {shared.shape[-1], own.shape[-1]} != {width}:
        raise ShapeError(
            f"prompts must be (P, {width}) or (B, P, {width}) shared and (K, S, {width}) own "
            f"tokens; got {tuple(shared.shape)} and {tuple(own.shape)}. Another backbone?"
        )
    packing = pack(prompts.lengths, device=own.device)
    num_shared = shared.shape[-2]
    if num_shared + packing.longest > limit or packing.longest > own.shape[1]:
        raise ShapeError(
            f"the longest prompt has {num_shared} + {packing.longest} tokens; expected at most "
            f"{limit}; shorten the class names or the context"
        )
    shared = shared.reshape(-1, num_shared, width) + tower.positions[:num_shared]
    own = own[:, : packing.longest] + tower.positions[num_shared:][: packing.longest]
    own = own.flatten(0, 1).index_select(0, packing.place)
    return Flow(shared, own.expand(len(shared), -1, -1), packing)


def _block(block: Any, flow: Flow, extra: Extra | None, *, read: bool) -> Flow:
    """One pre-norm block; the tower's last one, which `read` is set for, gives end-of-text only."""
    shared, own, last = flow.shared, flow.own, flow.packing.last
    normed, own_normed = block.ln_1(shared), block.ln_1(own)
    mixed, own_mixed = _attention(block.attn, normed, own_normed, flow.packing)
    if read:
        own, own_mixed, own_normed = (x.index_select(1, last) for x in (own, own_mixed, own_normed))
    else:
        shared = _rest(block, shared, mixed, extra, normed)
    return Flow(shared, _rest(block, own, own_mixed, extra, own_normed), flow.packing)


def _rest(block: Any, tokens: Tensor, mixed: Tensor, extra: Extra | None, normed: Tensor) -> Tensor:
    """What follows attention in a block."""
    tokens = tokens + block.ls_1(block.attn.out_proj(mixed))
    tokens = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return tokens if extra is None else tokens + extra(normed)


def _attention(
    attn: nn.MultiheadAttention, shared: Tensor, own: Tensor, packing: Packing
) -> tuple[Tensor, Tensor]:
    """Causal attention of both kinds of tokens, before the output projection.

    Plain matrix products: shared keys serve all classes in one product without being copied, and
    on a CPU the backward pass of torch's fused attention is slower.
    """
    batch, num_shared, width = shared.shape
    heads, longest = attn.num_heads, packing.longest
    projection = (attn.in_proj_weight, attn.in_proj_bias)
    query, key, value = _by_head(F.linear(shared, *projection), heads)  # (B, H, P, W/H)
    scores = query @ key.transpose(-1, -2)
    scores = scores + _causal(num_shared, scores.dtype, scores.device)
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, num_shared, width)

    table = F.linear(own, *projection)
    rows = len(packing.lengths) * longest
    table = table.new_zeros(batch, rows, 3 * width).index_copy(1, packing.place, table)
    own_query, own_key, own_value = _by_head(table, heads)  # (B, H, K*S, W/H)
    by_class = (batch, heads, len(packing.lengths), longest, width // heads)
    near = own_query.reshape(by_class) @ own_key.reshape(by_class).transpose(-1, -2)
    near = near + _causal(longest, near.dtype, near.device)  # (B, H, K, S, S)
    scores = torch.cat([own_query @ key.transpose(-1, -2), near.flatten(2, 3)], dim=-1)
    far, near = scores.softmax(-1).split([num_shared, longest], dim=-1)
    near = near.reshape(*by_class[:-1], longest) @ own_value.reshape(by_class)
    own_mixed = (far @ value + near.flatten(2, 3)).transpose(1, 2).reshape(batch, rows, width)
    return mixed, own_mixed.index_select(1, packing.place)


def _by_head(table: Tensor, heads: int) -> tuple[Tensor, ...]:
    """(B, L, 3W) to scaled queries, keys and values of (B, H, L, W/H)."""
    batch, length, _ = table.shape
    split = table.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    query, key, value = split.unbind(0)
    return query * key.shape[-1] ** -0.5, key, value


@functools.lru_cache(maxsize=64)
def _causal(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        mask = torch.full((length, length), float("-inf"), dtype=dtype, device=device)
        return mask.triu_(1)


def deep_prompts(prompts: Sequence[Tensor], *, start: int = 1) -> dict[int, Edit]:
    """Prompts that replace positions `start`.. before blocks 1, 2, ... of the text tower.

    Args:
        prompts: (n, W) or (B, n, W) each.
    """
    return {
        block: on_shared(lambda tokens, new=new: replaced(tokens, new, start=start))
        for block, new in enumerate(prompts, start=1)
    }


def class_specific(context: Tensor) -> Edit:
    """An edit that replaces positions 1..n of class k by row k of (K, n, W).

    From there on only start-of-text is shared.
    """

    def edit(flow: Flow) -> Flow:
        batch, num_shared, width = flow.shared.shape
        classes, count, _ = context.shape
        if classes != len(flow.packing.lengths) or count >= num_shared:
            raise ShapeError(
                f"class-specific prompts are {tuple(context.shape)}; expected "
                f"({len(flow.packing.lengths)}, n, {width}) with n < {num_shared}"
            )
        packing = pack(flow.packing.lengths + num_shared - 1, device=flow.own.device)
        own = flow.own.new_zeros(batch, classes, flow.packing.longest, width)
        own = own.flatten(1, 2).index_copy(1, flow.packing.place, flow.own)
        own = own.view(batch, classes, -1, width)
        kept = flow.shared[:, None, 1 + count :].expand(-1, classes, -1, -1)
        own = torch.cat([context.to(own).expand(batch, -1, -1, -1), kept, own], dim=2)
        own = own.flatten(1, 2).index_select(1, packing.place)
        return Flow(flow.shared[:, :1], own, packing)

    return edit


def on_shared(change: Callable[[Tensor], Tensor]) -> Edit:
    """An edit of the shared tokens alone."""
    return lambda flow: replace(flow, shared=change(flow.shared))


def replaced(tokens: Tensor, new: Tensor, *, start: int) -> Tensor:
    """(B, L, W) tokens with (n, W) or (B, n, W) new ones from position `start` on.

    Raises:
        ShapeError: they do not fit.
    """
    stop = start + new.shape[-2]
    if new.shape[-1] != tokens.shape[-1] or stop > tokens.shape[1] or start < 0:
        raise ShapeError(
            f"deep prompts are {tuple(new.shape)}; expected (n, {tokens.shape[-1]}) that fit "
            f"between positions {start} and {tokens.shape[1]}. Another backbone?"
        )
    new = new.to(tokens).expand(len(tokens), -1, -1)
    return torch.cat([tokens[:, :start], new, tokens[:, stop:]], dim=1)


def inserted(tokens: Tensor, new: Tensor, *, start: int) -> Tensor:
    """(B, L, W) tokens with (n, W) more ones before position `start`."""
    new = new.to(tokens).expand(len(tokens), -1, -1)
    return torch.cat([tokens[:, :start], new, tokens[:, start:]], dim=1)


def pack(lengths: Tensor, *, device: torch.device | None = None) -> Packing:
    """(K,) lengths of at least 1 to the places of their tokens.

    Counted on the CPU and kept for the same lengths, so that a step of training, whose classes are
    those of the step before, neither counts nor waits for a device.
    """
    return _packed(tuple(lengths.tolist()), device or lengths.device)


@functools.lru_cache(maxsize=64)
def _packed(lengths: tuple[int, ...], device: torch.device) -> Packing:
    with torch.inference_mode(False):  # no gradient could pass by its tensors
        counts, longest = torch.tensor(lengths), max(lengths)
        filled = torch.arange(longest) < counts[:, None]  # (K, S)
        place, last = filled.flatten().nonzero().flatten(), counts.cumsum(0) - 1
        return Packing(counts, longest, place.to(device), last.to(device))
