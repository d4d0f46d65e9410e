"""Small data sets in CoOp's layout, and where the published split files are.

Two images a class and part, one class more than two.
"""

import io
import json
import pickle
import sys
import types
from pathlib import Path

import pytest
from PIL import Image

from ncscope.data.known import KNOWN, KnownData

PARTS = ("train", "val", "test")
SYNSETS = ("n01440764", "n01443537", "n01484850")
NAMES = ("tench", "goldfish", "great white shark")
SPLITS = Path(__file__).parents[2].parent / "shared" / "data" / "coop_splits"
needs_splits = pytest.mark.skipif(not SPLITS.is_dir(), reason="shared/data/coop_splits is absent")


def picture(path: Path, *, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (grey, grey, grey)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def known(name: str) -> KnownData:
    return next(entry for entry in KNOWN if entry.name == name)


def write_tree(root: Path, data: KnownData) -> Path:
    """Write the data set below `root`; returns its own folder."""
    home = root / data.folder
    (home / data.images).mkdir(parents=True)
    if data.listing == "split":
        rows = {part: _rows(data, part) for part in PARTS}
        (home / data.split_file).write_text(json.dumps(rows))
        for path, label, _ in [row for part in PARTS for row in rows[part]]:
            picture(home / data.images / path, grey=label)
    elif data.listing == "lists":
        _write_aircraft(home, data)
    else:
        _write_imagenet(home, data)
    return home


def _rows(data: KnownData, part: str) -> list[tuple[str, int, str]]:
    # labels are not in the order of the rows, as in CoOp's files for flowers
    return [
        (f"cars_{part}/{k}{i}.png" if not data.images else f"{name}/{part}{i}.png", k, name)
        for k, name in ((2, "zebra_crossing"), (0, "apple pie"), (1, "Boeing 747"))
        for i in range(2)
    ]


def _write_aircraft(home: Path, data: KnownData) -> None:
    variants = ("707-320", "F/A-18", "Boeing 717")
    (home / "variants.txt").write_text("\n".join(variants) + "\n")
    for number, part in enumerate(PARTS):
        lines = [f"{number}{k}{i} {v}" for k, v in enumerate(variants) for i in range(2)]
        (home / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
        for line in lines:
            picture(home / data.images / f"{line[:3]}.jpg", grey=int(line[1]))


def _write_imagenet(home: Path, data: KnownData) -> None:
    lines = [f"{synset} {name}" for synset, name in zip(SYNSETS, NAMES, strict=True)]
    (home / "classnames.txt").write_text("\n".join(lines) + "\n")
    folders = [str(k) for k in range(3)] if data.listing == "numbered" else list(SYNSETS)
    for part in ("train/", "val/") if data.listing == "imagenet" else ("",):
        for k, folder in enumerate(folders):
            for i in range(2):
                picture(home / data.images / f"{part}{folder}" / f"{part[:-1]}{i}.JPEG", grey=k)


def write_pickle(path: Path, parts: dict[str, list[tuple[str, int, str]]], *, protocol=5) -> None:
    """A few-shot list as CoOp's code pickles it: objects of Dassl's `Datum`."""
    name = "dassl.data.datasets.base_dataset"
    module = types.ModuleType(name)

    class Datum:
        def __init__(self, impath: str, label: int, classname: str) -> None:
            self._impath, self._label, self._domain, self._classname = impath, label, 0, classname

    Datum.__module__, Datum.__qualname__ = name, "Datum"
    module.__dict__["Datum"] = Datum
    pieces = name.split(".")
    packages = {".".join(pieces[:i]): module for i in range(1, len(pieces) + 1)}
    sys.modules.update(packages)
    try:
        data = {part: [Datum(*row) for row in rows] for part, rows in parts.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(data, protocol=protocol))
    finally:
        for package in packages:
            del sys.modules[package]
