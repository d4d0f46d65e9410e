"""The files that hold a run's state: the last one, the one before it, and whether one is whole.

The one before is kept, since a disk may damage a file that was written whole. safetensors has no
checksum, so the state has one. Nothing here needs torch: a sweep looks without it.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from ncscope.opening import read_bytes

LAST, BEFORE = "state.safetensors", "state.before.safetensors"
DAMAGE = (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError, EOFError)


def kept_states(folder: Path) -> list[Path]:
    """The states of a run that there are, the last first."""
    return [path for name in (LAST, BEFORE) if (path := folder / name).exists()]


def keep_before(path: Path) -> None:
    """Keep the state that stands at `path` as the one before; at every moment one is there."""
    if not path.exists():
        return
    before, aside = path.with_name(BEFORE), path.with_name(f".{BEFORE}.link")
    try:
        aside.unlink(missing_ok=True)
        os.link(path, aside)
        aside.replace(before)
    except OSError:  # a file system without links
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        path.replace(before)


def digest(tensors: Iterable[tuple[str, Mapping[str, Any]]], words: str) -> str:
    """The sha256 of words, then of names, kinds, shapes and bytes in the order of the names."""
    found = hashlib.sha256(words.encode("utf-8", "backslashreplace"))
    for name, held in sorted(tensors, key=lambda one: one[0]):
        found.update(f"{name} {held['dtype']} {list(held['shape'])} ".encode())
        found.update(held["data"])
    return found.hexdigest()


def read_whole(path: Path) -> tuple[bytes, dict[str, str]]:
    """A safetensors file and its metadata, once its checksum is seen to be right, if it has one.

    Raises:
        one of DAMAGE: no such file, or not as it was written.
    """
    data = read_bytes(path, most=2**40)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("no header of safetensors")
    said = metadata.get("sha256")
    if said is not None and said != digest(deserialize(data), str(metadata.get("state"))):
        raise ValueError("its checksum is another")
    return data, metadata


def is_whole(path: Path) -> bool:
    """Whether a state can be read; of what version it is, is not asked."""
    try:
        data, metadata = read_whole(path)
        deserialize(data)
        json.loads(metadata["state"])
    except DAMAGE:
        return False
    return True
