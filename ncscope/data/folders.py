"""Folders of images: one folder a class, or `train/`, `val/`, `test/` holding class folders.

Also what people call the parts of divided data (`Training/`, `validation/`), and which is read.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ncscope.errors import DataError, shown

PARTS = ("test", "val", "train")  # in the order in which an unnamed part is chosen
_CALLED = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_PART = {word: part for part, words in _CALLED.items() for word in words}
_STRAY = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True)
class Listing:
    """Files with labels, before anything is read: what a folder or a table says it holds."""

    classnames: tuple[str, ...]
    paths: tuple[Path, ...]
    items: tuple[str, ...]
    labels: tuple[int, ...]
    part: str | None
    warnings: tuple[str, ...] = ()


def list_folder(root: Path, *, part: str | None) -> Listing:
    """List the images of `root` with their classes; nothing is opened.

    Hidden files, `Thumbs.db` and the like are passed over; every other file in a class folder,
    at any depth, counts as an image. Labels are the same in all parts: a class counts if any
    part has a folder for it. Links to folders are followed only where they are a class's.

    Raises:
        DataError: no class folders, no images, no such part, two folders of one part.
    """
    called = parts_called(str(root), (name for name in _folders(root) if _folders(root / name)))
    chosen = choose_part(str(root), part, list(called))
    here = root if chosen is None else root / called[chosen]
    places = [root] if chosen is None else [root / name for name in called.values()]
    folders = sorted({name for place in places for name in _folders(place)}, key=natural)
    if not folders:
        raise DataError(
            f"{root}: no class folders in it; expected one folder a class, or train/, val/, test/ "
            f"holding them"
        )
    found = [(label, *_files(here / folder)) for label, folder in enumerate(folders)]
    rows = [
        (path, path.relative_to(root).as_posix(), label)
        for label, paths, _ in found
        for path in paths
    ]
    rows.sort(key=lambda row: natural(row[1]))
    if not rows:
        raise DataError(f"{here}: {len(folders)} class folder(s), all empty: {shown(folders)}")
    links = sorted(link.relative_to(root).as_posix() for _, _, some in found for link in some)
    notes = [*note_of_part(root.name, part, chosen)]
    beside = sorted(set(_folders(root)) - set(called.values()))
    if chosen is not None and beside:
        notes.append(f"folders beside {called[chosen]}/ were not read: {shown(beside)}")
    if links:
        notes.append(f"{len(links)} link(s) to folders were not followed: {shown(links)}")
    return Listing(
        # macOS stores decomposed accents; the same name must be the same string everywhere
        classnames=tuple(unicodedata.normalize("NFC", folder) for folder in folders),
        paths=tuple(row[0] for row in rows),
        items=tuple(row[1] for row in rows),
        labels=tuple(row[2] for row in rows),
        part=chosen,
        warnings=tuple(notes),
    )


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that reads runs of digits as numbers; the name itself breaks ties."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [_piece(piece) for piece in pieces], name


def _piece(piece: str) -> tuple[int, str]:
    if piece[0] not in "0123456789":
        return -1, piece
    digits = piece.lstrip("0")  # the longer number is the larger; thousands of digits are no int
    return len(digits), digits


def _folders(path: Path) -> list[str]:
    """Names of the folders in `path`, hidden ones and the like passed over."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_dir() and not stray(entry.name)]


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files below `folder`, and the links to folders; none where it does not exist."""
    found: list[Path] = []
    links: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not stray(name)]
        found += [Path(where) / name for name in names if not stray(name)]
        links += [link for name in folders if (link := Path(where) / name).is_symlink()]
    return found, links


def stray(name: str) -> bool:
    """Whether a file or folder is hidden, or one that file managers leave."""
    return name.startswith(".") or name.lower() in _STRAY


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
