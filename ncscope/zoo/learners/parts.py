"""What learners are put together from: tensors of the checkpoint, class names, written prompts.

K classes, C of them in the file, D embedding width, W token width.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import ClassTokens, picked, stored, tokenised, with_context
from ncscope.clip.descriptions import Descriptions
from ncscope.clip.prompts import ensembled, known_data, wording
from ncscope.clip.text_tower import Prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import rows_of
from ncscope.zoo.settings import Settings

Size = int | str  # an axis: its length, or the letter of any length
ClassSource = Callable[[list[str]], ClassTokens]
_WHY = "the token vectors of its training classes are all there is of a vocabulary"


def take(
    tensors: Mapping[str, Tensor], key: str, shape: tuple[Size, ...], settings: Settings
) -> Tensor:
    """The tensor at `key` in float32, with its gradient where it is being trained.

    Args:
        shape: expected; a letter stands for any length.

    Raises:
        CheckpointError: it is missing, or of another shape.
    """
    if key not in tensors:
        raise CheckpointError(f"{settings.where}: no `{key}`, which {settings.method} needs")
    value = tensors[key]
    fits = value.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise CheckpointError(
            f"{settings.where}: `{key}` is {tuple(value.shape)}; expected ({wanted}). "
            f"Was it trained on another backbone?"
        )
    return value.float()


def stack(tensors: Mapping[str, Tensor], pattern: str) -> list[str]:
    """The keys of a list of modules, `{}` in the pattern standing for 0, 1, 2, ..."""
    keys: list[str] = []
    while pattern.format(len(keys)) in tensors:
        keys.append(pattern.format(len(keys)))
    return keys


def prompt_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The prompt learner's entries, also where a whole model is in the file."""
    prefix = "prompt_learner."
    found = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
    return found or dict(tensors)


def is_half(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the authors' code ran in half precision; deep prompts stay float32 in the file."""
    keys = ("prompt_learner.ctx", "ctx", "image_encoder.conv1.weight")
    known = [tensors[key].dtype for key in keys if key in tensors]
    return bool(known) and known[0] == torch.float16


def as_used(value: Tensor, backbone: Backbone, *, half: bool) -> Tensor:
    """A learned tensor as the authors use it: through half precision if they did, on the device."""
    return (value.half() if half else value).float().to(backbone.device)


def rounded(value: Tensor, backbone: Backbone) -> Tensor:
    """A learned tensor through half precision, as it is, whatever precision the run had.

    So CLIP's towers of MaPLe's family use all prompts they append or put into a block. Gradients
    pass unrounded.
    """
    value = value.float().to(backbone.device)
    used = value.detach()
    return value + (used.half().float() - used)


def check_depth(depth: int, backbone: Backbone, settings: Settings) -> None:
    """Refuse prompts for more blocks than a text tower of the backbone has."""
    blocks = len(text_tower(backbone.model).blocks)
    if depth > blocks:
        raise CheckpointError(
            f"{settings.where}: prompts for {depth} blocks, but the backbone's text tower has "
            f"{blocks}. Was it trained on another backbone?"
        )


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
    held = tensors["token_prefix"], tensors["token_suffix"]  # kept, so that no address is reused
    key = ("stored", count, *((part.data_ptr(), part.shape) for part in held))

    def of(names: list[str]) -> ClassTokens:
        tokens = stored(prefix[:count], suffix[:count], tower, where=settings.where)
        return picked(tokens, rows_of(names, settings, count=count, what=_WHY))

    return lambda names: settings.once(
        (*key, settings.classnames, *names), lambda: (of(names), held)
    )[0]


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


def templates_of(settings: Settings, table: Mapping[str, str] | None) -> tuple[str, ...]:
    """The caller's templates, else the one that a tuned run's log holds, else the table's.

    Raises:
        CheckpointError: neither is known.
    """
    if settings.templates:
        return settings.templates
    if (written := settings.logged.get("DATASET.TEMPLATE", "")).count("{}") == 1:
        return (written,)
    known = known_data(settings.data_name)
    if table is not None and known is not None:
        return (table[known],)
    named = f"; {settings.data_name!r} is none of them" if settings.data_name else ""
    raise CheckpointError(
        f"{settings.where}: the written prompt of {settings.method} depends on the data set, which "
        f"the file does not tell; give --data-name ({', '.join(sorted(table or {}))}) or "
        f"--template{named}"
    )


def written_text(
    backbone: Backbone,
    settings: Settings,
    table: Mapping[str, str] | None = None,
    *,
    usual: tuple[str, ...] = (),
) -> tuple[Callable[[list[str]], Tensor], dict[str, Any]]:
    """As `plain_text`, for a text side that is no more than that; and what is written, as facts.

    The caller's descriptions of the classes stand in place of templates, or beside those given.

    Args:
        usual: templates of the method, where the caller names none.
    """
    templates = settings.templates
    if settings.descriptions is None:
        templates = templates or usual or templates_of(settings, table)
    text = _text(backbone, settings, templates, settings.descriptions)
    return text, wording(templates, settings.descriptions)


def plain_text(
    backbone: Backbone, settings: Settings, table: Mapping[str, str] | None = None
) -> Callable[[list[str]], Tensor]:
    """A function from class names to the backbone's (K, D) features of written prompts."""
    return _text(backbone, settings, templates_of(settings, table), None)


def _text(
    backbone: Backbone,
    settings: Settings,
    templates: tuple[str, ...],
    descriptions: Descriptions | None,
) -> Callable[[list[str]], Tensor]:
    if settings.stored:
        raise CheckpointError(
            f"{settings.where}: {settings.method} writes its prompts in words, and the file has no "
            f"vocabulary; name its backbone: --backbone NAME"
        )

    def encode(texts: list[str]) -> Tensor:
        return torch.cat(
            [backbone.encode_text(texts[i : i + 256]) for i in range(0, len(texts), 256)]
        )

    return lambda names: settings.once(
        ("written", *templates, "", *names),
        lambda: ensembled(encode, names, templates, descriptions),
    )
