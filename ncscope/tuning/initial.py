"""The tensors that each method begins training with, under the keys its authors save them by.

K classes, n context tokens, W and V widths of the text and image towers, D embedding width.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower
from ncscope.clip.text_tower import text_tower
from ncscope.errors import DataError
from ncscope.tuning.values import Recipe

_STD = 0.02  # of all prompts drawn at random
_TEXT = "text_encoder.transformer.resblocks.{}.VPT_shallow"
_IMAGE = "image_encoder.transformer.resblocks.{}.VPT_shallow"


def initial_tensors(
    method: str, backbone: Backbone, *, num_classes: int, recipe: Recipe, seed: int
) -> dict[str, Tensor]:
    """Trainable tensors of a method, float32 on the CPU, by their keys in a checkpoint.

    Args:
        num_classes: of training; class-specific methods have a row each.
        seed: of everything drawn at random.

    Raises:
        DataError: a context longer than its initial words, or, padded, shorter.
        BackboneError: image prompts, but the backbone has no vision transformer.
    """
    return _INITIAL[method](_Start(backbone, recipe, num_classes=num_classes, seed=seed))


class _Start:
    """Draws initial values for one backbone; the same seed gives the same ones on every device."""

    def __init__(self, backbone: Backbone, recipe: Recipe, *, num_classes: int, seed: int) -> None:
        self.backbone, self.recipe, self.num_classes = backbone, recipe, num_classes
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def width(self) -> int:
        """W."""
        return int(text_tower(self.backbone.model).positions.shape[1])

    def normal(self, *shape: int) -> Tensor:
        """Prompts drawn at random."""
        return _STD * torch.randn(shape, generator=self._generator)

    def linear(self, name: str, rows: int, columns: int, *, bias: bool = True) -> dict[str, Tensor]:
        """A linear layer as torch begins it: uniform within 1/sqrt(columns)."""
        bound = 1 / math.sqrt(columns)
        shapes = {"weight": (rows, columns), **({"bias": (rows,)} if bias else {})}
        return {
            f"{name}.{part}": bound * (2 * torch.rand(shape, generator=self._generator) - 1)
            for part, shape in shapes.items()
        }

    def context(self) -> Tensor:
        """(n, W): the token vectors of the initial words, or random; padded as ProGrad does."""
        recipe, words = self.recipe, self.recipe.words
        if not words:
            return self.normal(recipe.ctx, self.width)
        ids = self.backbone.tokenizer([" ".join(words)])[0]
        table = text_tower(self.backbone.model).embedding
        count = int(ids.argmax()) - 1
        taken = min(recipe.ctx, len(words)) if recipe.ctx_pad else recipe.ctx
        if taken > count or (recipe.ctx_pad and recipe.ctx < len(words)):
            more = f"{len(words)} or more" if recipe.ctx_pad else "as many words"
            raise DataError(
                f"`ctx` is {recipe.ctx}, but the initial words {recipe.ctx_init!r} are "
                f"{len(words)} words and {count} tokens; give {more}, or no words for a random "
                f"context"
            )
        rows = table[ids[1 : 1 + taken].to(table.device)].detach().float().cpu()
        return torch.cat([torch.zeros(recipe.ctx - taken, self.width), rows])

    def deep(self, pattern: str, count: int, width: int) -> dict[str, Tensor]:
        """Prompts of the blocks 1..depth-1 of one tower."""
        return {pattern.format(i): self.normal(count, width) for i in range(1, self.recipe.depth)}


def _coop(start: _Start) -> dict[str, Tensor]:
    context = start.context()
    if not start.recipe.csc:
        return {"ctx": context}
    if start.recipe.ctx_init:
        return {"ctx": context.expand(start.num_classes, -1, -1).clone()}
    return {"ctx": start.normal(start.num_classes, *context.shape)}


def _cocoop(start: _Start) -> dict[str, Tensor]:
    return _with_meta_net(start, start.width, narrowed=16)


def _tcp(start: _Start) -> dict[str, Tensor]:
    return _with_meta_net(start, start.recipe.ctx * start.width, narrowed=4)


def _with_meta_net(start: _Start, size: int, *, narrowed: int) -> dict[str, Tensor]:
    """A context, and a net of two layers from embeddings to `size` numbers."""
    width = start.backbone.width
    hidden = max(1, width // narrowed)
    return {
        "ctx": start.context(),
        **start.linear("meta_net.linear1", hidden, width),
        **start.linear("meta_net.linear2", size, hidden),
    }


def _vpt(start: _Start) -> dict[str, Tensor]:
    vision, count = check_image_tower(start.backbone, method="VPT"), start.recipe.ctx_vision
    shallow = {"image_encoder.VPT": start.normal(count, vision)}
    return {**shallow, **start.deep(_IMAGE, count, vision)}


def _ivlp(start: _Start) -> dict[str, Tensor]:
    text = start.deep(_TEXT, start.recipe.ctx, start.width)
    return {"prompt_learner.ctx": start.context(), **text, **_vpt(start)}


def _maple(start: _Start) -> dict[str, Tensor]:
    vision = check_image_tower(start.backbone, method="MaPLe")
    tensors = {
        "prompt_learner.ctx": start.context(),
        **start.linear("prompt_learner.proj", vision, start.width),
    }
    shared = start.linear("", vision, start.width)  # the authors copy one layer for all blocks
    for i in range(start.recipe.depth - 1):
        prompts = start.normal(start.recipe.ctx, start.width)
        tensors[f"prompt_learner.compound_prompts_text.{i}"] = prompts
        for part, value in shared.items():
            key = f"prompt_learner.compound_prompt_projections.{i}{part}"
            tensors[key] = value.clone()
    return tensors


def _taskres(start: _Start) -> dict[str, Tensor]:
    return {"text_feature_residuals": torch.zeros(start.num_classes, start.backbone.width)}


def _clip_adapter(start: _Start) -> dict[str, Tensor]:
    width = start.backbone.width
    hidden = max(1, width // 4)
    return {
        **start.linear("fc.0", hidden, width, bias=False),
        **start.linear("fc.2", width, hidden, bias=False),
    }


_INITIAL: dict[str, Callable[[_Start], dict[str, Tensor]]] = {
    "coop": _coop,
    "cocoop": _cocoop,
    "kgcoop": _coop,
    "prograd": _coop,
    "vpt": _vpt,
    "ivlp": _ivlp,
    "maple": _maple,
    "promptsrc": _ivlp,
    "tcp": _tcp,
    "taskres": _taskres,
    "clip-adapter": _clip_adapter,
}


def depth_limit(backbone: Backbone) -> int:
    """Blocks of the smaller tower: prompts cannot be deeper."""
    visual: Any = backbone.model.visual
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    text = len(text_tower(backbone.model).blocks)
    return text if blocks is None else min(text, len(blocks))
