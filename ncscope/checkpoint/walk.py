"""Folders below a folder that hold checkpoints: no link is followed, and what is huge is refused.

A tree may be anybody's: links may lead in circles or out of it, pipes may wait for ever, and a
folder of images has a million files. Names are looked at, regular files alone count.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ncscope.errors import CheckpointError, shown

CHECKPOINT = re.compile(r".+\.(pth(\.tar)?(-\d+)?|pt|ckpt|bin|safetensors)")
MOST_FOLDERS = 50_000
MOST_ENTRIES = 2_000_000
_MOST_DEPTH = 24  # output/base2new/train_base/eurosat/shots_16/CoOp/vit_b16/seed1/model has nine
_SKIPPED = ("tensorboard",)


@dataclass
class Walk:
    """A search below a folder, and what it left aside, in words, once it is done."""

    top: Path
    linked: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    deep: list[str] = field(default_factory=list)

    def folders(self, *, below: bool = True) -> Iterator[tuple[Path, list[Path]]]:
        """Folders with checkpoints and these, sorted; `below` also looks inside such folders.

        Raises:
            CheckpointError: more folders or files than can be meant.
        """
        left, seen, entries = [(self.top, 0)], 0, 0
        while left:
            folder, depth = left.pop()
            seen += 1
            files, inside, count = self._entries(folder, MOST_ENTRIES - entries)
            entries += count
            if seen > MOST_FOLDERS or entries >= MOST_ENTRIES:
                raise CheckpointError(
                    f"{self.top}: more than {MOST_FOLDERS:,} folders or {MOST_ENTRIES:,} files "
                    f"below it; name a folder further down"
                )
            if files:
                yield folder, files
            if inside and depth >= _MOST_DEPTH:
                self.deep.append(self._said(folder))
            elif below or not files:
                left += [(folder / name, depth + 1) for name in sorted(inside, reverse=True)]

    def _entries(self, folder: Path, most: int) -> tuple[list[Path], list[str], int]:
        """Checkpoints and folders in a folder, and how many entries were looked at."""
        files, inside, count = list[Path](), list[str](), 0
        try:
            with os.scandir(folder) as entries:
                for count, entry in enumerate(entries, 1):
                    if count >= most:
                        break
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _SKIPPED:
                            inside.append(entry.name)
                    elif entry.is_symlink() and entry.is_dir():
                        self.linked.append(self._said(folder / entry.name))
                    elif CHECKPOINT.fullmatch(entry.name) and entry.is_file():
                        files.append(folder / entry.name)
        except OSError as error:
            if folder == self.top:
                raise CheckpointError(f"{folder}: cannot be read: {error.strerror}") from None
            self.closed.append(f"{self._said(folder)} ({error.strerror})")
        return sorted(files), inside, count

    def _said(self, folder: Path) -> str:
        return str(folder.relative_to(self.top))

    def notes(self) -> tuple[str, ...]:
        """What was not searched."""
        said = (
            ("links to folders were not followed; name what they lead to", self.linked),
            ("folders could not be read", self.closed),
            (f"folders lie deeper than {_MOST_DEPTH} levels and were not searched", self.deep),
        )
        return tuple(
            f"{self.top}: {len(found)} {words}: {shown(found)}" for words, found in said if found
        )
