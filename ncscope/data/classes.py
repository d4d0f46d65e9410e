"""Class names: reading a list of them, matching two lists by name, taking base or new classes."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ncscope.data.images import ImageSet, derived_digest, narrowed
from ncscope.errors import DataError, shown
from ncscope.opening import read_text


def match_classes(wanted: Sequence[str], found: Sequence[str]) -> tuple[int, ...]:
    """Return for each name of `found` its index in `wanted`, `_` and case folded.

    Lists with the same names in the same order match place by place, also where a name comes twice.

    Raises:
        DataError: the lists do not hold the same names (both sides are listed), or two names of
            one list differ by case and `_` only, so that matching by name cannot tell them apart.
    """
    if [folded(name) for name in wanted] == [folded(name) for name in found]:
        return tuple(range(len(found)))
    index = _indices("wanted", wanted)
    others = _indices("found", found)
    missing = [name for name in wanted if folded(name) not in others]
    extra = [name for name in found if folded(name) not in index]
    if missing or extra:
        raise DataError(
            f"class names do not match: {len(missing)} wanted but not in the data"
            f"{_listed(missing)}; {len(extra)} in the data but not wanted{_listed(extra)}"
        )
    return tuple(index[folded(name)] for name in found)


def _indices(side: str, names: Sequence[str]) -> dict[str, int]:
    index = {folded(name): i for i, name in enumerate(names)}
    if len(index) < len(names):
        keys = [folded(name) for name in names]
        twice = [name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1]
        raise DataError(
            f"the {side} class names are ambiguous once case and `_` are folded: {shown(twice)}"
        )
    return index


def _listed(names: Sequence[str]) -> str:
    return f" ({shown(names, most=8)})" if names else ""


def folded(name: str) -> str:
    """A class name without what spelling varies in: case, `_` for a space, composed accents."""
    return " ".join(unicodedata.normalize("NFC", name).replace("_", " ").casefold().split())


def reorder_classes(image_set: ImageSet, wanted: Sequence[str]) -> ImageSet:
    """Bring the labels into the order of `wanted`, matched by name; images keep their order."""
    new_label = match_classes(wanted, image_set.classnames)
    labels = tuple(-1 if label < 0 else new_label[label] for label in image_set.labels)
    return replace(
        image_set,
        classnames=tuple(wanted),
        labels=labels,
        digest=derived_digest(image_set.digest, "reorder", wanted, labels),
    )


def select_classes(image_set: ImageSet, split: str = "all") -> ImageSet:
    """Keep the images of the base or of the new classes, relabelled from 0.

    Of n classes in label order the first ceil(n/2) are base, the rest new: the rule of CoOp's and
    CoCoOp's base-to-new protocol. Images without a label belong to neither.
    """
    if split == "all":
        return image_set
    half_labels = half(len(image_set.classnames), split)
    low, high = half_labels.start, half_labels.stop
    kept = tuple(i for i, label in enumerate(image_set.labels) if low <= label < high)
    if not kept:
        raise DataError(
            f"{image_set.name}: no images of the {split} classes ({high - low} of "
            f"{len(image_set.classnames)} classes)"
        )
    labels = tuple(image_set.labels[i] - low for i in kept)
    return replace(
        image_set,
        classnames=image_set.classnames[low:high],
        labels=labels,
        items=tuple(image_set.items[i] for i in kept),
        digest=derived_digest(image_set.digest, split, kept, labels),
        load=narrowed(image_set.load, kept),
    )


def half(num_classes: int, split: str) -> range:
    """The labels of `base` (the first ceil(K/2)), `new` (the rest) or `all` of K classes."""
    middle = (num_classes + 1) // 2
    halves = {"base": range(middle), "new": range(middle, num_classes), "all": range(num_classes)}
    if split not in halves:
        raise DataError(f"`split` is {split!r}; expected base, new or all")
    return halves[split]


def read_classnames(path: str | Path) -> tuple[str, ...]:
    """Read class names, one a line; blank lines at the end are passed over.

    WordNet ids before the names, as in ImageNet's `n01440764 tench`, are no part of them.

    Raises:
        DataError: no such file, not UTF-8, no names, a blank line between names.
    """
    try:
        text = read_text(path, encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of class names") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as class names, one a line ({error})") from None
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not names:
        raise DataError(f"{path}: no class names in it; expected one a line")
    if "" in names:
        raise DataError(f"{path}: line {names.index('') + 1} is blank; expected a class name")
    parts = [line.split(maxsplit=1) for line in names]
    if all(len(part) == 2 and re.fullmatch(r"n\d{8}", part[0]) for part in parts):
        return tuple(name for _, name in parts)
    return tuple(names)
