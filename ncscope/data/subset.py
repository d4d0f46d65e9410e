"""A selection of a set's images, in any order: labels kept, digest made from the whole's."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence

from PIL import Image

from ncscope.data.files import FileLoader
from ncscope.data.images import ImageSet
from ncscope.errors import DataError


@dataclasses.dataclass(frozen=True)
class Subset:
    """Loads the images of a selection. Picklable if `load` is."""

    load: Callable[[int], Image.Image]
    kept: tuple[int, ...]

    def __call__(self, index: int) -> Image.Image:
        return self.load(self.kept[index])


def subset(images: ImageSet, rows: Sequence[int]) -> ImageSet:
    """Keep the images at `rows`, in the order of `rows`; classes and labels stay.

    Raises:
        DataError: a row that is not there.
    """
    rows = tuple(rows)
    if rows and not 0 <= min(rows) <= max(rows) < len(images):
        raise DataError(
            f"{images.name}: rows {min(rows)}..{max(rows)} asked for; expected 0..{len(images) - 1}"
        )
    labels = tuple(images.labels[row] for row in rows)
    return dataclasses.replace(
        images,
        labels=labels,
        items=tuple(images.items[row] for row in rows),
        digest=derived_digest(images.digest, "subset", rows, labels),
        load=narrowed(images.load, rows),
    )


def narrowed(
    load: Callable[[int], Image.Image], rows: tuple[int, ...]
) -> Callable[[int], Image.Image]:
    """A loader of the images at `rows` that holds no more than it needs.

    Worker processes get a copy each: 16 shots of ImageNet shall not carry 1.28 million paths.
    """
    if isinstance(load, FileLoader):
        return FileLoader(
            tuple(load.paths[row] for row in rows), tuple(load.items[row] for row in rows)
        )
    if isinstance(load, Subset):
        return Subset(load.load, tuple(load.kept[row] for row in rows))
    return Subset(load, rows)


def derived_digest(digest: str, *steps: object) -> str:
    """The digest of a set made from another by the named steps."""
    return hashlib.sha256(json.dumps([digest, *steps]).encode()).hexdigest()
