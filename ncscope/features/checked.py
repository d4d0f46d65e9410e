"""What arrays of features must be: their kinds, their sizes, their range, or a refusal by name.

N samples, C classes, D width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ncscope._checks import HALF, check_finite
from ncscope.errors import ShapeError
from ncscope.text import is_text

LARGE_BYTES = 1 << 30  # images above this stay as they are stored: never copied, read in blocks
_FLOATS = (*HALF, torch.float32, torch.float64)
_STORED_AS_LOGARITHM = (100.0, 1 / 0.07)  # CLIP's largest multiplier, and what training starts from


def is_large(rows: Tensor | None) -> bool:
    """Whether images are too many to be copied into another dtype, and may be a memory map."""
    return rows is not None and rows.numel() * rows.element_size() > LARGE_BYTES


def check_names(classnames: Sequence[object]) -> None:
    """Require class names to be strings."""
    for row, name in enumerate(classnames):
        if not isinstance(name, str):
            raise ShapeError(f"`classnames` must be strings; entry {row} is {name!r}")
        if not is_text(name):
            raise ShapeError(
                f"`classnames` must be Unicode text; entry {row} is {name!a}, which holds half "
                f"a surrogate pair: name the class, or its folder, in UTF-8"
            )
        if not name.strip():
            raise ShapeError(f"`classnames` must be names; entry {row} is {name!r}")


def as_rows(name: str, rows: Tensor, *, per_image: bool = False) -> Tensor:
    """Require finite floating rows, (C, D) or where allowed (N, C, D); half becomes float32.

    Large images stay as they are.
    """
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


def as_labels(label: Tensor, *, num_samples: int | None, num_classes: int) -> Tensor:
    """Require (N,) whole numbers in -1..C-1, of a floating dtype too, and return them as int64."""
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


def as_scale(logit_scale: Tensor) -> Tensor:
    """Require one finite positive number: the multiplier itself, not its logarithm."""
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


def of_scale(value: float) -> list[str]:
    """What a multiplier of the cosine looks like that none would be."""
    if 1 < value < 6:
        return [
            f"`logit_scale` is {value:.4g}, which looks like the logarithm of "
            f"{math.exp(value):.4g}: CLIP stores it so, and multiplies by exp of it; it was taken "
            f"as the multiplier itself, which calibration depends on"
        ]
    if value > 1000:
        return [f"`logit_scale` is {value:.4g}; CLIP's is at most 100"]
    if value < 0.1:  # every class as likely as any other
        return [f"`logit_scale` is {value:.4g}, with which no class has any confidence"]
    return []


def check_sizes(
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


def in_one_dtype(arrays: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
    """Bring floating arrays to the widest dtype among them, so that they can be multiplied."""
    if not any(value is not None and value.dtype == torch.float64 for value in arrays.values()):
        return arrays
    return {
        name: value.double() if value is not None and value.is_floating_point() else value
        for name, value in arrays.items()
    }
