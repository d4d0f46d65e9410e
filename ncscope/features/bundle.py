"""The features of one prompt learner on one data set, and the file they are kept in.

Features are kept as the towers give them, not normalised: some measures look at lengths.
N samples, C classes, D width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope._checks import HALF
from ncscope.errors import ShapeError
from ncscope.features.arranged import read_arranged
from ncscope.features.arrays import write_arrays
from ncscope.features.checked import (
    as_labels,
    as_rows,
    as_scale,
    check_names,
    check_sizes,
    in_one_dtype,
    is_large,
    of_scale,
)
from ncscope.features.names import one_part
from ncscope.metrics.arrays import as_tensor

_ARRAYS = ("image", "label", "text", "logit_scale", "text_frozen")


@dataclass(frozen=True, eq=False)
class Features:
    """Image and text features with labels, class names and where they come from.

    Arrays may be tensors, NumPy arrays or lists. Either side may be absent; classes without
    names are numbered as a file's are, with a warning. Half precision is brought to float32 with
    a note in `provenance["warnings"]`; where one array is float64, all are. An `image` of more
    than a GB stays as it is stored, a memory map where it was read from `.safetensors`, and is
    measured in blocks. ShapeError names the array that does not fit, what was wanted and found.
    """

    image: Tensor | None = None  # (N, D)
    label: Tensor | None = None  # (N,) int64, -1 unknown
    text: Tensor | None = None  # (C, D), or (N, C, D) where text features depend on the image
    classnames: tuple[str, ...] = ()  # C names
    logit_scale: Tensor | None = None  # (), the multiplier of the cosine, 100 for CLIP
    text_frozen: Tensor | None = None  # (C, D), the backbone's own zero-shot text features
    provenance: dict[str, Any] = field(default_factory=dict)  # JSON
    preview: Callable[[int], Any] | None = None  # row of `image` -> its picture; in no file

    def __post_init__(self) -> None:
        given = {name: _tensor(name, getattr(self, name)) for name in _ARRAYS}
        half = [n for n, value in given.items() if value is not None and value.dtype in HALF]
        names, notes = _names_of(self.classnames, given)
        for name in ("image", "text", "text_frozen"):
            if given[name] is not None:
                given[name] = as_rows(name, given[name], per_image=name == "text")
        check_sizes(given["image"], given["text"], given["text_frozen"], len(names))
        if given["logit_scale"] is not None:
            given["logit_scale"] = as_scale(given["logit_scale"])
            notes += of_scale(float(given["logit_scale"]))
        if given["label"] is not None:
            samples = None if given["image"] is None else len(given["image"])
            given["label"] = as_labels(given["label"], num_samples=samples, num_classes=len(names))
        kept = {"image"} if is_large(given["image"]) else set()  # copies none of it
        for name, value in in_one_dtype({n: v for n, v in given.items() if n not in kept}).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "classnames", names)
        notes += [f"`{n}` was half precision and is kept as float32" for n in half if n not in kept]
        object.__setattr__(self, "provenance", _with_warnings(self.provenance, notes))

    @property
    def num_classes(self) -> int:
        return len(self.classnames)

    @property
    def num_samples(self) -> int:
        """Number of images; 0 where there are none."""
        return 0 if self.image is None else len(self.image)

    @property
    def width(self) -> int:
        rows = self.text if self.image is None else self.image
        assert rows is not None  # one of the two is there: `_check_sizes`
        return rows.shape[-1]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers should know about how the features came about."""
        return list(self.provenance.get("warnings", []))


def check_features(given: object) -> None:
    """Require `Features` where they are meant.

    Raises:
        ShapeError: something else was given.
    """
    if not isinstance(given, Features):
        raise ShapeError(
            f"`Features` are wanted; got {type(given).__name__}: ncscope.read_features reads a "
            f"file, ncscope.Features(image=..., label=..., text=...) takes arrays"
        )


