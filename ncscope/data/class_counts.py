"""Training images of each class, from a `.csv` with columns `classname` and `count`."""

import csv
from pathlib import Path

from ncscope.errors import DataError


def read_class_counts(path: str | Path) -> dict[str, int]:
    """Read how many training images each class gets, for `draw_training(counts=...)`.

    Raises:
        DataError: no such file, other columns, a name twice, a count that is no number from 1.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader]  # blank lines are passed over
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a UTF-8 .csv table ({error})") from None
    if not {"classname", "count"} <= set(reader.fieldnames) or not rows:
        found = ", ".join(map(repr, reader.fieldnames)) or "nothing"
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
