"""Where the embedded class names come from: the backbone's tokenizer, or the checkpoint itself."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import ClassTokens, picked, stored, tokenised, with_context
from ncscope.clip.text_tower import Prompts, text_tower
from ncscope.zoo.learners.learner import rows_of
from ncscope.zoo.learners.tensors import prompt_part, take
from ncscope.zoo.settings import Settings

ClassSource = Callable[[list[str]], ClassTokens]
_WHY = "the token vectors of its training classes are all there is of a vocabulary"


def class_source(
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    settings: Settings,
    *,
    num_context: int,
    dtype: torch.dtype,
    sets: int = 1,
) -> ClassSource:
    """A function from class names to their tokens.

    With `settings.stored` these are the file's `token_prefix` and `token_suffix`, for training
    classes only; else every name is tokenised, as the authors do when they load a checkpoint.

    Args:
        num_context: n, tokens of the context.
        dtype: of the file's context: the precision the authors embedded names in.
        sets: how often the file repeats all its classes.
    """
    tower = text_tower(backbone.model)
    if not settings.stored:
        made = partial(
            tokenised,
            backbone,
            tower,
            num_context=num_context,
            words=settings.words,
            after=settings.after,
            dtype=dtype,
        )
        kind = ("tokens", num_context, dtype, settings.words, settings.after)
        return lambda names: settings.once((*kind, *names), lambda: made(names))
    width = tower.positions.shape[1]
    tensors = prompt_part(tensors)
    prefix = take(tensors, "token_prefix", ("C", 1, width), settings)
    suffix = take(tensors, "token_suffix", (len(prefix), "R", width), settings)
    count = len(prefix) // sets
    tokens = stored(prefix[:count], suffix[:count], tower, where=settings.where)
    return lambda names: picked(tokens, rows_of(names, settings, count=count, what=_WHY))


def whole_prompts(
    tensors: Mapping[str, Tensor], key: str, backbone: Backbone, settings: Settings
) -> Callable[[list[str]], Prompts]:
    """A function from class names to prompts without a learned context.

    Args:
        key: of the (C, L, W) embedded prompts in the file.
    """
    rows = tensors.get(key)
    if rows is not None and rows.ndim == 3:
        tensors = {"token_prefix": rows[:, :1], "token_suffix": rows[:, 1:]}
    dtype = torch.float32 if rows is None else rows.dtype
    source = class_source(tensors, backbone, settings, num_context=0, dtype=dtype)

    def prompts(names: list[str]) -> Prompts:
        tokens = source(names)
        return with_context(tokens, tokens.start[:0])

    return prompts
