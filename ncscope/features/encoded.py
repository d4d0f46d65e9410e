"""Image features of a set, from the cache where it has them."""

from collections.abc import Callable
from pathlib import Path

from ncscope.clip.base import PromptedClip
from ncscope.data.files import shown
from ncscope.data.images import ImageSet
from ncscope.features.cache import cache_path, keep, read_cached
from ncscope.features.forward import ImageFeatures, check_bad, encode_images
from ncscope.features.gather import from_one
from ncscope.features.processes import ALONE, Spread


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
