"""Image sets from lists that others wrote: paths kept below their folder, files found, not opened.

A list of 1.28 million images is checked folder by folder: that each file is there, and its size.
What a file holds is seen when it is loaded.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ncscope.data.files import FileLoader, shown
from ncscope.data.folders import Listing
from ncscope.data.images import ImageSet, image_digest
from ncscope.errors import DataError


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


def brief(value: object) -> str:
    """A value of a list, for a message. What a file nested is named by its type, not shown."""
    if isinstance(value, str):
        return ascii(value[:60])
    return ascii(value)[:60] if isinstance(value, int | float | None) else type(value).__name__


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
        warnings=(*listing.warnings, *left_out, *_empty_classes(listing.classnames, labels)),
    )


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


def _empty_classes(classnames: Sequence[str], labels: Sequence[int]) -> tuple[str, ...]:
    empty = sorted(set(range(len(classnames))) - set(labels))
    if not empty:
        return ()
    return (f"{len(empty)} class(es) without images: {shown([classnames[k] for k in empty])}",)
