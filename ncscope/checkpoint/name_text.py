"""Class names as text: from tokens to readable names, and comparing names that vary in spelling."""

import re
import unicodedata
from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]


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


def same_name(first: str, second: str) -> bool:
    """Whether two spellings are of one name: case, `_`, spaces and composed accents are folded."""
    return _folded(first) == _folded(second)


def _folded(name: str) -> str:
    return re.sub(r"[\s_]+", "", unicodedata.normalize("NFC", name).casefold())


def common_start(rows: Sequence[Sequence[int]], *, ends_word: Callable[[int], bool]) -> int:
    """How many tokens all rows begin with: whole words, and one token at least is left to each."""
    if len(rows) < 2:
        return 0
    most = min(len(row) for row in rows) - 1
    same = 0
    while same < most and len({row[same] for row in rows}) == 1:
        same += 1
    while same and not ends_word(rows[0][same - 1]):
        same -= 1
    return same


def common_end(rows: Sequence[Sequence[int]], *, ends_word: Callable[[int], bool]) -> int:
    """How many tokens all rows end in, counted as in `common_start`."""
    if len(rows) < 2:
        return 0
    most = min(len(row) for row in rows) - 1
    same = 0
    while same < most and len({row[-1 - same] for row in rows}) == 1:
        same += 1
    while same and not all(ends_word(row[-1 - same]) for row in rows):
        same -= 1
    return same


def word_ends(decode: Decode, mark: int) -> Callable[[int], bool]:
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
