"""The training classes of a prompt learner, read from the token vectors or ids in its file.

C classes, T tokens a row, V tokens in the vocabulary, W their width. A row is
`[fixed words] name . end-of-text padding`; the padding is token 0, and the last token before it
is the end of text. Names come in label order, in lower case.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor

from ncscope.checkpoint.token_table import match_tokens
from ncscope.data.classes import folded, half
from ncscope.errors import CheckpointError, DataError

Decode = Callable[[list[int]], str]
# Number of classes of the data sets these learners are trained on; the first half is `base`
_DATASET_CLASSES = {
    "ImageNet": 1000,
    "Caltech101": 100,
    "OxfordPets": 37,
    "StanfordCars": 196,
    "OxfordFlowers": 102,
    "Food101": 101,
    "FGVCAircraft": 100,
    "SUN397": 397,
    "DescribableTextures": 47,
    "EuroSAT": 10,
    "UCF101": 101,
}
_PARTS = ("all", "base", "new")
_PREFIX = "prompt_learner."


@dataclass(frozen=True)
class ClassNames:
    """Class names in label order, and the fixed words around all of them.

    `before` and `after` are words every row has ("of a", ", a type of pet"), kept for prompts of
    new classes. `ends` is the place of the end of text in each row. `distance` is the largest
    relative distance of a token vector from the backbone's, 0 where all are equal bit by bit.
    """

    names: tuple[str, ...]
    before: str
    after: str
    ends: tuple[int, ...]
    distance: float


def recover_class_names(
    tensors: Mapping[str, Tensor], decode: Decode, *, token_embedding: Tensor | None = None
) -> ClassNames | None:
    """Read the class names of a checkpoint. None where the file does not hold them.

    Args:
        tensors: the tensors of the file, by key.
        decode: token ids to text, as CLIP's tokenizer does.
        token_embedding: (V, W) of the backbone; not needed where the file holds token ids
            (`tokenized_prompts`) or a table of its own, which is preferred.

    Raises:
        CheckpointError: the vectors are not those of this backbone, or are no prompts.
    """
    learner = {key.removeprefix(_PREFIX): value for key, value in tensors.items()}
    if (ids := learner.get("tokenized_prompts")) is not None and ids.ndim == 2 and ids.any():
        context = learner.get("ctx")
        skipped = 1 + (context.shape[-2] if context is not None and context.ndim >= 2 else 0)
        return names_of_ids(ids[:, skipped:], decode)
    own = [value for key, value in tensors.items() if key.endswith("token_embedding.weight")]
    table = own[0] if own else token_embedding
    source = vectors_key(tensors)
    if source is None or table is None:
        return None
    rows = tensors[source]
    if source == "prompt_embeddings":
        rows = rows[:, 1:]  # these are whole prompts, with the start of text
    if rows.ndim != 3 or 0 in rows.shape:
        raise CheckpointError(f"`{source}` is {tuple(rows.shape)}; expected (C, T, W)")
    context = learner.get("ctx")
    if context is not None and context.ndim == 3 and len(rows) % max(len(context), 1) == 0:
        rows = _first_set(rows, len(context))
    found = match_tokens(rows.flatten(0, 1), table, name=source)
    return names_of_ids(found.ids.view(rows.shape[:2]), decode, distance=found.distance)


def vectors_key(tensors: Mapping[str, object]) -> str | None:
    """The key of the token vectors that hold the class names."""
    keys = ("token_suffix", f"{_PREFIX}token_suffix", "prompt_embeddings")
    return next((key for key in keys if key in tensors), None)


def holds_names(tensors: Mapping[str, object]) -> bool:
    """Whether the file holds the class names as tokens."""
    ids = any(key.removeprefix(_PREFIX) == "tokenized_prompts" for key in tensors)
    return ids or vectors_key(tensors) is not None


def _first_set(rows: Tensor, sets: int) -> Tensor:
    """PLOT has all classes for each of its prompts (in phrases of its own); CoOp has them once."""
    count = len(rows) // sets
    return rows[:count] if count > 1 else rows


def names_of_ids(ids: Tensor, decode: Decode, *, distance: float = 0.0) -> ClassNames:
    """Class names from (C, T) token ids of rows that begin after the learned context."""
    filled = ids != 0
    if not bool(filled.any(dim=1).all()):
        raise CheckpointError("a class without tokens: the file's prompts are damaged")
    ends = ids.shape[1] - 1 - filled.flip(1).int().argmax(dim=1)  # (C,)
    stops = ids.gather(1, ends[:, None]).unique()
    if len(stops) > 1:
        raise CheckpointError("the file's prompts do not end in one end-of-text token")
    rows = [row[:end].tolist() for row, end in zip(ids, ends.tolist(), strict=True)]
    rows, before, after = _split(rows, decode)
    names = tuple(tidy(decode(row)) for row in rows)
    if not all(name and name.isprintable() for name in names):
        raise CheckpointError("a class without a name: the file's prompts are damaged")
    return ClassNames(names, before, after, tuple(ends.tolist()), distance)


def _split(rows: list[list[int]], decode: Decode) -> tuple[list[list[int]], str, str]:
    """Take off the full stop and the words that all rows share at their start and end."""
    last = {row[-1] for row in rows if row}
    if not all(rows) or len(last) > 1 or decode(list(last)).strip() != ".":
        return rows, "", ""
    (stop,) = last
    rows = [row[:-1] for row in rows]
    if not all(rows):
        return rows, "", ""
    ends_word = _word_ends(decode, stop)
    start = _common_start(rows, ends_word)
    before, rows = tidy(decode(rows[0][:start])), [row[start:] for row in rows]
    end = _common_end(rows, ends_word)
    after = tidy(decode(rows[0][-end:])) if end else ""
    return [row[: len(row) - end] for row in rows], before, after


def _word_ends(decode: Decode, mark: int) -> Callable[[int], bool]:
    """A test whether a token ends a word: whether a space comes before the token `mark` after it.

    `mark` is the full stop, which never joins a word.
    """
    stop = decode([mark]).strip()
    known: dict[int, bool] = {}

    def ends_word(token: int) -> bool:
        if token not in known:
            known[token] = decode([token, mark]).rstrip().removesuffix(stop).endswith(" ")
        return known[token]

    return ends_word


def _common_start(rows: Sequence[Sequence[int]], ends_word: Callable[[int], bool]) -> int:
    """How many tokens all rows begin with: whole words, and one token at least is left to each."""
    same = _same_tokens(rows)
    while same and not ends_word(rows[0][same - 1]):
        same -= 1
    return same


def _common_end(rows: Sequence[Sequence[int]], ends_word: Callable[[int], bool]) -> int:
    """How many tokens all rows end in, counted as in `_common_start`."""
    same = _same_tokens([row[::-1] for row in rows])
    while same and not all(ends_word(row[-1 - same]) for row in rows):
        same -= 1
    return same


def _same_tokens(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, less than the shortest has; of one row, none."""
    places = zip(*(row[:-1] for row in rows), strict=False) if len(rows) > 1 else ()
    return len(list(takewhile(lambda tokens: len(set(tokens)) == 1, places)))


