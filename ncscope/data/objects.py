"""Image sets from objects such as torchvision's and Hugging Face's data sets; neither is imported.

A torchvision data set gives (image, label) pairs by index, a Hugging Face one rows with columns;
images are PIL images, so no transform may be set.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from ncscope.data.files import as_rgb
from ncscope.data.images import ImageSet, image_digest, subset
from ncscope.errors import DataError, shown


class Indexed(Protocol):
    """What is asked of a data set: a length, and an image with its label at each index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


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


def _check_columns(name: str, dataset: Any, wanted: Sequence[str]) -> None:
    missing = [column for column in wanted if column not in dataset.column_names]
    if missing:
        found = ", ".join(map(repr, dataset.column_names))
        raise DataError(f"{name}: no column {missing[0]!r}; it has {found}; name `image`, `label`")


def _names(name: str, own: tuple[str, ...], given: Sequence[str] | None) -> tuple[str, ...]:
    names = own if given is None else tuple(given)
    if not names or not all(isinstance(one, str) for one in names):
        raise DataError(f"{name}: it does not name its classes; give `classnames`")
    if own and len(own) != len(names):
        raise DataError(f"{name}: {len(names)} `classnames` for {len(own)} classes; name each")
    return names


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


def _content(image: Image.Image) -> str:
    digest = hashlib.sha256(f"{image.size}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def name_of_object(dataset: Indexed) -> str:
    """What an object is called in records: its library and its class."""
    kind = type(dataset)
    return f"{kind.__module__.partition('.')[0]} {kind.__name__}"


def length_of(name: str, dataset: Indexed) -> int:
    """How many images there are; DataError where there is none, or no number of them."""
    if isinstance(dataset, Mapping):
        parts = shown([repr(key) for key in dataset])
        raise DataError(f"{name}: holds {parts}; expected one data set: take one of them")
    try:
        count = len(dataset)
    except TypeError:
        raise DataError(
            f"{name}: has no length; expected a data set with a length and an image at each index"
        ) from None
    if count == 0:
        raise DataError(f"{name}: no images in it")
    return count


def base_of(dataset: Any) -> Any:
    """What torch's `Subset` is a subset of."""
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return dataset


def own_classnames(dataset: Indexed, label: str = "label") -> tuple[str, ...]:
    """What a data set calls its classes, one name each; () where it does not say."""
    base: Any = base_of(dataset)
    features = getattr(base, "features", None)
    of_label = features[label] if isinstance(features, dict) and label in features else None
    found: Any = getattr(of_label, "names", None) or getattr(base, "classes", None) or ()
    return tuple(_first(one) for one in found)


def _first(name: Any) -> Any:
    """The first of a class's synonyms, as torchvision's ImageNet has them."""
    return name[0] if isinstance(name, tuple | list) and name else name


def labels_of(dataset: Indexed, label: str, columns: bool) -> tuple[int, ...]:
    """A whole number an image; DataError where one is something else."""
    found, name = _found(dataset, label, columns), name_of_object(dataset)
    return tuple(_as_label(name, row, value) for row, value in enumerate(found))


def _found(dataset: Any, label: str, columns: bool) -> Sequence[Any]:
    """The labels, without decoding images where the data set keeps them apart."""
    indices, inner = getattr(dataset, "indices", None), getattr(dataset, "dataset", None)
    if indices is not None and inner is not None:  # torch's Subset
        whole = _found(inner, label, columns)
        return [whole[index] for index in indices]
    if columns:
        return dataset[label]
    kept = getattr(dataset, "targets", None)
    if kept is not None and getattr(dataset, "target_transform", None) is None:
        return kept
    return [_second(dataset, row) for row in range(len(dataset))]


def _second(dataset: Any, row: int) -> Any:
    name = name_of_object(dataset)
    try:
        return dataset[row][1]
    except (TypeError, KeyError, IndexError):
        raise DataError(f"{name}: expected an image and its label each") from None
    except Exception as error:  # a damaged image can raise anything inside its decoder
        reason = str(error) or type(error).__name__
        raise DataError(f"{name}: image {row} cannot be read ({reason})") from None


def _as_label(name: str, row: int, found: Any) -> int:
    try:
        if int(found) == found and not isinstance(found, bool | float):
            return int(found)
    except (TypeError, ValueError):
        pass
    raise DataError(f"{name}: label {found!r:.40} of image {row}; expected a whole number")
