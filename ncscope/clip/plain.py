"""CLIP's plain vision and text transformer, built from a configuration and weights that are given.

The names of modules and weights, and what they compute, are open_clip's (tests compare them), so
that prompt learners find what they look for in either. Models of other kinds, untrained ones and
published tags are open_clip's own.

B batch, L tokens, V and W widths of the image and text tower, D embedding width.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

_SIZES = {
    "vision_cfg": ("layers", "width", "patch_size", "image_size"),
    "text_cfg": ("context_length", "vocab_size", "width", "heads", "layers"),
}
_HEAD_WIDTH = 64  # of the image tower, where the configuration has no other


def is_plain(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is all sizes and the activation, every size whole and said."""
    parts = {*_SIZES, "embed_dim", "quick_gelu"}
    if any(config[key] is not None for key in config.keys() - parts):
        return False
    for part, sizes in _SIZES.items():
        said = {key: value for key, value in config.get(part, {}).items() if value is not None}
        if not set(sizes) <= said.keys() <= {*sizes, "head_width"}:
            return False
        if not all(type(value) is int and value > 0 for value in said.values()):
            return False
    vision, text = config["vision_cfg"], config["text_cfg"]
    return (
        "head_width" not in text
        and type(config.get("embed_dim")) is int
        and vision["width"] % (vision.get("head_width") or _HEAD_WIDTH) == 0
        and text["width"] % text["heads"] == 0
        and vision["image_size"] % vision["patch_size"] == 0
    )


def plain_clip(config: Mapping[str, Any]) -> "PlainClip":
    """The model of a plain configuration on the default device, its values not set."""
    device = torch.get_default_device()
    with torch.device("meta"):
        model = PlainClip(config)
    if device.type != "meta":  # by hand: torch's own `to_empty` imports its compiler first
        for part in model.modules():
            for name, value in part.named_parameters(recurse=False):
                empty = torch.empty(value.shape, device=device)
                part.register_parameter(name, nn.Parameter(empty, requires_grad=False))
    return model


class QuickGELU(nn.Module):
    """The activation OpenAI's models were trained with."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return x * torch.sigmoid(1.702 * x)
        return torch.mul(x, 1.702).sigmoid_().mul_(x)  # the same numbers, two tensors fewer


class Block(nn.Module):
    """A pre-norm residual block."""

    def __init__(self, width: int, heads: int, *, quick_gelu: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ls_1 = nn.Identity()
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", QuickGELU() if quick_gelu else nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))
        self.ls_2 = nn.Identity()

    def forward(
        self, x: Tensor, attn_mask: Tensor | None = None, *, first: int | None = None
    ) -> Tensor:
        """(B, L, W) to the same, or to the (B, `first`, W) of the first tokens alone."""
        normed = self.ln_1(x)
        asking, x = (normed, x) if first is None else (normed[:, :first], x[:, :first])
        x = x + self.ls_1(
            self.attn(asking, normed, normed, need_weights=False, attn_mask=attn_mask)[0]
        )
        return x + self.ls_2(self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, width: int, layers: int, heads: int, *, quick_gelu: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(
            [Block(width, heads, quick_gelu=quick_gelu) for _ in range(layers)]
        )

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, attn_mask=attn_mask)
        return x


class VisionTransformer(nn.Module):
    """The image tower, read at its class token."""

    pool_type, attn_pool, final_ln_after_pool = "tok", None, False

    def __init__(self, config: Mapping[str, Any], output: int, *, quick_gelu: bool) -> None:
        super().__init__()
        width, patch = config["width"], config["patch_size"]
        side = config["image_size"] // patch
        self.image_size = (config["image_size"], config["image_size"])
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(side**2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        heads = width // (config.get("head_width") or _HEAD_WIDTH)
        self.transformer = Transformer(width, config["layers"], heads, quick_gelu=quick_gelu)
        self.proj = nn.Parameter(torch.empty(width, output))

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D)."""
        tokens = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.to(tokens.dtype).expand(len(tokens), 1, -1)
        tokens = torch.cat([first, tokens], dim=1)
        tokens = self.ln_pre(tokens + self.positional_embedding.to(tokens.dtype))
        *before, last = self.transformer.resblocks
        for block in before:
            tokens = block(tokens)
        return self.ln_post(last(tokens, first=1))[:, 0] @ self.proj  # no other token is read


class PlainClip(nn.Module):
    """Both towers; `logit_scale` is the logarithm, as in every CLIP state dict."""

    text_pool_type = "argmax"  # end-of-text is the largest id

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        quick_gelu = bool(config.get("quick_gelu"))
        text, output = config["text_cfg"], config["embed_dim"]
        width, self.context_length = text["width"], text["context_length"]
        self.visual = VisionTransformer(config["vision_cfg"], output, quick_gelu=quick_gelu)
        table = torch.empty(text["vocab_size"], width)  # given: no random numbers for nothing
        self.token_embedding = nn.Embedding(text["vocab_size"], width, _weight=table)
        self.positional_embedding = nn.Parameter(torch.empty(self.context_length, width))
        self.transformer = Transformer(width, text["layers"], text["heads"], quick_gelu=quick_gelu)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, output))
        self.logit_scale = nn.Parameter(torch.empty(()))

    @property
    def attn_mask(self) -> Tensor:
        """Causal, (L, L) to be added to the scores."""
        full = self.positional_embedding.new_full((self.context_length,) * 2, float("-inf"))
        return full.triu_(1)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D), not normalised."""
        return self.visual(pixels)

    def encode_text(self, ids: Tensor) -> Tensor:
        """(B, L) token ids to (B, D), not normalised."""
        tokens = self.token_embedding(ids) + self.positional_embedding
        tokens = self.ln_final(self.transformer(tokens, attn_mask=self.attn_mask))
        last = torch.arange(len(ids), device=ids.device), ids.argmax(dim=-1)
        return tokens[last] @ self.text_projection
