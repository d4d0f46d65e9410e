"""Written descriptions of classes in place of templates: CuPL's form, a class and its sentences.

A JSON object of class names and lists of sentences (Pratt et al. 2023, arXiv:2209.03320). Classes
are matched by name; the feature of a class is the mean of its sentences' directions.

C classes, S sentences of all classes, D embedding width.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.rules import read_json
from ncscope.clip.whole_texts import LongPromptError, of_class
from ncscope.data.classes import folded
from ncscope.errors import BackboneError, DataError, brief, shown

Descriptions = Mapping[str, Sequence[str]]
_MOST_BYTES = 64 * 2**20
_MOST_SENTENCES = 1000  # of a class; CuPL's files have 10 to 50
_MOST_LETTERS = 2000


def read_descriptions(path: str | Path) -> dict[str, tuple[str, ...]]:
    """The sentences of each class in a JSON file.

    Raises:
        DataError: unreadable, another form, a class without sentences, two of one name.
    """
    try:
        stored = read_json(Path(path), most=_MOST_BYTES)
    except BackboneError as error:
        raise DataError(str(error)) from None
    if not isinstance(stored, dict) or not stored:
        raise DataError(f"{path}: expected a JSON object of class names and lists of sentences")
    for name, sentences in stored.items():
        good = isinstance(sentences, list) and 0 < len(sentences) <= _MOST_SENTENCES
        if not good or not all(isinstance(s, str) and s.strip() for s in sentences):
            raise DataError(
                f"{path}: class {brief(name)} has {brief(sentences)}; expected a list of 1 to "
                f"{_MOST_SENTENCES} sentences"
            )
        if max(map(len, sentences)) > _MOST_LETTERS:
            raise DataError(
                f"{path}: class {brief(name)} has a sentence above {_MOST_LETTERS} letters"
            )
    if len({folded(name) for name in stored}) < len(stored):
        raise DataError(f"{path}: two classes have one name once case and `_` are dropped")
    return {name: tuple(sentences) for name, sentences in stored.items()}


def described(
    encode: Callable[[list[str]], Tensor], classnames: Sequence[str], descriptions: Descriptions
) -> Tensor:
    """(C, D): the mean direction of each class's sentences.

    Args:
        encode: texts to (S, D) features.

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
    groups = [known[folded(name)] for name in classnames]
    texts = [text for group in groups for text in group]
    owners = [name for name, group in zip(classnames, groups, strict=True) for _ in group]
    try:
        directions = F.normalize(encode(texts), dim=-1)
    except LongPromptError as error:
        raise of_class(error, texts, owners) from None
    means = [part.mean(dim=0) for part in directions.split([len(group) for group in groups])]
    return torch.stack(means)
