"""Parts of divided data: what people call them, and which one is read."""

from collections.abc import Iterable, Sequence

from ncscope.errors import DataError

PARTS = ("test", "val", "train")  # in the order in which an unnamed part is chosen
_CALLED = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_PART = {word: part for part, words in _CALLED.items() for word in words}


def part_of(text: str) -> str | None:
    """The part that a folder's name or a table's word stands for, whatever its case, or None."""
    return _PART.get(text.strip().casefold())


def parts_called(where: str, texts: Iterable[str]) -> dict[str, str]:
    """The word that stands for each part.

    Raises:
        DataError: two words stand for one part, such as `eval` and `test`.
    """
    found: dict[str, str] = {}
    for text in sorted(texts):
        part = part_of(text)
        if part is not None and found.setdefault(part, text) != text:
            raise DataError(
                f"{where}: {found[part]!r} and {text!r} both stand for the part {part}; keep one, "
                f"or call them all alike"
            )
    return found


def choose_part(name: str, wanted: str | None, present: Sequence[str]) -> str | None:
    """The part to read: the one asked for, else the first of PARTS; None if there are none."""
    if wanted is None:
        return next((part for part in PARTS if part in present), None)
    if wanted in present:
        return wanted
    found = f"it has {', '.join(sorted(present))}" if present else "it is not divided into parts"
    raise DataError(f"{name}: no part `{wanted}`; {found}")


def note_of_part(name: str, wanted: str | None, chosen: str | None) -> tuple[str, ...]:
    """Says that another part than `test` is read where none was asked for."""
    if wanted is not None or chosen in (None, "test"):
        return ()
    return (f"no part `test` in {name}; took `{chosen}`",)
