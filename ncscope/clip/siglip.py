"""SigLIP: two towers without a class token or a causal mask, and a pooling head with a probe.

Its text is read at the last position, padding included; its loss is a sigmoid with a bias, which is
one number for all pairs of image and text.

B images, L positions, P patches, W tower width, D embedding width.
"""

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class Probe(nn.Module):
    """(B, P, W) patches to (B, W): one learned query attends to them, then a residual block."""

    def __init__(self, clip: Any, *, width: int, heads: int, inner: int, eps: float, act: Any):
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.layernorm = clip.transformer.LayerNorm(width, eps=eps)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, inner), "act": act(), "fc2": nn.Linear(inner, width)}
        )

    def forward(self, patches: Tensor) -> Tensor:
        query = self.probe.expand(len(patches), -1, -1)
        pooled = self.attention(query, patches, patches, need_weights=False)[0]
        normed = self.layernorm(pooled)
        for part in self.mlp.values():
            normed = part(normed)
        return (pooled + normed)[:, 0]


class ImageTower(nn.Module):
    """(B, 3, H, W) pixels to (B, D)."""

    def __init__(self, clip: Any, vision: Mapping[str, Any]):
        super().__init__()
        width, patch, ratio = vision["width"], vision["patch_size"], vision.get("mlp_ratio", 4.0)
        eps, act = vision["norm_kwargs"]["eps"], _activation(vision)
        norm = functools.partial(clip.transformer.LayerNorm, eps=eps)
        self.image_size = (vision["image_size"], vision["image_size"])
        self.conv1 = nn.Conv2d(3, width, patch, stride=patch)
        count = (vision["image_size"] // patch) ** 2
        self.positional_embedding = nn.Parameter(torch.randn(count, width) * width**-0.5)
        self.transformer = clip.transformer.Transformer(
            width, vision["layers"], vision["heads"], ratio, act_layer=act, norm_layer=norm
        )
        self.ln_post = norm(width)
        self.head = Probe(
            clip, width=width, heads=vision["heads"], inner=int(width * ratio), eps=eps, act=act
        )

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.conv1(pixels.to(self.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        tokens = self.transformer(patches + self.positional_embedding)
        return self.head(self.ln_post(tokens))


class Siglip(nn.Module):
    """Both towers; `logit_bias` is added to every scaled cosine."""

    def __init__(self, clip: Any, config: Mapping[str, Any]):
        super().__init__()
        text = config["text_cfg"]
        self.visual = ImageTower(clip, config["vision_cfg"])
        self.text = clip.transformer.TextTransformer(
            context_length=text["context_length"],
            vocab_size=text["vocab_size"],
            width=text["width"],
            heads=text["heads"],
            layers=text["layers"],
            mlp_ratio=text.get("mlp_ratio", 4.0),
            output_dim=config["embed_dim"],
            no_causal_mask=True,
            pool_type="last",
            proj_bias=True,
            act_layer=_activation(text),
            norm_layer=functools.partial(
                clip.transformer.LayerNorm, eps=text["norm_kwargs"]["eps"]
            ),
        )
        self.logit_scale = nn.Parameter(torch.tensor(10.0).log())
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.visual(pixels)

    def encode_text(self, ids: Tensor) -> Tensor:
        return self.text(ids)


def _activation(tower: Mapping[str, Any]) -> Any:
    return functools.partial(nn.GELU, **tower.get("act_kwargs", {}))
