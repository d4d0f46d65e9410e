"""Image sets from lists that others wrote, above all CoOp's `split_zhou_NAME.json`.

Paths stay below the images' folder. A list of 1.28 million images is checked folder by folder:
that each file is there, and its size. What a file holds is seen when it is loaded.
"""

import json
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ncscope.data.files import FileLoader
from ncscope.data.folders import Listing, choose_part, note_of_part
from ncscope.data.images import ImageSet, image_digest, note_of_empty
from ncscope.data.tables import MOST_CLASSES, check_counted_from_0, note_of_twice
from ncscope.errors import DataError, brief, shown
from ncscope.opening import once_each, read_text

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
    if not any(rows.values()):
        raise DataError(f"{path}: lists no image in {', '.join(parts)}")
    names = names_of_labels(str(path), [row for name in parts for row in rows[name]])
    kept = rows[chosen or parts[0]]
    return Listing(
        classnames=names,
        paths=tuple(images / row[0] for row in kept),
        items=tuple(row[0] for row in kept),
        labels=tuple(row[1] for row in kept),
        part=chosen,
        warnings=(
            *note_of_part(path.name, part, chosen),
            *note_of_twice([(row[0], row[1]) for row in kept]),
        ),
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: more than 1 GiB; too large to be a list of images")
        content = json.loads(read_text(path, encoding="utf-8-sig"), object_pairs_hook=once_each)
    except DataError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object of parts, got {_kind(content)}")
    return content


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


def checked_row(where: str, path: object, label: object, name: object) -> Row:
    """A row of a list, its path safe, its label a class index, its name text."""
    if type(label) is not int or not 0 <= label < MOST_CLASSES:
        raise DataError(f"{where}: label {brief(label)}; expected a whole number from 0")
    if not isinstance(name, str) or not is_plain(name):
        raise DataError(f"{where}: class name {brief(name)}; expected plain text")
    return safe_path(where, path), label, name


def safe_path(where: str, text: object) -> str:
    """A relative path of a list, with `/`; refused if it could leave the images' folder.

    `where` names the list and the entry in messages.
    """
    if not isinstance(text, str) or not is_plain(text) or len(text) > 4096:
        raise DataError(f"{where}: expected the path of an image, got {brief(text)}")
    whole = text.replace("\\", "/")
    parts = [piece for piece in whole.split("/") if piece not in ("", ".")]
    if whole.startswith("/") or ".." in parts or not parts or parts[0][1:2] == ":":
        raise DataError(
            f"{where}: path {text!r} leaves the images' folder; expected one relative to it, "
            f"without `..`"
        )
    return "/".join(parts)


def is_plain(text: str) -> bool:
    """Whether a text can be shown and encoded: no control characters, no halves of characters."""
    return bool(text.strip()) and not any(
        ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in text
    )


def names_of_labels(where: str, rows: Iterable[Row]) -> tuple[str, ...]:
    """The one name of each label 0..K-1."""
    name_of: dict[int, str] = {}
    for path, label, name in rows:
        if name_of.setdefault(label, name) != name:
            raise DataError(
                f"{where}: label {label} is called {name!r} at {path} and {name_of[label]!r} before"
            )
    check_counted_from_0(where, name_of)
    missing = sorted(set(range(max(name_of, default=0) + 1)) - set(name_of))
    if missing:
        raise DataError(
            f"{where}: no image of label {missing[0]}; expected labels 0..{len(name_of) - 1} of "
            f"{len(name_of)} classes"
        )
    return tuple(name_of[label] for label in range(len(name_of)))


def _kind(content: object) -> str:
    if isinstance(content, dict):
        return f"the keys {shown([repr(key[:40]) for key in content])}" if content else "no keys"
    return type(content).__name__


def listed_images(name: str, listing: Listing, *, skip_bad: bool) -> ImageSet:
    """The images of a listing, in its order; missing files are refused or, skipping, left out.

    The digest covers class names, labels, paths in the list and sizes of the files, and not their
    bytes: to read all of a large data set takes longer than to measure it. A file replaced by
    another of the same size is not noticed.

    Raises:
        DataError: files that are missing, empty or no files, or a list of none.
    """
    sizes = file_sizes(listing.paths)
    good = [row for row, size in enumerate(sizes) if size]
    bad = [listing.items[row] for row, size in enumerate(sizes) if not size]
    if bad and (not skip_bad or not good):
        raise DataError(
            f"{name}: {len(bad)} of {len(sizes)} listed images are missing or empty: {shown(bad)}; "
            f"put them in place; analyze and extract leave them out with --skip-bad "
            f"(skip_bad=True)"
        )
    if not good:
        raise DataError(f"{name}: no images listed")
    items = tuple(listing.items[row] for row in good)
    labels = tuple(listing.labels[row] for row in good)
    contents = [f"{sizes[row]} bytes" for row in good]
    left_out = (f"left out {len(bad)} missing file(s): {shown(bad)}",) if bad else ()
    return ImageSet(
        name=name,
        classnames=listing.classnames,
        labels=labels,
        items=items,
        digest=image_digest(listing.classnames, items, labels, contents),
        load=FileLoader(tuple(str(listing.paths[row]) for row in good), items),
        part=listing.part,
        warnings=(*listing.warnings, *left_out, *note_of_empty(listing.classnames, labels)),
    )


def open_split(path: Path, *, part: str | None = None, skip_bad: bool = False) -> ImageSet:
    """Images that a split file in CoOp's format lists: their paths lie in its own folder, or, as
    in CoOp's layout, in one folder below it.

    Raises:
        DataError: as `list_split` and `listed_images`.
    """
    listing = list_split(path, path.parent, part=part)
    folders = sorted(entry for entry in path.parent.iterdir() if entry.is_dir())
    for folder in (path.parent, *folders):
        if listing.items and (folder / listing.items[0]).is_file():
            listing = replace(listing, paths=tuple(folder / item for item in listing.items))
            break
    return listed_images(str(path), listing, skip_bad=skip_bad)


def file_sizes(paths: Sequence[Path]) -> list[int]:
    """Bytes of each file, 0 where there is none; every folder is listed once."""
    wanted: dict[str, set[str]] = defaultdict(set)
    split = [os.path.split(path) for path in paths]
    for folder, name in split:
        wanted[folder].add(name)
    found = {folder: _sizes_in(folder, names) for folder, names in wanted.items()}
    return [found[folder].get(name, 0) for folder, name in split]


def _sizes_in(folder: str, names: set[str]) -> dict[str, int]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _size(entry) for entry in entries if entry.name in names}
    except OSError:  # no such folder: all of its files are missing
        return {}


def _size(entry: os.DirEntry[str]) -> int:
    try:
        status = entry.stat()
    except OSError:  # a link to nothing
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
