"""Image sets from objects such as torchvision's and Hugging Face's data sets; neither is imported.

A torchvision data set gives (image, label) pairs by index, a Hugging Face one rows with columns;
images are PIL images, so no transform may be set.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ncscope.data.files import as_rgb, shown
from ncscope.data.images import ImageSet, image_digest
from ncscope.data.object_labels import (
    Indexed,
    base_of,
    labels_of,
    length_of,
    name_of_object,
    own_classnames,
)
from ncscope.data.subset import subset
from ncscope.errors import DataError


@dataclass(frozen=True)
class ObjectLoader:
    """Loads the i-th image of a data set. Picklable if the data set is."""

    dataset: Any
    column: str | None  # of a row; None: the first of a pair

    def __call__(self, index: int) -> Image.Image:
        where = f"{name_of_object(self.dataset)}: image {index}"
        try:
            row = self.dataset[index]
            found = row[0] if self.column is None else row[self.column]
            if isinstance(found, Image.Image):
                return as_rgb(found)
        except Exception as error:  # a damaged image can raise anything inside its decoder
            reason = str(error) or type(error).__name__
            raise DataError(f"{where} cannot be read ({reason})") from None
        raise DataError(
            f"{where} is a {type(found).__name__}; expected a PIL image: take the data set without "
            f"a transform"
        )


def images_of(
    dataset: Indexed,
    *,
    classnames: Sequence[str] | None = None,
    part: str | None = None,
    image: str = "image",
    label: str = "label",
    digest: str | None = None,
    skip_bad: bool = False,
) -> ImageSet:
    """Make an image set of a torchvision or Hugging Face data set.

    Args:
        dataset: torchvision's (pairs by index; `targets` and `classes` are read where it has
            them), Hugging Face's (rows with columns), or torch's `Subset` of one.
        classnames: names of the labels, in place of the data set's own. Of its own, the first
            where it has several for a class, as ImageNet.
        part: what part of the data it is, for the record.
        image, label: the columns of a Hugging Face data set.
        digest: what identifies the content, for the cache. None decodes every image once and
            hashes its pixels.
        skip_bad: leave out images that cannot be read, with a warning, where they are decoded.

    Raises:
        DataError: no images, no class names or not one a class, labels that are none, images that
            cannot be read or are no PIL images.
    """
    name = name_of_object(dataset)
    count = length_of(name, dataset)
    base = base_of(dataset)
    columns = hasattr(base, "features") and hasattr(base, "column_names")
    if columns:
        _check_columns(name, base, (image, label))
    load = ObjectLoader(dataset, image if columns else None)
    labels = labels_of(dataset, label, columns)
    names = _names(name, own_classnames(dataset, label), classnames)
    items = tuple(f"{row}" for row in range(count))
    contents, bad = ([digest] * count, []) if digest else _contents(name, load, count, skip_bad)
    images = ImageSet(
        name=name,
        classnames=names,
        labels=labels,
        items=items,
        digest=image_digest(names, items, labels, contents),
        load=load,
        part=part,
        warnings=(f"left out {len(bad)} unreadable image(s): {shown(bad)}",) if bad else (),
    )
    return subset(images, [row for row in range(count) if contents[row]]) if bad else images


def _names(name: str, own: tuple[str, ...], given: Sequence[str] | None) -> tuple[str, ...]:
    names = own if given is None else tuple(given)
    if not names or not all(isinstance(one, str) for one in names):
        raise DataError(f"{name}: it does not name its classes; give `classnames`")
    if own and len(own) != len(names):
        raise DataError(f"{name}: {len(names)} `classnames` for {len(own)} classes; name each")
    return names


def _contents(
    name: str, load: ObjectLoader, count: int, skip_bad: bool
) -> tuple[list[str], list[str]]:
    """What each image contains, "" where it cannot be read, and which those are."""
    contents, bad = list[str](), list[str]()
    for row in range(count):
        try:
            contents.append(_content(load(row)))
        except DataError:
            if not skip_bad:
                raise
            contents.append("")
            bad.append(f"{row}")
    if len(bad) == count:
        raise DataError(f"{name}: none of {count} images can be read")
    return contents, bad


def _check_columns(name: str, dataset: Any, wanted: Sequence[str]) -> None:
    missing = [column for column in wanted if column not in dataset.column_names]
    if missing:
        found = ", ".join(map(repr, dataset.column_names))
        raise DataError(f"{name}: no column {missing[0]!r}; it has {found}; name `image`, `label`")


def _content(image: Image.Image) -> str:
    digest = hashlib.sha256(f"{image.size}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