def tidy(text: str) -> str:
    """A readable name from decoded tokens, which stand apart: `7 4 7 - 4 0 0` is 747-400.

    The result has the same tokens as the original name, but not always its spaces.
    """
    text = " ".join(text.split())
    text = re.sub(r"(?<=\d) (?=\d)", "", text)
    text = re.sub(r"\b([a-z]) (?=\d)", r"\1", text)  # v 8, a 5
    text = re.sub(r" ?([-'/]+) ?", r"\1", text)
    text = re.sub(r" ([.,;:!?)])", r"\1", text)
    text = re.sub(r"(?<=\d)\. (?=\d)", ".", text)
    return re.sub(r"\( ", "(", text).strip()


def check_class_names(found: ClassNames, listed: Sequence[str]) -> str:
    """Say which part of the `listed` classes a checkpoint was trained on: all, base or new.

    Names are compared in order; the fixed words may be part of them.

    Raises:
        DataError: the list is of other classes, or in another order; names the first differences.
    """
    parts = {part: [listed[k] for k in half(len(listed), part)] for part in _PARTS}
    wrong: dict[str, list[int]] = {}
    for part, names in parts.items():
        if len(names) == len(found.names):
            wrong[part] = [i for i, name in enumerate(names) if not _is(found, i, name)]
            if not wrong[part]:
                return part
    if not wrong:
        raise DataError(
            f"the checkpoint was trained on {len(found.names)} classes; the list has {len(listed)} "
            f"({len(parts['base'])} base, {len(parts['new'])} new)"
        )
    part = min(wrong, key=lambda name: len(wrong[name]))
    shown = "; ".join(
        f"class {i}: {found.names[i]!r} in the checkpoint, {parts[part][i]!r} in the list"
        for i in wrong[part][:3]
    )
    known = range(len(found.names))
    others = [n for n in parts[part] if not any(_is(found, i, n) for i in known)]
    order = "other class names" if others else "the same names in another order"
    raise DataError(f"{order}: {len(wrong[part])} of {len(known)} differ ({shown})")


def _is(found: ClassNames, index: int, name: str) -> bool:
    own = found.names[index]
    spellings = (own, found.before + own, own + found.after, found.before + own + found.after)
    return any(same_name(spelling, name) for spelling in spellings)


def same_name(first: str, second: str) -> bool:
    """Whether two spellings are of one name: case, `_`, spaces and composed accents are folded."""
    first, second = (folded(name).replace(" ", "") for name in (first, second))
    return first == second


def subset_of(num_classes: int, dataset: str | None) -> str | None:
    """Which part of a known data set has this many classes; None where it is not told by that."""
    total = _DATASET_CLASSES.get(dataset or "")
    if total is None:
        return None
    fitting = [part for part in _PARTS if len(half(total, part)) == num_classes]
    return fitting[0] if len(fitting) == 1 else None
