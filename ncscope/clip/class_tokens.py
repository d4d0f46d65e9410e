"""Class names as embedded tokens, everything of a prompt but its learned context.

K classes, F fixed words, S own tokens of the longest class, n context tokens, W token width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import spaced
from ncscope.clip.text_tower import Prompts, TextTower
from ncscope.clip.whole_texts import LongPromptError, of_class
from ncscope.errors import CheckpointError


@dataclass(frozen=True, eq=False)
class ClassTokens:
    """Prompts of the form: start-of-text, (context), fixed words, name, full stop, end-of-text."""

    start: Tensor  # (1, W)
    words: Tensor  # (F, W), the same for every class
    own: Tensor  # (K, S, W) from the name to end-of-text, then padding
    lengths: Tensor  # (K,), end-of-text included; on the CPU, as the next
    name_lengths: Tensor  # (K,), of the name alone


def tokenised(
    backbone: Backbone,
    tower: TextTower,
    classnames: Sequence[str],
    *,
    num_context: int,
    words: str = "",
    after: str = ".",
    dtype: torch.dtype = torch.float32,
) -> ClassTokens:
    """Tokenise class names, `_` as a space, and embed them.

    Args:
        num_context: n, tokens that stand where the context will.
        words: between the context and the name.
        after: what follows the name.
        dtype: the authors' precision, through which embeddings are rounded.

    Raises:
        DataError: a prompt that does not fit into the text tower.
    """
    names = [spaced(name) for name in classnames]
    stand_in = " ".join(["X"] * num_context + words.split())
    texts = [f"{stand_in} {name}{after}".strip() for name in names]
    try:
        ids = backbone.tokenizer(texts)
    except LongPromptError as error:
        raise of_class(error, texts, classnames) from None
    last = ids.argmax(dim=1)  # end-of-text is the largest id
    fixed = _count(backbone, [stand_in])[0] if stand_in else ids.new_zeros(())
    first = 1 + int(fixed)
    rows = tower.embedding[ids.to(tower.embedding.device)].to(dtype).to(tower.positions)
    return ClassTokens(
        start=rows[0, :1],
        words=rows[0, 1 + num_context : first],
        own=rows[:, first : int(last.max()) + 1],
        lengths=last + 1 - first,
        name_lengths=_count(backbone, names),
    )


def stored(prefix: Tensor, suffix: Tensor, tower: TextTower, *, where: str) -> ClassTokens:
    """Read the tokens that a checkpoint keeps beside its context.

    Padding is recognised as what every row ends in; fixed words as what all rows begin with, to
    which a first word that all names share may be added: no feature depends on that.

    Args:
        prefix: (K, 1, W), `token_prefix`.
        suffix: (K, R, W), `token_suffix`.

    Raises:
        CheckpointError: tensors of other shapes, or rows that do not end in padding.
    """
    width = tower.positions.shape[1]
    if prefix.ndim != 3 or suffix.ndim != 3 or {prefix.shape[2], suffix.shape[2]} != {width}:
        raise CheckpointError(
            f"{where}: `token_prefix` is {tuple(prefix.shape)} and `token_suffix` "
            f"{tuple(suffix.shape)}; expected (C, 1, {width}) and (C, R, {width}). Was it trained "
            f"on another backbone?"
        )
    rows = suffix.cpu()
    filled = (rows != rows[:1, -1:]).any(dim=2)  # (K, R)
    lengths = filled.shape[1] - filled.flip(1).int().argmax(dim=1)
    if not filled.any(dim=1).all() or bool(filled[:, -1].any()):
        raise CheckpointError(f"{where}: `token_suffix` has rows that do not end in padding")
    same = (rows == rows[:1]).all(dim=2).all(dim=0)
    fixed = min(int(same.int().cumprod(0).sum()), int(lengths.min()) - 2) if len(rows) > 1 else 0
    lengths = lengths - fixed
    return ClassTokens(
        start=prefix[0].to(tower.positions),
        words=rows[0, :fixed].to(tower.positions),
        own=rows[:, fixed : fixed + int(lengths.max())].to(tower.positions),
        lengths=lengths,
        name_lengths=lengths - 2,
    )


def picked(tokens: ClassTokens, rows: Sequence[int]) -> ClassTokens:
    """Some of the classes, in the order of `rows`."""
    index = torch.tensor(list(rows))
    return ClassTokens(
        tokens.start,
        tokens.words,
        tokens.own[index.to(tokens.own.device)],
        tokens.lengths[index],
        tokens.name_lengths[index],
    )


def with_context(tokens: ClassTokens, context: Tensor) -> Prompts:
    """Prompts with a context of (n, W), or (B, n, W) one an image, after start-of-text."""
    context = context.to(tokens.start)
    start, words = (
        part.expand(*context.shape[:-2], -1, -1) for part in (tokens.start, tokens.words)
    )
    return Prompts(torch.cat([start, context, words], dim=-2), tokens.own, tokens.lengths)


def _count(backbone: Backbone, texts: list[str]) -> Tensor:
    """Tokens of each text, without start- and end-of-text."""
    return backbone.tokenizer(texts).argmax(dim=1) - 1
