"""The two towers of CLIP as plain functions of a state dict, written for training on a CPU.

The names and shapes of the weights are OpenAI's, and the outputs are open_clip's (a test compares
them). Attention is two matrix products: on a CPU the backward pass of torch's fused attention
alone took 39 % of a training step. B batch, L tokens, W width, H heads, D embedding width.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

HEAD_WIDTH = 64
Weights = Mapping[str, Tensor]
Block = Callable[[Tensor, Tensor | None, list[Tensor]], Tensor]  # tokens, mask, weights -> tokens
_PARTS = tuple(  # of a block, in OpenAI's order
    f"{part}{kind}"
    for part in ("ln_1.", "attn.in_proj_", "attn.out_proj.", "ln_2.", "mlp.c_fc.", "mlp.c_proj.")
    for kind in ("weight", "bias")
)


def encode_image(weights: Weights, pixels: Tensor, *, block: Block | None = None) -> Tensor:
    """Image features (B, D), not normalised, of normalised (B, 3, P, P) pixels."""
    return image_state(weights, pixels, block=block) @ weights["visual.proj"]


def image_state(weights: Weights, pixels: Tensor, *, block: Block | None = None) -> Tensor:
    """What the projection sees, (B, W): the class token after the last layer norm."""
    kernel = weights["visual.conv1.weight"]
    patches = F.unfold(pixels, kernel.shape[-1], stride=kernel.shape[-1]).transpose(1, 2)
    tokens = patches @ kernel.flatten(1).T
    first = weights["visual.class_embedding"].expand(len(tokens), 1, -1)
    tokens = torch.cat([first, tokens], dim=1) + weights["visual.positional_embedding"]
    tokens = _layer_norm(weights, "visual.ln_pre", tokens)
    tokens = _transformer(weights, "visual.transformer", tokens, block or residual_block, None)
    return _layer_norm(weights, "visual.ln_post", tokens[:, 0])


def encode_text(weights: Weights, tokens: Tensor, *, block: Block | None = None) -> Tensor:
    """Text features (B, D), not normalised, of (B, L) token ids; end-of-text is the largest id."""
    state = weights["token_embedding.weight"][tokens]
    length = tokens.shape[1]
    state = state + weights["positional_embedding"][:length]
    mask = torch.full((length, length), float("-inf"), dtype=state.dtype).triu_(1)
    state = _transformer(weights, "transformer", state, block or residual_block, mask)
    last = state[torch.arange(len(tokens)), tokens.argmax(dim=1)]
    return _layer_norm(weights, "ln_final", last) @ weights["text_projection"]


def residual_block(tokens: Tensor, mask: Tensor | None, parts: list[Tensor]) -> Tensor:
    """One pre-norm block on (B, L, W) tokens; `parts` are its weights in the order of OpenAI's."""
    norm1, bias1, qkv, qkv_bias, out, out_bias, norm2, bias2, up, up_bias, down, down_bias = parts
    batch, length, width = tokens.shape
    inner = F.layer_norm(tokens, (width,), norm1, bias1)
    split = F.linear(inner, qkv, qkv_bias).view(batch, length, 3, -1, HEAD_WIDTH)
    query, key, value = split.permute(2, 0, 3, 1, 4)  # (B, H, L, 64) each
    scores = query @ key.transpose(-1, -2) * HEAD_WIDTH**-0.5
    shares = (scores if mask is None else scores + mask).softmax(dim=-1)
    mixed = (shares @ value).transpose(1, 2).reshape(batch, length, width)
    tokens = tokens + F.linear(mixed, out, out_bias)
    inner = F.layer_norm(tokens, (width,), norm2, bias2)
    inner = F.linear(inner, up, up_bias)
    inner = inner * torch.sigmoid(1.702 * inner)  # QuickGELU
    return tokens + F.linear(inner, down, down_bias)


def _transformer(
    weights: Weights, name: str, tokens: Tensor, block: Block, mask: Tensor | None
) -> Tensor:
    layer = 0
    while f"{name}.resblocks.{layer}.{_PARTS[0]}" in weights:
        parts = [weights[f"{name}.resblocks.{layer}.{part}"] for part in _PARTS]
        tokens = block(tokens, mask, parts)
        layer += 1
    return tokens


def _layer_norm(weights: Weights, name: str, tokens: Tensor) -> Tensor:
    gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return F.layer_norm(tokens, gain.shape, gain, bias)
