"""Image features of a set, kept on disk under what made them: model, transform, precision, images.

Zero-shot text features of many prompts are kept, too, under model, tokens, names and templates.

The files are our own tensors; what is damaged is not trusted but made again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import PromptedClip, ZeroShot
from ncscope.clip.whole_texts import LongPromptError
from ncscope.data.images import ImageSet
from ncscope.errors import DataError, shown
from ncscope.features.forward import ImageFeatures, check_bad, encode_images
from ncscope.features.processes import ALONE, Spread, from_one, require_same
from ncscope.opening import require_regular
from ncscope.writing import replacing

_FORMAT = "ncscope image features 1"
_TEXT_FORMAT = "ncscope text features 1"
_WORTH_KEEPING = 1000  # prompts


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
    require_same({"images": images.digest, "image tower": learner.image_digest}, spread)
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


def kept_text(learner: ZeroShot, classnames: Sequence[str], *, folder: Path | None) -> torch.Tensor:
    """Zero-shot text features (C, D) from the cache, or from the model; many prompts are kept."""
    path = folder and _text_path(folder, learner, classnames)
    found = read_cached(path, num_images=len(classnames)) if path else None
    if found is not None and len(found.rows) == len(classnames):
        return found.rows.to(learner.device)
    text = learner.text_features(classnames)
    if path is not None:  # a disk that is full only costs the next run its time
        keep(path, ImageFeatures(text.cpu(), torch.arange(len(text))))
    return text


def _text_path(folder: Path, learner: ZeroShot, classnames: Sequence[str]) -> Path | None:
    """The file for a learner's text features; None where they are made as soon as read.

    Two tokenizers of one model (a folder may bring its own) are told apart by what they write.
    """
    clip, templates = learner.backbone, learner.templates
    if not isinstance(clip, Backbone) or len(classnames) * len(templates) < _WORTH_KEEPING:
        return None
    try:
        ids = clip.tokenizer([*(one.replace("{}", "") for one in templates), *classnames])
    except LongPromptError:  # whose refusal belongs to the prompt
        return None
    written = hashlib.sha256(ids.numpy().tobytes()).hexdigest()
    parts = [_TEXT_FORMAT, clip.digest, written, list(templates), list(classnames)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return folder / "texts" / f"{key}.safetensors"


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
