"""Prompts are tokenised whole or refused: open_clip's tokenizers cut what is too long, unsaid.

CLIP's own tokenizer, which prompt learners' authors use, refuses here, too, so no published number
is of a prompt without its end. B texts, L positions of the text tower.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ncscope.errors import DataError

_BYTES = 4  # of a letter, at most
_MOST = 2**16  # tokens looked at, to say what would be lost
_SHOWN = 60


class LongPromptError(DataError):
    """A prompt has more tokens than the text tower has positions; `text` is the prompt."""

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text


@dataclass(frozen=True, eq=False)
class WholeTexts:
    """A tokenizer that refuses what `cutting`, open_clip's, would cut."""

    cutting: Any
    length: int  # L

    def __call__(self, texts: list[str]) -> Tensor:
        """(B, L) token ids.

        Raises:
            LongPromptError: a text has more than L tokens, with start and end.
        """
        ids = self.cutting(texts)
        padding = self.cutting([""])[0, -1]
        for text, full in zip(texts, (ids[:, -1] != padding).tolist(), strict=True):
            if full:
                self._refuse_cut(text)
        return ids

    @property
    def decode(self) -> Callable[[list[int]], str]:
        """Token ids to text, where the tokenizer can (else AttributeError)."""
        return self.cutting.decode

    def _refuse_cut(self, text: str) -> None:
        room = min(_BYTES * len(text) + self.length, _MOST)  # a token has one byte at least
        row = self.cutting([text], context_length=room)[0]
        count = len(row) - int((row.flip(0) != row[-1]).int().argmax())
        if count <= self.length:
            return
        decode = getattr(self.cutting, "decode", None)
        lost = row[self.length - 1 : count - 1].tolist()  # the end takes the last place
        end = f"`{_brief(decode(lost).strip())}`" if decode else f"its last {len(lost)} tokens"
        raise LongPromptError(_refusal(text, count, self.length, end), text)


def too_long(text: str, count: int, length: int, lost: str) -> str:
    """The refusal of a prompt of `count` tokens, of which `lost` would be cut."""
    return _refusal(text, count, length, f"`{_brief(lost.strip())}`")


def _refusal(text: str, count: int, length: int, end: str) -> str:
    return (
        f"the prompt `{_brief(text)}` has {count} tokens, context, start and end included; the "
        f"text tower reads {length}, so {end} would be lost; shorten the class name, the template "
        f"or the context"
    )


def of_class(error: LongPromptError, texts: Sequence[str], names: Sequence[str]) -> DataError:
    """The refusal with the name of the class whose prompt it is."""
    known = dict(zip(texts, names, strict=True))
    name = known.get(error.text)
    return (
        error if name is None else LongPromptError(f"class `{_brief(name)}`: {error}", error.text)
    )


def _brief(text: str) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= _SHOWN:
        return text
    return f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"
