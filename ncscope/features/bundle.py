"""The features of one prompt learner on one data set, and the file they are kept in.

Features are kept as the towers give them, not normalised: some measures look at lengths.
N samples, C classes, D width.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope._checks import HALF, check_finite
from ncscope.errors import ShapeError
from ncscope.features.arranged import read_arranged
from ncscope.features.arrays import write_arrays
from ncscope.features.names import one_part
from ncscope.text import is_text

LARGE_BYTES = 1 << 30  # images above this stay as they are stored: never copied, read in blocks
_FLOATS = (*HALF, torch.float32, torch.float64)
_STORED_AS_LOGARITHM = (100.0, 1 / 0.07)  # CLIP's largest multiplier, and what training starts from
_ARRAYS = ("image", "label", "text", "logit_scale", "text_frozen")


@dataclass(frozen=True, eq=False)
class Features:
    """Image and text features with labels, class names and where they come from.

    Either side may be absent. Half precision is brought to float32 with a note in
    `provenance["warnings"]`; where one array is float64, all are. An `image` of more than a GB
    stays as it is stored, a memory map where it was read from `.safetensors`, and is measured in
    blocks. ShapeError names the array that does not fit, what was wanted and what was found.
    """

    image: Tensor | None  # (N, D)
    label: Tensor | None  # (N,) int64, -1 unknown
    text: Tensor | None  # (C, D), or (N, C, D) where text features depend on the image
    classnames: tuple[str, ...]  # C names
    logit_scale: Tensor | None = None  # (), the multiplier of the cosine, 100 for CLIP
    text_frozen: Tensor | None = None  # (C, D), the backbone's own zero-shot text features
    provenance: dict[str, Any] = field(default_factory=dict)  # JSON
    preview: Callable[[int], Any] | None = None  # row of `image` -> its picture; in no file

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _ARRAYS}
        names = tuple(self.classnames)
        _check_names(names)
        for name in ("image", "text", "text_frozen"):
            if given[name] is not None:
                given[name] = _as_rows(name, given[name], per_image=name == "text")
        _check_sizes(given["image"], given["text"], given["text_frozen"], len(names))
        notes = []
        if given["logit_scale"] is not None:
            given["logit_scale"] = _as_scale(given["logit_scale"])
            notes = _of_scale(float(given["logit_scale"]))
        if given["label"] is not None:
            samples = None if given["image"] is None else len(given["image"])
            given["label"] = _as_labels(given["label"], num_samples=samples, num_classes=len(names))
        half = [n for n in _ARRAYS if (v := getattr(self, n)) is not None and v.dtype in HALF]
        kept = {"image"} if is_large(given["image"]) else set()  # copies none of it
        for name, value in _in_one_dtype({n: v for n, v in given.items() if n not in kept}).items():
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


def is_large(rows: Tensor | None) -> bool:
    """Whether images are too many to be copied into another dtype, and may be a memory map."""
    return rows is not None and rows.numel() * rows.element_size() > LARGE_BYTES


def _check_names(classnames: Sequence[object]) -> None:
    """Require class names to be strings."""
    for row, name in enumerate(classnames):
        if not isinstance(name, str):
            raise ShapeError(f"`classnames` must be strings; entry {row} is {name!r}")
        if not is_text(name):
            raise ShapeError(
                f"`classnames` must be Unicode text; entry {row} is {name!a}, which holds half "
                f"a surrogate pair: name the class, or its folder, in UTF-8"
            )


def _as_rows(name: str, rows: Tensor, *, per_image: bool = False) -> Tensor:
    """Require finite floating rows, (C, D) or where allowed (N, C, D); half becomes float32.

    Large images stay as they are.
    """
    _check_tensor(name, rows)
    wanted = "a floating (C, D) or (N, C, D) tensor" if per_image else "a floating 2-D tensor"
    if rows.ndim not in ((2, 3) if per_image else (2,)) or not rows.is_floating_point():
        raise ShapeError(f"`{name}` must be {wanted}; got {rows.dtype} {tuple(rows.shape)}")
    if rows.dtype not in _FLOATS:
        raise ShapeError(
            f"`{name}` is {rows.dtype}, which nothing is calculated in; bring it to float32 with "
            f".float()"
        )
    if rows.numel() == 0:
        raise ShapeError(f"`{name}` is empty; got {tuple(rows.shape)}")
    check_finite(name, rows)
    if name == "image" and is_large(rows):
        return rows
    return rows.float() if rows.dtype in HALF else rows


def _as_labels(label: Tensor, *, num_samples: int | None, num_classes: int) -> Tensor:
    """Require (N,) whole numbers in -1..C-1, of a floating dtype too, and return them as int64."""
    _check_tensor("label", label)
    if label.is_floating_point() and bool((label == label.round()).all()):
        label = label.long()  # as a table of floating numbers holds them
    integers = not (label.is_floating_point() or label.is_complex() or label.dtype == torch.bool)
    if label.ndim != 1 or not integers:
        raise ShapeError(
            f"`label` must be an integer (N,) tensor; got {label.dtype} {tuple(label.shape)}"
        )
    if num_samples is None:
        raise ShapeError("`label` is given without `image`; expected both or neither")
    if len(label) != num_samples:
        raise ShapeError(f"`label` has {len(label)} entries for {num_samples} samples")
    label = label.long()
    outside = ((label < -1) | (label >= num_classes)).nonzero().flatten().tolist()
    if outside:
        row = outside[0]
        known = set(label[label >= 0].tolist())
        from_one = known == set(range(1, num_classes + 1))
        raise ShapeError(
            f"`label` must lie in 0..{num_classes - 1}, or be -1 where unknown; row {row} is "
            f"{int(label[row])} ({len(outside)} of {len(label)} rows are outside)"
            + ("; the labels are counted from 1: subtract 1" if from_one else "")
        )
    return label


def _as_scale(logit_scale: Tensor) -> Tensor:
    """Require one finite positive number: the multiplier itself, not its logarithm."""
    _check_tensor("logit_scale", logit_scale)
    if logit_scale.ndim != 0 or not logit_scale.is_floating_point():
        raise ShapeError(
            f"`logit_scale` must be one floating number of shape (); "
            f"got {logit_scale.dtype} {tuple(logit_scale.shape)}"
        )
    if not (torch.isfinite(logit_scale) and logit_scale > 0):
        raise ShapeError(f"`logit_scale` must be finite and above 0; got {logit_scale.item()}")
    value = float(logit_scale)
    for multiplier in _STORED_AS_LOGARITHM:
        if abs(value - math.log(multiplier)) < 2e-3:
            raise ShapeError(
                f"`logit_scale` is {value:.4f} = ln {multiplier:.4g}: the logarithm, as CLIP "
                f"stores it; expected the multiplier of the cosine itself, exp of it: "
                f"{multiplier:.4g}"
            )
    return logit_scale.float() if logit_scale.dtype in HALF else logit_scale


def _of_scale(value: float) -> list[str]:
    """What a multiplier of the cosine looks like that none would be."""
    if 1 < value < 6:
        return [
            f"`logit_scale` is {value:.4g}, which looks like the logarithm of "
            f"{math.exp(value):.4g}: CLIP stores it so, and multiplies by exp of it; it was taken "
            f"as the multiplier itself, which calibration depends on"
        ]
    if value > 1000:
        return [f"`logit_scale` is {value:.4g}; CLIP's is at most 100"]
    return []


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise ShapeError(f"`{name}` must be a torch tensor; got {type(value).__name__}")


def _check_sizes(
    image: Tensor | None, text: Tensor | None, text_frozen: Tensor | None, num_names: int
) -> None:
    """Require one N, one C and one D throughout."""
    if image is None and text is None:
        raise ShapeError("neither `image` nor `text` is given; expected at least one")
    for name, rows in (("text", text), ("text_frozen", text_frozen)):
        if rows is not None and rows.shape[-2] != num_names:
            raise ShapeError(
                f"`{name}` has {rows.shape[-2]} rows for {num_names} class names; "
                f"expected one row a class; got {tuple(rows.shape)}"
            )
    if image is not None and text is not None:
        if image.shape[-1] != text.shape[-1]:
            raise ShapeError(
                f"`image` is {image.shape[-1]} wide and `text` {text.shape[-1]}; expected one D. "
                f"Are they of one model?"
            )
        if text.ndim == 3 and len(text) != len(image):
            raise ShapeError(
                f"`text` has features for {len(text)} images and `image` {len(image)} rows"
            )
    known = image if image is not None else text
    if text_frozen is not None and known is not None and text_frozen.shape[-1] != known.shape[-1]:
        raise ShapeError(
            f"`text_frozen` is {text_frozen.shape[-1]} wide; expected D = {known.shape[-1]}"
        )


def _in_one_dtype(arrays: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """Bring floating arrays to the widest dtype among them, so that they can be multiplied."""
    if not any(value is not None and value.dtype == torch.float64 for value in arrays.values()):
        return arrays
    return {
        name: value.double() if value is not None and value.is_floating_point() else value
        for name, value in arrays.items()
    }


def write_features(features: Features, path: str | Path) -> None:
    """Write a `.safetensors` or `.npz` feature file; floating arrays as float32.

    The file appears under its name only when it is complete. A missing folder is made.
    """
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
        labels = [value for name, value in stored.items() if name.startswith("label")]
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
