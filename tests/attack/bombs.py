"""Small files that claim or unfold to much: what reading each takes, and what is said of it.

`python -m tests.attack.bombs` prints a table: MiB of the file, of what it unfolds to or claims, of
memory above what the process held before, and the answer. Linux only.
"""

import io
import json
import os
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ncscope.checkpoint.inspect import inspect
from ncscope.clip.backbone import load_backbone
from ncscope.data.images import open_images
from ncscope.data.lists import open_split
from ncscope.errors import NcscopeError
from ncscope.features.bundle import read_features
from ncscope.tuning.state import read_state

MIB = 2**20
MOST = 400 * MIB  # that any of them may take, with what is imported for the first of its kind
_ZEROS = bytes(MIB)


@dataclass(frozen=True)
class Bomb:
    """A file's name, how it is written, bytes it stands for, and its reader."""

    name: str
    make: Callable[[Path], object]
    claims: int
    read: Callable[[Path], Any]


def _deflated(inside: str, head: bytes, size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open(inside, "w", force_zip64=True) as entry,
        ):
            entry.write(head)
            for _ in range(size // MIB):
                entry.write(_ZEROS)

    return make


def _npz(name: str, shape: tuple[int, int], size: int) -> Callable[[Path], None]:
    head = io.BytesIO()
    kind = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, kind)
    return _deflated(f"{name}.npy", head.getvalue(), size)


def _views(path: Path) -> None:
    """A thousand tensors that are one storage, each of which a copy would make whole."""
    base = torch.zeros(MIB)
    torch.save({f"ctx{i}": base.as_strided((1024, 1024), (0, 1)) for i in range(1000)}, path)


def _sparse(size: int, start: bytes = b"") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(start)
        os.truncate(path, size)

    return make


def _safetensors(path: Path) -> None:
    head = json.dumps(
        {"image": {"dtype": "F32", "shape": [2**20, 2**12], "data_offsets": [0, 2**34]}}
    )
    path.write_bytes(struct.pack("<Q", len(head)) + head.encode())


def _pictures(path: Path) -> None:
    """Two classes, whose PNG files claim 60 000 pixels a side."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(60_000 * 180), 9)
    picture = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    for name in "ab":
        (path / name).mkdir(parents=True)
        (path / name / "0.png").write_bytes(picture)


def _wide(path: Path) -> None:
    path.mkdir()
    tower = {"layers": 8, "width": 8192}
    config = {"embed_dim": 8192, "vision_cfg": {**tower, "patch_size": 16, "image_size": 512},
              "text_cfg": {**tower, "heads": 128}}  # fmt: skip
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.save({"logit_scale": torch.ones(())}, path / "open_clip_pytorch_model.bin")


_GIB = 2**30
BOMBS = {
    "npz, packed zeros": Bomb("f.npz", _npz("image", (2**20, 2**8), _GIB), _GIB, read_features),
    "npz, a shape": Bomb("f.npz", _npz("image", (2**26, 2**12), 0), 2**40, read_features),
    "npz, packed beside": Bomb("f.npz", _npz("x", (2**20, 2**8), _GIB), _GIB, read_features),
    "pt, packed zeros": Bomb("m.pt", _deflated("m/data.pkl", b"\x80\x02", _GIB), _GIB, inspect),
    "pt, shared storage": Bomb("m.pt", _views, 4000 * MIB, inspect),
    "weights, shared storage": Bomb("w.pt", _views, 4000 * MIB, load_backbone),
    "safetensors, a shape": Bomb("f.safetensors", _safetensors, 2**34, read_features),
    "state, a shape": Bomb("state.safetensors", _safetensors, 2**34, read_state),
    "JSON, sparse": Bomb("s.json", _sparse(4 * _GIB, b"{"), 4 * _GIB, open_split),
    "CSV, sparse": Bomb("t.csv", _sparse(4 * _GIB, b"path,label\n"), 4 * _GIB, open_images),
    "pictures of 3.6 gigapixels": Bomb("images", _pictures, 60_000 * 180_000, open_images),
    "configuration, wide": Bomb("clip", _wide, 2**34, load_backbone),
}  # fmt: skip


def explode(bomb: Bomb, folder: Path) -> tuple[int, int, str]:
    """Bytes of the file on the disk, bytes of memory at the peak, and the refusal.

    Raises:
        AssertionError: it was read.
    """
    path = folder / bomb.name
    bomb.make(path)
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    size = sum(one.stat().st_blocks * 512 for one in files)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = _status("VmRSS")
    try:
        bomb.read(path)
    except NcscopeError as error:
        return size, _status("VmHWM") - before, str(error).replace(str(folder), "")
    raise AssertionError(f"{path.name} was read")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [line] = [line for line in lines if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print the table."""
    out = sys.stdout
    out.write(f"{'bomb':28}{'file':>10}{'claims':>10}{'peak':>10}  answer (MiB)\n")
    for name, bomb in BOMBS.items():
        with tempfile.TemporaryDirectory() as folder:
            size, peak, answer = explode(bomb, Path(folder))
        sizes = "".join(f"{amount / MIB:10.1f}" for amount in (size, bomb.claims, peak))
        out.write(f"{name:28}{sizes}  {answer[:90]}\n")


if __name__ == "__main__":
    main()
