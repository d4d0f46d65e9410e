"""Slow, plain forward passes of prompted CLIP towers, in the manner of the published code.

Written from the description of each method alone, on OpenAI-named state dicts: sequence first
(L, N, W), all 77 text positions, every class and image a full pass, one block after another. They
share no code with the library.
"""

import math

import torch
from torch import Tensor

State = dict[str, Tensor]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def attention(x: Tensor, state: State, prefix: str, heads: int, causal: bool) -> Tensor:
    """Multi-head self-attention over (L, N, W), head by head."""
    length, _, width = x.shape
    qkv = x @ state[f"{prefix}attn.in_proj_weight"].T + state[f"{prefix}attn.in_proj_bias"]
    query, key, value = qkv[..., :width], qkv[..., width : 2 * width], qkv[..., 2 * width :]
    size = width // heads
    mixed = []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = torch.einsum("inw,jnw->nij", query[..., part], key[..., part]) / math.sqrt(size)
        if causal:
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        mixed.append(torch.einsum("nij,jnw->inw", scores.softmax(dim=-1), value[..., part]))
    out = torch.cat(mixed, dim=-1)
    return out @ state[f"{prefix}attn.out_proj.weight"].T + state[f"{prefix}attn.out_proj.bias"]


def norm(x: Tensor, state: State, name: str) -> Tensor:
    return layer_norm(x, state[f"{name}.weight"], state[f"{name}.bias"])


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def block(x: Tensor, state: State, prefix: str, heads: int, *, causal: bool, quick: bool = True):
    x = x + attention(norm(x, state, f"{prefix}ln_1"), state, prefix, heads, causal)
    inner = linear(norm(x, state, f"{prefix}ln_2"), state, f"{prefix}mlp.c_fc")
    inner = inner * torch.sigmoid(1.702 * inner) if quick else torch.nn.functional.gelu(inner)
    return x + linear(inner, state, f"{prefix}mlp.c_proj")


def depth(state: State, prefix: str) -> int:
    count = 0
    while f"{prefix}transformer.resblocks.{count}.ln_1.weight" in state:
        count += 1
    return count


def text_forward(
    state: State, prompts: Tensor, eot: list[int], *, heads: int, change=None, quick: bool = True
) -> Tensor:
    """(N, D) from (N, 77, W) embedded prompts; `change(i, x, x_in)` may alter tokens of block i.

    `change` is called with (L, N, W) tokens and the step, "before" or "after" block i.
    """
    x = prompts + state["positional_embedding"]
    x = x.permute(1, 0, 2)
    for i in range(depth(state, "")):
        if change is not None:
            x = change("before", i, x, x)
        x_in = x
        x = block(x, state, f"transformer.resblocks.{i}.", heads, causal=True, quick=quick)
        if change is not None:
            x = change("after", i, x, x_in)
    x = norm(x, state, "ln_final").permute(1, 0, 2)
    rows = [x[n, eot[n]] @ state["text_projection"] for n in range(len(x))]
    return torch.stack(rows)


def image_tokens(state: State, pixels: Tensor, *, heads: int, appended=None, change=None) -> Tensor:
    """(N, L, V) tokens after the last block, before ln_post; `appended` (n, V) go in at the end."""
    kernel = state["visual.conv1.weight"]
    x = torch.nn.functional.conv2d(pixels, kernel, stride=kernel.shape[-1])
    x = x.flatten(2).permute(0, 2, 1)
    first = state["visual.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + state["visual.positional_embedding"]
    if appended is not None:
        x = torch.cat([x, appended.expand(len(x), -1, -1)], dim=1)
    x = norm(x, state, "visual.ln_pre").permute(1, 0, 2)
    for i in range(depth(state, "visual.")):
        if change is not None:
            x = change("before", i, x, x)
        x_in = x
        x = block(x, state, f"visual.transformer.resblocks.{i}.", heads, causal=False)
        if change is not None:
            x = change("after", i, x, x_in)
    return x.permute(1, 0, 2)


def image_forward(state: State, pixels: Tensor, *, heads: int, appended=None, change=None):
    tokens = image_tokens(state, pixels, heads=heads, appended=appended, change=change)
    return norm(tokens[:, 0], state, "visual.ln_post") @ state["visual.proj"]


def replace_text(prompts: list[Tensor], *, start: int = 1):
    """Deep text prompts: before block i = 1, 2, ... positions start.. become prompts[i - 1]."""

    def change(when: str, i: int, x: Tensor, _x_in: Tensor) -> Tensor:
        if when == "after" or not 1 <= i <= len(prompts):
            return x
        new = prompts[i - 1]
        x = x.clone()
        for j in range(len(new)):
            x[start + j] = new[j]
        return x

    return change


def replace_image(prompts: list[Tensor]):
    """Deep image prompts: before block i = 1, 2, ... the last n tokens become prompts[i - 1]."""

    def change(when: str, i: int, x: Tensor, _x_in: Tensor) -> Tensor:
        if when == "after" or not 1 <= i <= len(prompts):
            return x
        new = prompts[i - 1]
        x = x.clone()
        for j in range(len(new)):
            x[len(x) - len(new) + j] = new[j]
        return x

    return change


def normalise(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)