def _tensor(name: str, value: Any) -> Any:
    """A tensor of what was given as one, as an array or list, or as a plain number; or None."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        return torch.tensor(float(value))
    return None if value is None else as_tensor(name, value)


def _names_of(
    classnames: Sequence[str], arrays: Mapping[str, Tensor | None]
) -> tuple[tuple[str, ...], list[str]]:
    """The class names, numbered where there are none, and a note where they were."""
    if isinstance(classnames, str):
        raise ShapeError(f"`classnames` must be a list of names; got the one string {classnames!r}")
    names = tuple(classnames)
    if names:
        check_names(names)
        return names, []
    names, note = _numbered(arrays, {})
    return names, [note] if note else []


def write_features(features: Features, path: str | Path) -> None:
    """Write a `.safetensors` or `.npz` feature file; floating arrays as float32.

    The file appears under its name only when it is complete. A missing folder is made.
    """
    check_features(features)
    arrays = {
        name: value.detach().cpu()
        for name in _ARRAYS
        if (value := getattr(features, name)) is not None
    }
    arrays = {n: v.float() if v.is_floating_point() else v for n, v in arrays.items()}
    write_arrays(Path(path), arrays, classnames=features.classnames, provenance=features.provenance)


def read_features(path: str | Path, *, part: str | None = None, skip_bad: bool = False) -> Features:
    """Read a feature file, ours or anyone's: other usual names and shapes are read, and said.

    Also what torch saved, `.npy` files in a folder, and `FILE,text=FILE`. Of a file of parts
    (`image_train`, `label_train`, ...) `part` is taken: test if not said, else val, else train.
    Other arrays are passed over with a warning. Where the file names no classes they are
    called `class 0`, `class 1`, … after the rows of `text`, or else after the largest label.

    Args:
        skip_bad: leave out images whose features are NaN or infinite, with a warning, instead of
            refusing the file.

    Raises:
        DataError: no such file, neither format, damaged, pickled content, neither side in it.
        ShapeError: the arrays do not fit together.
    """
    stored = read_arranged(path)
    taken, said = one_part(stored.arrays, part, where=str(path))
    arrays = {name: taken.get(name) for name in _ARRAYS}
    notes = [*stored.warnings, *said, *(_leave_out(arrays) if skip_bad else ())]
    names = stored.classnames
    if names is None:
        names, note = _numbered(arrays, stored.arrays)
        notes += [f"{Path(path).name}: {note}"] if note else []
    provenance = _with_warnings(stored.provenance, notes)
    try:
        return Features(
            image=arrays["image"],
            label=arrays["label"],
            text=arrays["text"],
            classnames=names,
            logit_scale=arrays["logit_scale"],
            text_frozen=arrays["text_frozen"],
            provenance=provenance,
        )
    except ShapeError as error:
        raise ShapeError(f"{path}: {error}") from None


def _leave_out(arrays: dict[str, Tensor | None]) -> list[str]:
    """Take images that are no numbers out of all arrays with a row an image; say how many."""
    image = arrays["image"]
    if image is None or image.ndim != 2 or not image.is_floating_point():
        return []
    good = torch.isfinite(image).all(dim=1)
    if bool(good.all()) or not bool(good.any()):
        return []
    for name in ("image", "label", "text"):
        rows = arrays[name]
        if rows is not None and len(rows) == len(good) and (name != "text" or rows.ndim == 3):
            arrays[name] = rows[good]
    bad = (~good).nonzero().flatten()[:5].tolist()
    return [f"left out: {int((~good).sum())} image features are NaN or infinite, at rows {bad}"]


def _numbered(
    arrays: Mapping[str, Tensor | None], stored: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], str | None]:
    """Names for the classes of a file that names none, and the note that says so."""
    text, label = arrays["text"], arrays["label"]
    if label is not None and label.ndim == 1:  # of all parts
        labels = [value for name, value in stored.items() if name.startswith("label")] or [label]
        label = torch.cat([value.flatten().to(label.dtype) for value in labels])
    text = arrays["text_frozen"] if text is None else text
    if text is not None and text.ndim >= 2:
        count, source = text.shape[-2], "the rows of `text`"
    elif label is not None and label.numel() and bool(torch.isfinite(label).all()):
        count, source = max(int(label.max()), -1) + 1, "the largest label"
    else:
        return (), None
    note = f"no class names; numbered after {source}, {count} classes"
    return tuple(f"class {k}" for k in range(count)), note


def _with_warnings(provenance: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """A copy of the provenance with notes added to its warnings, each once."""
    if not notes:
        return provenance
    warnings = list(provenance.get("warnings", []))
    return {**provenance, "warnings": warnings + [n for n in notes if n not in warnings]}


def as_pairs(features: Features) -> Features:
    """Label image i with text i, where both have N rows: each pair becomes a class.

    NC1 and CDNV stay undefined (one image a class); the two modalities' geometry is measured.

    Raises:
        ShapeError: a side is missing, or they differ in length.
    """
    image, text = features.image, features.text
    if image is None or text is None or text.ndim != 2 or len(image) != len(text):
        found = [None if rows is None else tuple(rows.shape) for rows in (image, text)]
        raise ShapeError(
            f"pairs need as many images as texts, (N, D) each; "
            f"got `image` {found[0]} and `text` {found[1]}"
        )
    label = torch.arange(len(image), device=image.device)
    return replace(features, label=label)
