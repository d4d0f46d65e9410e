"""State dicts of a small CLIP's towers, and what the learners' state dicts are made with."""

from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """Widths of a small CLIP and of the learner on it; no two are equal, so mix-ups show."""

    classes: int = 5
    text: int = 64
    vision: int = 128
    embed: int = 32
    layers: int = 4
    patch: int = 16
    grid: int = 2
    context: int = 4
    depth: int = 3
    length: int = 77
    half: bool = True


class Maker:
    """Draws the tensors of one state dict: `half` ones in the precision the authors train in."""

    def __init__(self, sizes: Sizes, seed: int) -> None:
        self.sizes = sizes
        self.generator = torch.Generator().manual_seed(seed)

    def full(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator) * 0.02

    def half(self, *shape: int) -> Tensor:
        values = self.full(*shape)
        return values.half() if self.sizes.half else values

    def fixed(self, rows: int, *, context: int, prompts: Tensor | None = None) -> State:
        """`token_prefix` and `token_suffix`: the embedded prompts around `context` tokens."""
        sizes = self.sizes
        embedded = self.half(rows, sizes.length, sizes.text) if prompts is None else prompts
        return {"token_prefix": embedded[:, :1], "token_suffix": embedded[:, 1 + context :]}


def blocks(make: Maker, prefix: str, width: int) -> State:
    """The transformer blocks of a CLIP tower."""
    state: State = {}
    for i in range(make.sizes.layers):
        block = f"{prefix}transformer.resblocks.{i}."
        state |= {
            f"{block}attn.in_proj_weight": make.half(3 * width, width),
            f"{block}attn.in_proj_bias": make.half(3 * width),
            f"{block}attn.out_proj.weight": make.half(width, width),
            f"{block}attn.out_proj.bias": make.half(width),
            f"{block}ln_1.weight": 1 + make.full(width),
            f"{block}ln_1.bias": make.full(width),
            f"{block}mlp.c_fc.weight": make.half(4 * width, width),
            f"{block}mlp.c_fc.bias": make.half(4 * width),
            f"{block}mlp.c_proj.weight": make.half(width, 4 * width),
            f"{block}mlp.c_proj.bias": make.half(width),
            f"{block}ln_2.weight": 1 + make.full(width),
            f"{block}ln_2.bias": make.full(width),
        }
    return state


def image_tower(make: Maker, prefix: str = "image_encoder.") -> State:
    sizes = make.sizes
    return {
        f"{prefix}class_embedding": make.half(sizes.vision),
        f"{prefix}positional_embedding": make.half(sizes.grid**2 + 1, sizes.vision),
        f"{prefix}proj": make.half(sizes.vision, sizes.embed),
        f"{prefix}conv1.weight": make.half(sizes.vision, 3, sizes.patch, sizes.patch),
        f"{prefix}ln_pre.weight": 1 + make.full(sizes.vision),
        f"{prefix}ln_pre.bias": make.full(sizes.vision),
        **blocks(make, prefix, sizes.vision),
        f"{prefix}ln_post.weight": 1 + make.full(sizes.vision),
        f"{prefix}ln_post.bias": make.full(sizes.vision),
    }


def text_tower(make: Maker, prefix: str = "text_encoder.") -> State:
    sizes = make.sizes
    return {
        f"{prefix}positional_embedding": make.half(sizes.length, sizes.text),
        f"{prefix}text_projection": make.half(sizes.text, sizes.embed),
        **blocks(make, prefix, sizes.text),
        f"{prefix}ln_final.weight": 1 + make.full(sizes.text),
        f"{prefix}ln_final.bias": make.full(sizes.text),
    }


def both_towers(make: Maker) -> State:
    scale = {"logit_scale": torch.tensor(4.6052)}
    return {**scale, **image_tower(make), **text_tower(make)}


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}
