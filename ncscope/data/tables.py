"""Tables in files: images with their labels, and training images of each class.

Paths are relative to the file's folder and stay inside it; an absolute path is taken as it is.
`label` is an integer from 0, or -1 where the class is not known. With both columns, `label` gives
the order and `classname` the names: labels decide, so that two of one name are two classes, and a
label without a row is none. `ncscope.data.folders` has the words that `split` takes.
"""

import csv
import io
import math
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ncscope.data.folders import Listing, choose_part, natural, note_of_part, part_of, parts_called
from ncscope.errors import DataError, brief, shown
from ncscope.opening import open_regular, read_text
from ncscope.text import clean

MOST_CLASSES = 100_000  # a larger label is a mistake (a file size, an identifier), not a class
MOST_IMAGES = 10**12  # of a class, in training

Rows = list[tuple[int, dict[str, str]]]  # line of the file, cells by column


def list_table(root: Path, *, part: str | None, classnames: Sequence[str] | None) -> Listing:
    """List the images a table names; no image is opened. Labels are the same in all parts.

    Raises:
        DataError: unreadable, columns or cells that say nothing clear, no class, no such part, a
            path that leaves the table's folder.
    """
    rows = _read(root)
    labels, order, warnings = _classes(root, rows, classnames)
    if not order:
        raise DataError(f"{root}: no row names its class; a blank name or label -1 is unknown")
    kept, chosen, notes = _rows_of_part(root, rows, part)
    kept.sort(key=lambda i: natural(rows[i][1]["path"]))
    return Listing(
        classnames=order,
        paths=tuple(_inside(root, *rows[i]) for i in kept),
        items=tuple(rows[i][1]["path"].strip() for i in kept),
        labels=tuple(labels[i] for i in kept),
        part=chosen,
        warnings=(
            *note_of_part(root.name, part, chosen),
            *notes,
            *warnings,
            *note_of_twice([(rows[i][1]["path"].strip(), labels[i]) for i in kept]),
        ),
    )


