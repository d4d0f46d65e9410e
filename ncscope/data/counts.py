"""Training images of each class, from a file, for head, medium and tail."""

from pathlib import Path

from ncscope.errors import DataError


def read_counts(path: str | Path) -> list[int]:
    """One whole number a line, in class order; blank lines are passed over.

    Raises:
        DataError: no such file, or a line that is no whole number >= 0, by its number.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    counts = []
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry:
            continue
        if not (entry.isascii() and entry.isdigit()):
            raise DataError(
                f"{path}, line {number}: expected a whole number of training images, got {entry!r}"
            )
        counts.append(int(entry))
    return counts
