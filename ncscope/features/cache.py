"""Image features of a set, kept on disk under what made them: model, transform, precision, images.

The files are our own tensors; what is damaged is not trusted but made again.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ncscope.clip.prompts import PromptedClip
from ncscope.data.images import ImageSet
from ncscope.errors import DataError, shown
from ncscope.features.forward import ImageFeatures, check_bad, encode_images
from ncscope.features.processes import ALONE, Spread, from_one
from ncscope.opening import require_regular
from ncscope.writing import replacing

_FORMAT = "ncscope image features 1"


def kept_or_encoded(
    learner: PromptedClip,
    images: ImageSet,
    *,
    folder: Path | None,
    batch_size: int,
    workers: int | None,
    skip_bad: bool,
    progress: Callable[[int, int], object] | None,
    spread: Spread = ALONE,
) -> tuple[ImageFeatures, list[str]]:
    """Image features from the cache, or from the model and into the cache; and notes.

    Of several processes each encodes its share, all get all features, and the first keeps them.

    Raises:
        DataError: unreadable images without `skip_bad`, or nothing else.
    """
    path = folder and cache_path(folder, model=learner.image_digest, images=images.digest)
    found = read_cached(path, num_images=len(images)) if path else None
    found = from_one(found and found.rows, found and found.kept, spread)
    notes: list[str] = []
    if found is not None:
        encoded = ImageFeatures(*found)
    else:
        encoded = encode_images(
            learner,
            images,
            batch_size=batch_size,
            workers=workers,
            skip_bad=skip_bad,
            progress=progress,
            spread=spread,
        )
        notes = keep(path, encoded) if path and spread.first else []
    bad = sorted(set(range(len(images))) - set(encoded.kept.tolist()))
    check_bad(images, bad, skip_bad=skip_bad)
    if bad:
        names = shown([images.items[i] for i in bad])
        notes.append(f"left out {len(bad)} unreadable image(s): {names}")
    return encoded, notes


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
        require_regular(path)
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
