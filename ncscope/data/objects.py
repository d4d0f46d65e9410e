"""Image sets from objects such as torchvision's and Hugging Face's data sets; neither is imported.

A torchvision data set gives (image, label) pairs by index, a Hugging Face one rows with columns;
images are PIL images, so no transform may be set.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from ncscope.data.files import as_rgb
from ncscope.data.images import ImageSet, image_digest
from ncscope.errors import DataError


class Indexed(Protocol):
    """What is asked of a data set: a length, and an image with its label at each index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@dataclass(frozen=True)
class ObjectLoader:
    """Loads the i-th image of a data set. Picklable if the data set is."""

    dataset: Any
    column: str | None  # of a row; None: the first of a pair

    def __call__(self, index: int) -> Image.Image:
        row = self.dataset[index]
        found = row[0] if self.column is None else row[self.column]
        if not isinstance(found, Image.Image):
            raise DataError(
                f"{name_of_object(self.dataset)}: image {index} is a {type(found).__name__}; "
                f"expected a PIL image: take the data set without a transform"
            )
        try:
            return as_rgb(found)
        except Exception as error:  # a damaged image can raise anything inside its decoder
            reason = str(error) or type(error).__name__
            where = f"{name_of_object(self.dataset)}: image {index}"
            raise DataError(f"{where} cannot be read ({reason})") from None


def images_of(
    dataset: Indexed,
    *,
    classnames: Sequence[str] | None = None,
    part: str | None = None,
    image: str = "image",
    label: str = "label",
    digest: str | None = None,
) -> ImageSet:
    """Make an image set of a torchvision or Hugging Face data set.

    Args:
        dataset: torchvision's (pairs by index; `targets` and `classes` are read where it has
            them), torch's `Subset` of one, or Hugging Face's (rows with columns).
        classnames: names of the labels where the data set has none of its own.
        part: what part of the data it is, for the record.
        image, label: the columns of a Hugging Face data set.
        digest: what identifies the content, for the cache. None decodes every image once and
            hashes its pixels.

    Raises:
        DataError: no images, no class names, labels that are none, images that are no PIL images.
    """
    name = name_of_object(dataset)
    columns = hasattr(dataset, "features") and hasattr(dataset, "column_names")
    if len(dataset) == 0:
        raise DataError(f"{name}: no images in it")
    if columns:
        _check_columns(name, dataset, (image, label))
    load = ObjectLoader(dataset, image if columns else None)
    found = _labels(dataset, label, columns)
    labels = tuple(_as_label(name, row, value) for row, value in enumerate(found))
    names = tuple(_classnames(dataset, label) or classnames or ())
    if not names or not all(isinstance(one, str) for one in names):
        raise DataError(f"{name}: it does not name its classes; give `classnames`")
    items = tuple(f"{row}" for row in range(len(dataset)))
    contents = [digest] * len(items) if digest else [_content(load(i)) for i in range(len(items))]
    return ImageSet(
        name=name,
        classnames=names,
        labels=labels,
        items=items,
        digest=image_digest(names, items, labels, contents),
        load=load,
        part=part,
    )


def name_of_object(dataset: Indexed) -> str:
    """What an object is called in records: its library and its class."""
    kind = type(dataset)
    return f"{kind.__module__.partition('.')[0]} {kind.__name__}"


def _check_columns(name: str, dataset: Any, wanted: Sequence[str]) -> None:
    missing = [column for column in wanted if column not in dataset.column_names]
    if missing:
        found = ", ".join(map(repr, dataset.column_names))
        raise DataError(f"{name}: no column {missing[0]!r}; it has {found}; name `image`, `label`")


def _labels(dataset: Any, label: str, columns: bool) -> Sequence[Any]:
    """The labels, without decoding images where the data set keeps them apart."""
    if columns:
        return dataset[label]
    indices, inner = getattr(dataset, "indices", None), getattr(dataset, "dataset", None)
    if indices is not None and inner is not None:  # torch's Subset
        whole = _labels(inner, label, columns)
        return [whole[index] for index in indices]
    kept = getattr(dataset, "targets", None)
    if kept is not None and getattr(dataset, "target_transform", None) is None:
        return kept
    try:
        return [dataset[row][1] for row in range(len(dataset))]
    except (TypeError, KeyError, IndexError):
        raise DataError(
            f"{name_of_object(dataset)}: expected an image and its label each"
        ) from None


def _as_label(name: str, row: int, found: Any) -> int:
    try:
        if int(found) == found and not isinstance(found, bool | float):
            return int(found)
    except (TypeError, ValueError):
        pass
    raise DataError(f"{name}: label {found!r:.40} of image {row}; expected a whole number")


def _classnames(dataset: Any, label: str) -> Sequence[str] | None:
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset  # torch's Subset
    features = getattr(dataset, "features", None)
    of_label = features[label] if isinstance(features, dict) and label in features else None
    return getattr(of_label, "names", None) or getattr(dataset, "classes", None)


def _content(image: Image.Image) -> str:
    digest = hashlib.sha256(f"{image.size}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
