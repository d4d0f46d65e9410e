"""Folders of images: one folder a class, or `train/`, `val/`, `test/` holding class folders."""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ncscope.data.files import shown
from ncscope.errors import DataError

PARTS = ("test", "val", "train")  # in the order in which an unnamed part is chosen
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


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key that reads runs of digits as numbers; the name itself breaks ties."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(int(p), "") if p[0] in "0123456789" else (-1, p) for p in pieces], name


def list_folder(root: Path, *, part: str | None) -> Listing:
    """List the images of `root` with their classes; nothing is opened.

    Hidden files, `Thumbs.db` and the like are passed over; every other file in a class folder,
    at any depth, counts as an image. Labels are the same in all parts: a class counts if any
    part has a folder for it.
    """
    parts = {name: root / name for name in PARTS if (root / name).is_dir()}
    parts = {name: path for name, path in parts.items() if _folders(path)}
    chosen = choose_part(str(root), part, list(parts))
    here = root if chosen is None else parts[chosen]
    places = [root] if chosen is None else list(parts.values())
    folders = sorted({name for place in places for name in _folders(place)}, key=natural)
    if not folders:
        raise DataError(
            f"{root}: no class folders in it; expected one folder a class, or train/, val/, test/ "
            f"holding them"
        )
    rows = [
        (path, path.relative_to(root).as_posix(), label)
        for label, folder in enumerate(folders)
        for path in _files(here / folder)
    ]
    rows.sort(key=lambda row: natural(row[1]))
    if not rows:
        raise DataError(f"{here}: {len(folders)} class folder(s), all empty: {shown(folders)}")
    return Listing(
        # macOS stores decomposed accents; the same name must be the same string everywhere
        classnames=tuple(unicodedata.normalize("NFC", folder) for folder in folders),
        paths=tuple(row[0] for row in rows),
        items=tuple(row[1] for row in rows),
        labels=tuple(row[2] for row in rows),
        part=chosen,
        warnings=_notes(root, part, chosen),
    )


def choose_part(name: str, wanted: str | None, present: Sequence[str]) -> str | None:
    """The part to read: the one asked for, else the first of PARTS; None if there are none."""
    if wanted is None:
        return next((part for part in PARTS if part in present), None)
    if wanted in present:
        return wanted
    found = f"it has {', '.join(sorted(present))}" if present else "it is not divided into parts"
    raise DataError(f"{name}: no part `{wanted}`; {found}")


def _folders(path: Path) -> list[str]:
    """Names of the folders in `path`, hidden ones and the like passed over."""
    if not path.is_dir():
        return []
    return [entry.name for entry in path.iterdir() if entry.is_dir() and not _stray(entry.name)]


def _files(folder: Path) -> list[Path]:
    """All files below `folder`; [] where it does not exist."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _stray(name)]
        found += [Path(where) / name for name in names if not _stray(name)]
    return found


def _stray(name: str) -> bool:
    return name.startswith(".") or name.lower() in _STRAY


def _notes(root: Path, asked: str | None, chosen: str | None) -> tuple[str, ...]:
    if chosen is None:
        return ()
    notes: list[str] = []
    if asked is None and chosen != "test":
        notes.append(f"no part `test` in {root.name}; took `{chosen}`")
    beside = sorted(name for name in _folders(root) if name not in PARTS)
    if beside:
        notes.append(f"folders beside {chosen}/ were not read: {shown(beside)}")
    return tuple(notes)