def note_of_twice(rows: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """What is to be said of images that a list has more than once: path and label of each row."""
    labels: dict[str, set[int]] = {}
    count = twice = 0
    for path, label in rows:
        twice += path in labels
        labels.setdefault(path, set()).add(label)
        count += 1
    several = [path for path, own in labels.items() if len(own) > 1]
    if several:
        return (f"{len(several)} image(s) are listed in several classes: {shown(several)}",)
    return (f"{twice} of {count} rows list an image again",) if twice else ()


def _read(root: Path) -> Rows:
    columns, rows = _csv(root)
    if "path" not in columns:
        raise DataError(
            f"{root}: no column `path`; it has {', '.join(map(repr, columns)) or 'no columns'} "
            f"(columns are separated by commas)"
        )
    if len(set(columns)) < len(columns):
        raise DataError(f"{root}: a column name occurs twice: {', '.join(map(repr, columns))}")
    if not rows:
        raise DataError(f"{root}: a header and no rows")
    for line, row in rows:
        if None in row or None in row.values():
            raise DataError(f"{root}: row {line} does not have {len(columns)} columns")
    return rows


def _csv(path: Path) -> tuple[list[str], Rows]:
    """The columns of a `.csv` file, in lower case, and its rows; blank lines are passed over."""
    try:
        file = io.StringIO(read_text(path, encoding="utf-8-sig"))
        reader = csv.DictReader(file, strict=True)
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        return list(reader.fieldnames), [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a UTF-8 .csv table ({error})") from None


def _classes(
    root: Path, rows: Rows, classnames: Sequence[str] | None
) -> tuple[list[int], tuple[str, ...], tuple[str, ...]]:
    """The label of each row, the name of each label, and what is to be said of them."""
    columns = rows[0][1]
    if "label" not in columns and "classname" not in columns:
        raise DataError(
            f"{root}: no column `label` or `classname`; it has {', '.join(map(repr, columns))}"
        )
    names = [unicodedata.normalize("NFC", row.get("classname", "").strip()) for _, row in rows]
    for (line, _), name in zip(rows, names, strict=True):
        if clean(name) != name:
            raise DataError(
                f"{root}: row {line}: class name {brief(name)} holds control characters; expected "
                f"plain text"
            )
    if "label" not in columns:
        order = tuple(sorted(set(names) - {""}, key=natural))
        index = {name: label for label, name in enumerate(order)} | {"": -1}
        return [index[name] for name in names], order, ()
    labels = [_label(root, line, row["label"]) for line, row in rows]
    if "classname" in columns:
        return labels, _names_of_labels(root, rows, labels, names), ()
    if classnames is not None:
        return labels, _names_given(root, labels, classnames), ()
    check_counted_from_0(str(root), labels, ", or name the classes")
    missing = sorted(set(range(max(labels) + 1)) - set(labels))
    if missing:
        raise DataError(
            f"{root}: no row of label {missing[0]}, and nothing names the classes, whose labels go "
            f"to {max(labels)}; expected each label from 0 to have a row, or the names of all of "
            f"them: a column `classname`, or --classnames FILE"
        )
    note = (
        f"{root.name} has no column `classname`: its classes are called `class 0`, …, which tells "
        f"a text encoder nothing; name them"
    )
    return labels, tuple(f"class {label}" for label in range(max(labels) + 1)), (note,)


def _label(root: Path, line: int, text: str) -> int:
    try:
        label = _whole(text.strip())
    except ValueError:
        raise DataError(f"{root}: row {line}: label {text[:40]!r} is not an integer") from None
    if not -1 <= label < MOST_CLASSES:
        raise DataError(
            f"{root}: row {line}: label {text.strip()[:40]}; expected 0..{MOST_CLASSES - 1}, or "
            f"-1 for unknown"
        )
    return label


def _whole(text: str) -> int:
    """A whole number, also as pandas and numpy.savetxt write it: `3.0`, `5.000e+02`."""
    if "_" in text:  # as Python writes numbers, and no table does
        raise ValueError(text)
    try:
        return int(text)
    except ValueError:
        number = float(text) if len(text) < 40 else math.nan
        if not number.is_integer():  # not NaN, nor infinite
            raise ValueError(text) from None
        return int(number)


def _names_of_labels(
    root: Path, rows: Rows, labels: list[int], names: list[str]
) -> tuple[str, ...]:
    """Each label's one name; every label up to the largest must have a row that names it."""
    name_of: dict[int, str] = {}
    for (line, _), label, name in zip(rows, labels, names, strict=True):
        if label >= 0 and not name:
            raise DataError(f"{root}: row {line}: label {label} without a class name")
        if label >= 0 and name_of.setdefault(label, name) != name:
            raise DataError(
                f"{root}: row {line}: label {label} is called {name!r} here and "
                f"{name_of[label]!r} before"
            )
    if name_of:
        check_counted_from_0(str(root), labels)
    missing = sorted(set(range(max(name_of, default=-1) + 1)) - set(name_of))
    if missing:
        raise DataError(
            f"{root}: no row of label {missing[0]}; expected labels 0..{len(name_of) - 1} of "
            f"{len(name_of)} classes, each with a row; drop the column `label` to have the classes "
            f"in the order of their names"
        )
    return tuple(name_of[label] for label in range(len(name_of)))


def check_counted_from_0(where: str, labels: Iterable[int], otherwise: str = "") -> None:
    """Refuse labels 1..K, of which a class of label 0 would be made that there is not."""
    known = {label for label in labels if label >= 0}
    if known and min(known) == 1:
        raise DataError(
            f"{where}: no image of label 0; the labels are 1..{max(known)}, which looks like "
            f"counting from 1; expected labels from 0: subtract 1{otherwise}"
        )


def _names_given(root: Path, labels: list[int], classnames: Sequence[str]) -> tuple[str, ...]:
    count = max(labels) + 1
    if count > len(classnames):
        raise DataError(
            f"{root}: label {count - 1}, but {len(classnames)} class names were given; expected "
            f"labels 0..{len(classnames) - 1}"
            + ("; they are counted from 1: subtract 1" if _off_by_one(labels, count) else "")
        )
    return tuple(classnames)


def _off_by_one(labels: list[int], count: int) -> bool:
    return 0 not in labels and set(labels) - {-1} == set(range(1, count))


def _rows_of_part(
    root: Path, rows: Rows, part: str | None
) -> tuple[list[int], str | None, tuple[str, ...]]:
    """Rows of the part to read, the part, and which rows are in none; all, None where undivided."""
    words = [row.get("split", "").strip().casefold() for _, row in rows]
    parts_called(f"{root}: column `split`", set(words))
    parts = [part_of(word) or word for word in words]
    present = sorted(set(parts) - {""})
    chosen = choose_part(str(root), part, present)
    if chosen is None and present:
        raise DataError(
            f"{root}: column `split` has {shown([repr(word[:40]) for word in present])}; expected "
            f"train, val or test"
        )
    if chosen is None:
        return list(range(len(rows))), None, ()
    notes = []
    if "" in parts:
        notes.append(f"left out {parts.count('')} row(s) of {root.name} with an empty `split`")
    other = [word for word in present if part_of(word) is None and word != chosen]
    if other:
        notes.append(f"rows of {root.name} in no part were not read: `split` is {shown(other)}")
    return [i for i, one in enumerate(parts) if one == chosen], chosen, tuple(notes)


def _inside(root: Path, line: int, row: dict[str, str]) -> Path:
    text = row["path"]
    path = text.strip().replace("\\", "/")
    if not path:
        raise DataError(f"{root}: row {line}: the path is blank; expected that of an image")
    if ".." in PurePosixPath(path).parts:
        raise DataError(
            f"{root}: row {line}: path {text!r} leaves the table's folder; paths are relative to "
            f"it (or absolute), without `..`"
        )
    return root.parent / path


def read_class_counts(path: str | Path) -> dict[str, int]:
    """Read how many training images each class gets, for `draw_training(counts=...)`.

    Raises:
        DataError: no such file, other columns, a name twice, a count that is no number from 1.
    """
    columns, rows = _csv(Path(path))
    if not {"classname", "count"} <= set(columns) or not rows:
        found = ", ".join(map(repr, columns)) or "nothing"
        raise DataError(f"{path}: expected columns `classname` and `count` and rows; got {found}")
    counts: dict[str, int] = {}
    for line, row in rows:
        name, text = (row["classname"] or "").strip(), (row["count"] or "").strip()
        if not name or name in counts:
            raise DataError(f"{path}: row {line}: class name {name!r} is empty or occurs twice")
        if not text.isdecimal() or len(text) > 9 or int(text) < 1:
            raise DataError(
                f"{path}: row {line}: count {text[:40]!r}; expected a whole number from 1"
            )
        counts[name] = int(text)
    return counts


def read_train_counts(path: str | Path) -> list[int] | dict[str, int]:
    """Training images of each class: one whole number a line, or the CSV that `tune` takes.

    Raises:
        DataError: as `read_counts` and `read_class_counts`.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            first = file.readline(1000).decode("utf-8-sig")
        heads = {name.strip().lower() for name in first.split(",")}
    except (OSError, UnicodeDecodeError):
        return read_counts(path)  # which says why not
    return read_class_counts(path) if "classname" in heads else read_counts(path)


def read_counts(path: str | Path) -> list[int]:
    """One whole number a line (`500` or `500.0`), in class order; blank lines are passed over.

    Raises:
        DataError: no such file, or a line that is no whole number >= 0, by its number.
    """
    path = Path(path)
    try:
        lines = read_text(path, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    counts = []
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry:
            continue
        try:
            count = _whole(entry) if entry.isascii() else -1
        except ValueError:
            count = -1
        if not 0 <= count < MOST_IMAGES:
            raise DataError(
                f"{path}, line {number}: expected a whole number of training images, got "
                f"{entry[:40]!r}"
            )
        counts.append(count)
    return counts
