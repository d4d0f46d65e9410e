"""What of a feature file is measured: one part of it, and one half of its classes."""

from dataclasses import replace
from pathlib import Path

import torch

from ncscope.data.classes import half
from ncscope.errors import DataError, NcscopeError
from ncscope.features.arranged import FEATURE_FILES
from ncscope.features.bundle import Features, read_features
from ncscope.features.held import TORCH, read_any
from ncscope.features.names import PARTS, refusal


def read_cut(
    source: str | Path, *, part: str | None = None, split: str = "all", skip_bad: bool = False
) -> Features:
    """Read features, of them one part and the base or the new classes.

    Args:
        part: train, val or test, as for `read_features`.
        split: base, new or all classes; or a part by its name.
        skip_bad: as for `read_features`.

    Raises:
        DataError, ShapeError: as `read_features`; two different parts; no images of these classes.
    """
    if split in PARTS:
        if part not in (None, split):
            raise DataError(f"`split` is {split!r} and `part` {part!r}; expected one part")
        part, split = split, "all"
    return half_of(read_features(source, part=part, skip_bad=skip_bad), split)


def half_of(features: Features, split: str) -> Features:
    """The features of the base or of the new classes, labelled from 0; images of others are left.

    Raises:
        DataError: an unknown half, or one without classes or images.
    """
    kept = half(features.num_classes, split)
    if split == "all":
        return features
    if not kept:
        raise DataError(f"one class; it has no half of {split} classes")
    places = slice(kept.start, kept.stop)
    image, label, text, frozen = features.image, features.label, features.text, features.text_frozen
    rows = slice(None)
    if label is not None:
        rows = ((label >= kept.start) & (label < kept.stop)).nonzero().flatten()
        label = label[rows] - kept.start
        if not len(rows):
            raise DataError(f"no images of the {split} classes ({len(kept)} of them)")
    elif image is not None:
        raise DataError(f"images without labels cannot be cut to the {split} classes")
    if text is not None and text.ndim == 3:
        text = text[rows]
    return replace(
        features,
        image=None if image is None else image[rows],
        label=label,
        text=None if text is None else text[..., places, :],
        classnames=features.classnames[places],
        text_frozen=None if frozen is None else frozen[places],
        provenance={**features.provenance, "split": split},
        preview=None,
    )


def without_images(source: str | Path) -> str:
    """Why a source that is no feature file is not measured as it stands, and what it needs."""
    path = Path(source)
    wanted = "say on which images it is to be measured: --data FOLDER"
    if path.suffix.lower() in TORCH and path.is_file():
        try:
            shapes = {n: tuple(v.shape) for n, v in read_any(path).arrays.items()
                      if isinstance(v, torch.Tensor)}  # fmt: skip
        except NcscopeError:
            shapes = {}
        if shapes:
            return f"{source}: {refusal(shapes)}; or, if it is a checkpoint, {wanted}"
    kinds = ", ".join((*FEATURE_FILES, *TORCH))
    return f"{source}: not a feature file ({kinds}), so {wanted}"
