"""What is written of classes, from files: templates, and descriptions of single classes.

Descriptions are a JSON object of class names and lists of sentences (CuPL, Pratt et al. 2023,
arXiv:2209.03320), templates a list of texts with one `{}` or `{c}`. Either may be below the name of
its data set, as in CLIP_benchmark's files. Classes are matched by name; the feature of a class is
the mean of its texts' directions.

C classes, S texts of all classes, D embedding width.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.rules import read_json
from ncscope.clip.whole_texts import LongPromptError, of_class
from ncscope.data.classes import folded
from ncscope.data.known import one_name
from ncscope.errors import BackboneError, DataError, brief, shown

Descriptions = Mapping[str, Sequence[str]]
_MOST_BYTES = 64 * 2**20
_MOST_SENTENCES = 1000  # of a class; CuPL's files have 10 to 50
_MOST_LETTERS = 2000


def read_descriptions(spec: str | Path, data: str | None = None) -> dict[str, tuple[str, ...]]:
    """The sentences of each class in a JSON file.

    Args:
        spec: `FILE`, or `FILE:PART` of a file that holds several data sets.
        data: the data set whose part is meant where `spec` does not say.

    Raises:
        DataError: unreadable, another form, several data sets and none of them meant, a class
            without sentences, two of one name.
    """
    path, stored = _part(spec, data, dict)
    if not isinstance(stored, dict) or not stored:
        raise DataError(f"{path}: expected a JSON object of class names and lists of sentences")
    found = {
        name: _texts(sentences, f"{path}: class {brief(name)}", "sentences")
        for name, sentences in stored.items()
    }
    if len({folded(name) for name in found}) < len(found):
        raise DataError(f"{path}: two classes have one name once case and `_` are dropped")
    return found


def is_file_of_templates(text: str) -> bool:
    """Whether a template names a JSON file of them."""
    return re.fullmatch(r"[^{}]+\.json(:[^{}]+)?", text) is not None


def read_templates(spec: str | Path, data: str | None = None) -> tuple[str, ...]:
    """The templates in a JSON file, each with one `{}`; arguments as of `read_descriptions`.

    Raises:
        DataError: unreadable, another form, several data sets and none of them meant, a template
            without a place for the name.
    """
    path, stored = _part(spec, data, list)
    texts = _texts(stored, f"{path}: it", "templates")
    templates = tuple(text.replace("{c}", "{}") for text in texts)
    for text in templates:
        if text.count("{}") != 1:
            raise DataError(
                f"{path}: {brief(text)} has no single place for the class name; expected one "
                f"{{}} or {{c}}"
            )
    return templates


def _texts(texts: Any, whose: str, what: str) -> tuple[str, ...]:
    """The texts, refused unless they are a list of a few that are not empty."""
    good = isinstance(texts, list) and 0 < len(texts) <= _MOST_SENTENCES
    if not good or not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError(
            f"{whose} has {brief(texts)}; expected a list of 1 to {_MOST_SENTENCES} {what}"
        )
    if max(map(len, texts)) > _MOST_LETTERS:
        raise DataError(f"{whose} has one of its {what} above {_MOST_LETTERS} letters")
    return tuple(texts)


def _part(spec: str | Path, data: str | None, kind: type) -> tuple[Path, Any]:
    """The file, and its value or that of one data set in it, whose values are of a kind."""
    name, colon, part = str(spec).rpartition(".json:")
    path = Path(f"{name}.json" if colon else spec)
    try:
        stored = read_json(path, most=_MOST_BYTES)
    except BackboneError as error:
        raise DataError(str(error)) from None
    parts = isinstance(stored, dict) and stored and all(type(v) is kind for v in stored.values())
    if not parts:
        if colon:
            raise DataError(f"{path}: holds no parts by data set, and {brief(part)} is asked for")
        return path, stored
    wanted = part if colon else data
    found = [key for key in stored if wanted is not None and _is_of(key, wanted)]
    if len(stored) == 1 and not colon:
        found = list(stored)
    if len(found) != 1:
        asked = "none is named" if wanted is None else f"{brief(wanted)} is {len(found)} of them"
        raise DataError(
            f"{path}: holds {len(stored)} data sets ({shown(list(map(brief, stored)))}), and "
            f"{asked}; name one: {path.name}:NAME"
        )
    return path, stored[found[0]]


def _is_of(key: str, data: str) -> bool:
    return key == data or one_name(key.rsplit("/", 1)[-1]) == one_name(data)


def counts(descriptions: Descriptions) -> dict[str, int]:
    """How many classes and sentences there are, for a record."""
    sentences = sum(map(len, descriptions.values()))
    return {"classes": len(descriptions), "sentences": sentences}


def described(
    encode: Callable[[list[str]], Tensor],
    classnames: Sequence[str],
    descriptions: Descriptions,
    prompts: Sequence[Sequence[str]] = (),
) -> Tensor:
    """(C, D): the mean direction of each class's sentences, and of its prompts beside them.

    Args:
        encode: texts to (S, D) features.
        prompts: of all classes, one of each a template.

    Raises:
        DataError: classes without descriptions, named with what the descriptions are of; a
            sentence that is too long.
    """
    known = {folded(name): tuple(sentences) for name, sentences in descriptions.items()}
    lacking = [name for name in classnames if folded(name) not in known]
    if lacking:
        wanted = {folded(name) for name in classnames}
        left = [name for name in descriptions if folded(name) not in wanted]
        raise DataError(
            f"no descriptions of {len(lacking)} classes ({shown(list(map(brief, lacking)))}); the "
            f"descriptions that no class is called by: {shown(list(map(brief, left))) or 'none'}"
        )
    beside = list(zip(*prompts, strict=True)) or [()] * len(classnames)
    groups = [(*beside[i], *known[folded(name)]) for i, name in enumerate(classnames)]
    texts = [text for group in groups for text in group]
    owners = [name for name, group in zip(classnames, groups, strict=True) for _ in group]
    try:
        directions = F.normalize(encode(texts), dim=-1)
    except LongPromptError as error:
        raise of_class(error, texts, owners) from None
    means = [part.mean(dim=0) for part in directions.split([len(group) for group in groups])]
    return torch.stack(means)
