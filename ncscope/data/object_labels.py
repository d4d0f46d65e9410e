"""What objects such as torchvision's and Hugging Face's data sets say of their labels."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ncscope.data.files import shown
from ncscope.errors import DataError


class Indexed(Protocol):
    """What is asked of a data set: a length, and an image with its label at each index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


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
