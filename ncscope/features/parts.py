"""Features as data to train and test on: parts of one file, or a file for each.

`image_train` and `label_train`, `image_val`, `image_test` lie in one feature file; or DATA says
where each part is: `train=A.npz,test=B.npz,text=C.npz`. Rows of a part become an `ImageSet`, so
that draws, halves of classes and shots are those of pictures. N images, C classes, D width.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from ncscope.data.classes import folded
from ncscope.data.images import ImageSet, Subset
from ncscope.errors import DataError, ShapeError
from ncscope.features.arranged import is_feature_source, is_several, read_arranged
from ncscope.features.bundle import Features
from ncscope.features.names import PARTS

_FORM = "train=FILE,test=FILE, and maybe val=FILE and text=FILE"


@dataclass(frozen=True, eq=False)
class StoredRows:
    """What an `ImageSet` of features has in place of pictures."""

    table: Tensor  # (N, D)

    def __call__(self, index: int) -> Image.Image:
        raise DataError(f"image {index}: there are features of it, and no picture")


@dataclass(frozen=True, eq=False)
class StoredParts:
    """Features by part, and what belongs to all of them."""

    parts: Mapping[str, ImageSet]
    classnames: tuple[str, ...]
    text: Tensor | None  # (C, D)
    logit_scale: Tensor | None  # ()
    warnings: tuple[str, ...]


def holds_features(data: object) -> bool:
    """Whether DATA names feature files, and not pictures."""
    if not isinstance(data, str | Path):
        return False
    return is_feature_source(data)


def stored_rows(images: ImageSet) -> Tensor | None:
    """(N, D) of a set that holds features; None for one of pictures."""
    load: Callable[[int], Image.Image] = images.load
    if isinstance(load, StoredRows):
        return load.table
    if isinstance(load, Subset) and isinstance(load.load, StoredRows):
        return load.load.table[list(load.kept)]
    return None


def read_parts(data: str | Path) -> StoredParts:
    """Read the parts that DATA names.

    Raises:
        DataError: no such file, no parts in it, two files that say different things.
        ShapeError: arrays that do not fit together.
    """
    name = str(data)
    stored = read_arranged(name)
    found, names, warnings = stored.arrays, stored.classnames, stored.warnings
    present = [part for part in PARTS if f"image_{part}" in found]
    if not present:
        raise DataError(
            f"{name}: no images of a part; expected `image_train`, `label_train`, `image_test` and "
            f"`label_test` in one file, or --data {_FORM}"
        )
    names, notes = _class_names(names, found, present)
    made = {part: _image_set(name, part, found, names) for part in present}
    text = found.get("text")
    if text is not None and text.ndim != 2:
        raise ShapeError(f"{name}: `text` is {tuple(text.shape)}; expected one row a class, (C, D)")
    return StoredParts(
        made, names, None if text is None else text.float(), found.get("logit_scale"),
        tuple(dict.fromkeys([*warnings, *notes])),
    )  # fmt: skip


def _class_names(
    names: Sequence[str] | None, found: Mapping[str, Tensor], present: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Class names, each once, and what there is to say of them."""
    if names is None:
        labels = [int(found[f"label_{p}"].max()) + 1 for p in present if f"label_{p}" in found]
        count = len(found["text"]) if "text" in found else max(labels, default=0)
        source = "the rows of `text`" if "text" in found else "the largest label"
        note = f"no class names; numbered after {source}, {count} classes"
        return tuple(f"class {k}" for k in range(count)), [note]
    seen: Counter[str] = Counter()
    own, twice = [], []
    for name in names:
        key = re.sub(r"[\s_]+", "", folded(name))  # as learners tell classes apart
        seen[key] += 1
        own.append(name if seen[key] == 1 else f"{name} ({seen[key]})")
        if seen[key] > 1:
            twice.append(own[-1])
    notes = (
        [f"classes of one name, case and `_` aside, are told apart as {', '.join(twice)}"]
        if twice
        else []
    )
    return tuple(own), notes


def _image_set(
    data: str, part: str, found: Mapping[str, Tensor], names: tuple[str, ...]
) -> ImageSet:
    label = found.get(f"label_{part}")
    if label is None:
        raise DataError(f"{data}: `image_{part}` without `label_{part}`; expected both")
    try:
        checked = Features(
            image=found[f"image_{part}"], label=label, text=found.get("text"), classnames=names
        )
    except ShapeError as error:
        raise ShapeError(f"{data}, {part}: {error}") from None
    assert checked.image is not None
    assert checked.label is not None
    table, labels = checked.image.float().contiguous(), checked.label.tolist()
    digest = hashlib.sha256(repr(("ncscope features 1", names, labels, table.shape)).encode())
    digest.update(table.numpy().data)
    items = tuple(f"{part} {row}" for row in range(len(table)))
    return ImageSet(
        name=re.sub(r"[^,=]*/", "", data) if is_several(data) else data,
        classnames=names, labels=tuple(labels), items=items, digest=digest.hexdigest(),
        load=StoredRows(table), part=part,
    )  # fmt: skip
