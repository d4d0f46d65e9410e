"""CoOp's split files `split_zhou_NAME.json`: lists of [path, label, class name], one a part."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ncscope.data.files import shown
from ncscope.data.folders import Listing
from ncscope.data.lists import brief, is_plain, safe_path
from ncscope.data.parts import choose_part, note_of_part
from ncscope.errors import DataError

MOST_CLASSES = 100_000  # a larger label is a mistake, not a class
_MOST_BYTES = 2**30

Row = tuple[str, int, str]  # path, label, class name


def list_split(path: Path, images: Path, *, part: str | None) -> Listing:
    """List one part of a split file, in the file's order: few-shot draws depend on it.

    Class names are those of all parts. Paths are relative to `images`.

    Raises:
        DataError: unreadable, not of this form, a path that leaves `images`, labels that do not
            run from 0, or two names for one label.
    """
    content = read_json(path)
    parts = [name for name in ("train", "val", "test") if name in content]
    if not parts:
        raise DataError(f"{path}: expected the parts train, val and test, got {_kind(content)}")
    chosen = choose_part(str(path), part, parts)
    rows = {name: _rows(f"{path}: {name}", content[name]) for name in parts}
    names = names_of_labels(str(path), [row for name in parts for row in rows[name]])
    kept = rows[chosen or parts[0]]
    return Listing(
        classnames=names,
        paths=tuple(images / row[0] for row in kept),
        items=tuple(row[0] for row in kept),
        labels=tuple(row[1] for row in kept),
        part=chosen,
        warnings=note_of_part(path.name, part, chosen),
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: more than 1 GiB; too large to be a list of images")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object of parts, got {_kind(content)}")
    return content


def checked_row(where: str, path: object, label: object, name: object) -> Row:
    """A row of a list, its path safe, its label a class index, its name text."""
    if type(label) is not int or not 0 <= label < MOST_CLASSES:
        raise DataError(f"{where}: label {brief(label)}; expected a whole number from 0")
    if not isinstance(name, str) or not is_plain(name):
        raise DataError(f"{where}: class name {brief(name)}; expected plain text")
    return safe_path(where, path), label, name


def names_of_labels(where: str, rows: Iterable[Row]) -> tuple[str, ...]:
    """The one name of each label 0..K-1."""
    name_of: dict[int, str] = {}
    for path, label, name in rows:
        if name_of.setdefault(label, name) != name:
            raise DataError(
                f"{where}: label {label} is called {name!r} at {path} and {name_of[label]!r} before"
            )
    missing = sorted(set(range(max(name_of, default=0) + 1)) - set(name_of))
    if missing:
        raise DataError(
            f"{where}: no image of label {missing[0]}; expected labels 0..{len(name_of) - 1} of "
            f"{len(name_of)} classes"
        )
    return tuple(name_of[label] for label in range(len(name_of)))


def _rows(where: str, entries: object) -> list[Row]:
    if not isinstance(entries, list):
        raise DataError(f"{where}: expected a list of [path, label, class name]")
    rows = list[Row]()
    for number, entry in enumerate(entries):
        here = f"{where}[{number}]"
        if not isinstance(entry, list) or len(entry) != 3:
            raise DataError(f"{here}: expected [path, label, class name], got {_kind(entry)}")
        rows.append(checked_row(here, *entry))
    return rows


def _kind(content: object) -> str:
    if isinstance(content, dict):
        return f"the keys {shown([repr(key[:40]) for key in content])}" if content else "no keys"
    return type(content).__name__
