"""Image features kept on disk under what made them: model, transform, precision, images.

The files are our own tensors; what is damaged is not trusted but made again.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ncscope.errors import DataError
from ncscope.features.forward import ImageFeatures
from ncscope.writing import replacing

_FORMAT = "ncscope image features 1"


def cache_folder(cache: str | Path | None) -> Path | None:
    """The folder for `auto`, a folder, or `off` (None)."""
    if cache is None or str(cache) == "off":
        return None
    if str(cache) == "auto":
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(home) / "ncscope"
    return Path(cache).expanduser()


def cache_path(folder: Path, *, model: str, images: str) -> Path:
    """The file for the features of one image set by one model, both given by their digests."""
    key = hashlib.sha256(json.dumps([_FORMAT, model, images]).encode()).hexdigest()
    return folder / "features" / f"{key}.safetensors"


def read_cached(path: Path, *, num_images: int) -> ImageFeatures | None:
    """Read features that were kept; None where there are none, or damaged ones."""
    try:
        with safe_open(path, framework="pt") as file:
            rows, kept = file.get_tensor("image"), file.get_tensor("kept")
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return None
    if metadata.get("format") != _FORMAT or metadata.get("content") != _content(rows, kept):
        return None
    if kept.numel() and int(kept.max()) >= num_images:
        return None
    return ImageFeatures(rows, kept)


def keep(path: Path, features: ImageFeatures) -> list[str]:
    """Keep features; a disk that is full or not ours is a note, which is returned, no error."""
    rows, kept = features.rows.contiguous(), features.kept.contiguous()
    metadata = {"format": _FORMAT, "content": _content(rows, kept)}
    try:
        with replacing(path) as temporary:
            save_file({"image": rows, "kept": kept}, temporary, metadata)
    except DataError as error:
        return [f"image features were not kept: {error}"]
    return []


def _content(rows: Tensor, kept: Tensor) -> str:
    digest = hashlib.sha256(f"{tuple(rows.shape)} {rows.dtype} {tuple(kept.shape)}".encode())
    for value in (rows, kept):
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
