"""Finds the metrics.json of runs in files and folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ncscope.errors import DataError


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files given, and every metrics.json at any depth of the folders given, each once.

    Raises:
        DataError: a path that is not there, or a folder without a metrics.json.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = [top / "metrics.json" for top, names in _walked(path)
                      if "metrics.json" in names]  # fmt: skip
            if not inside:
                raise DataError(f"{path}: no metrics.json in it, at any depth; run `ncscope tune` "
                                f"or `ncscope analyze` first")  # fmt: skip
        elif path.is_file():
            inside = [path]
        else:
            raise DataError(f"{path}: no such file or folder")
        for file in sorted(inside):
            found.setdefault(file.resolve(), file)
    if not found:
        raise DataError("nothing to compare: give folders of runs, or their metrics.json")
    return list(found.values())


def _walked(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below, through links too, each once, with the names of its files."""
    seen: set[str] = set()
    for top, inside, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:
            inside.clear()
        else:
            seen.add(real)
            yield Path(top), names
