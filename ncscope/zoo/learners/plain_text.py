"""Text features of written prompts, for learners that leave the text tower alone.

K classes, D embedding width.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.templates import known_data
from ncscope.clip.zoo_prompts import ensembled
from ncscope.errors import CheckpointError
from ncscope.zoo.settings import Settings


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


def plain_text(
    backbone: Backbone, settings: Settings, table: Mapping[str, str] | None = None
) -> Callable[[list[str]], Tensor]:
    """A function from class names to the backbone's (K, D) features of written prompts."""
    if settings.stored:
        raise CheckpointError(
            f"{settings.where}: {settings.method} writes its prompts in words, and the file has no "
            f"vocabulary; name its backbone: --backbone NAME"
        )
    templates = templates_of(settings, table)

    def encode(texts: list[str]) -> Tensor:
        return torch.cat(
            [backbone.encode_text(texts[i : i + 256]) for i in range(0, len(texts), 256)]
        )

    return lambda names: settings.once(
        ("written", *templates, "", *names), lambda: ensembled(encode, names, templates)
    )
