"""Tables of images: a `.csv` with columns `path` and `label` or `classname`, optionally `split`.

Paths are relative to the file's folder and stay inside it; an absolute path is taken as it is.
`label` is an integer from 0, or -1 where the class is not known. With both columns, `label` gives
the order and `classname` the names.
"""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ncscope.data.folder import Listing, choose_part, natural
from ncscope.errors import DataError

_MOST_CLASSES = 100_000  # a larger label is a mistake (a file size, an identifier), not a class
_PART = {"valid": "val", "validation": "val", "dev": "val"}


def list_table(root: Path, *, part: str | None, classnames: Sequence[str] | None) -> Listing:
    """List the images a table names; no image is opened. Labels are the same in all parts."""
    rows = _read(root)
    has_label, has_name = "label" in rows[0], "classname" in rows[0]
    if not has_label and not has_name:
        raise DataError(
            f"{root}: no column `label` or `classname`; it has {', '.join(map(repr, rows[0]))}"
        )
    names = [unicodedata.normalize("NFC", row["classname"].strip()) for row in rows if has_name]
    labels = [_label(root, line, row["label"]) for line, row in enumerate(rows, 2) if has_label]
    if not has_label:
        order = tuple(sorted(set(names) - {""}, key=natural))
        index = {name: label for label, name in enumerate(order)} | {"": -1}
        labels = [index[name] for name in names]
    elif has_name:
        order = _names_of_labels(root, labels, names)
    else:
        order = _names_given(root, labels, classnames)

    parts = [
        _PART.get(row["split"].strip().lower(), row["split"].strip().lower())
        for row in rows
        if "split" in row
    ]
    chosen = choose_part(str(root), part, sorted(set(parts)))
    kept = [i for i in range(len(rows)) if chosen is None or parts[i] == chosen]
    kept.sort(key=lambda i: natural(rows[i]["path"]))
    note = f"no part `test` in {root.name}; took `{chosen}`"
    return Listing(
        classnames=order,
        paths=tuple(_inside(root, kept_row, rows[kept_row]["path"]) for kept_row in kept),
        items=tuple(rows[i]["path"].strip() for i in kept),
        labels=tuple(labels[i] for i in kept),
        part=chosen,
        warnings=(note,) if part is None and chosen not in (None, "test") else (),
    )


def _read(root: Path) -> list[dict[str, str]]:
    try:
        with root.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip().lower() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{root}: cannot be read as a UTF-8 .csv table ({error})") from None
    if "path" not in columns:
        raise DataError(
            f"{root}: no column `path`; it has {', '.join(map(repr, columns)) or 'no columns'} "
            f"(columns are separated by commas)"
        )
    if len(set(columns)) < len(columns):
        raise DataError(f"{root}: a column name occurs twice: {', '.join(map(repr, columns))}")
    if not rows:
        raise DataError(f"{root}: a header and no rows")
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise DataError(f"{root}: row {line} does not have {len(columns)} columns")
    return rows


def _label(root: Path, line: int, text: str) -> int:
    try:
        label = int(text.strip())
    except ValueError:
        raise DataError(f"{root}: row {line}: label {text!r} is not an integer") from None
    if not -1 <= label < _MOST_CLASSES:
        raise DataError(
            f"{root}: row {line}: label {label}; expected 0..{_MOST_CLASSES - 1}, or -1 for unknown"
        )
    return label


def _names_of_labels(root: Path, labels: list[int], names: list[str]) -> tuple[str, ...]:
    """Each label's one name; a label that never occurs is called by its number."""
    name_of: dict[int, str] = {}
    for line, (label, name) in enumerate(zip(labels, names, strict=True), 2):
        if label >= 0 and name_of.setdefault(label, name) != name:
            raise DataError(
                f"{root}: row {line}: label {label} is called {name!r} here and "
                f"{name_of[label]!r} before"
            )
    order = [name_of.get(label, f"class {label}") for label in range(max(labels) + 1)]
    twice = sorted({name for name in name_of.values() if list(name_of.values()).count(name) > 1})
    if twice:
        raise DataError(f"{root}: class name {twice[0]!r} stands for more than one label")
    return tuple(order)


def _names_given(
    root: Path, labels: list[int], classnames: Sequence[str] | None
) -> tuple[str, ...]:
    count = max(labels) + 1
    if classnames is None:
        return tuple(f"class {label}" for label in range(count))
    if count > len(classnames):
        raise DataError(
            f"{root}: label {count - 1}, but {len(classnames)} class names were given; expected "
            f"labels 0..{len(classnames) - 1}"
        )
    return tuple(classnames)


def _inside(root: Path, row: int, text: str) -> Path:
    path = text.strip().replace("\\", "/")
    if ".." in PurePosixPath(path).parts:
        raise DataError(
            f"{root}: row {row + 2}: path {text!r} leaves the table's folder; paths are relative "
            f"to it (or absolute), without `..`"
        )
    return root.parent / path
