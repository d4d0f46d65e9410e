"""Features brought to the convention: normalised rows, class means, and what cannot be measured.

N samples, K classes, P classes with images, D embedding width.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ncscope.diagnosis.sweeps import row_norms
from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.metrics import normalise_rows


@dataclass(frozen=True, eq=False)
class Prepared:
    """One run's features as the measures take them.

    text (K, D) float64 unit rows, or None; per_image (N, K, D) where text depends on the image,
    `text` then being the mean over images; image (N, D) and label (N,), -1 where unknown, or None:
    `samples` of them are labelled. `absent` says per side why it is missing.
    """

    text: Tensor | None
    per_image: Tensor | None
    image: Tensor | None
    label: Tensor | None
    frozen: Tensor | None
    logit_scale: Tensor | None
    classnames: tuple[str, ...]
    normalise: bool
    samples: int = 0
    absent: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    normalised: dict[str, bool] = field(default_factory=dict)


def prepare(features: Features, *, normalise: bool = True) -> Prepared:
    """Check what is there and l2-normalise text; image rows are normalised block by block later.

    Raises:
        ShapeError: fewer than two classes, or fewer than two with labelled images.
    """
    names = features.classnames
    if len(names) < 2:
        found = f"one class, {names[0]!r}" if names else "no classes"
        raise ShapeError(f"at least 2 classes are needed to measure their geometry; found {found}")
    absent: dict[str, str] = {}
    notes: list[str] = []
    text, per_image = _text(features, normalise, absent, notes)
    image, label = _image(features, absent, notes)
    frozen = features.text_frozen
    if frozen is not None:
        frozen = normalise_rows(frozen.double()) if normalise else frozen.double()
    samples = 0
    if image is not None and label is not None:
        samples = int((label >= 0).sum())
        if samples < len(label):
            notes.append(f"{len(label) - samples} images without a label were ignored")
        if samples < len(label) and per_image is not None:  # a large one costs far more than this
            kept = label >= 0
            image, label, per_image = image[kept], label[kept], per_image[kept]
    return Prepared(
        text=text,
        per_image=per_image,
        image=image,
        label=label,
        frozen=frozen,
        logit_scale=features.logit_scale,
        classnames=names,
        normalise=normalise,
        samples=samples,
        absent=absent,
        notes=tuple(notes),
        normalised=_was_normalised(features),
    )


def _text(
    features: Features, normalise: bool, absent: dict[str, str], notes: list[str]
) -> tuple[Tensor | None, Tensor | None]:
    if features.text is None:
        absent["text"] = "there are no text features"
        return None, None
    text, per_image = features.text, None
    if text.ndim == 3:
        per_image = normalise_rows(text) if normalise else text
        text = per_image.double().mean(dim=0)
        notes.append("text features depend on the image: geometry uses their mean over the images")
    zero = (text == 0).all(dim=1).nonzero().flatten().tolist()
    if zero:
        names = ", ".join(features.classnames[k] for k in zero[:5])
        absent["text"] = f"the text feature of {names} is zero"
        return None, None
    text = normalise_rows(text.double()) if normalise else text.double()
    return text, per_image


def _image(
    features: Features, absent: dict[str, str], notes: list[str]
) -> tuple[Tensor | None, Tensor | None]:
    """Images and labels if class means can be had from them."""
    image, label = features.image, features.label
    if image is None:
        absent["image"] = "there are no image features"
        return None, None
    if label is None or not bool((label >= 0).any()):
        absent["image"] = "the images have no labels"
        return None, None
    counts = torch.bincount(label[label >= 0], minlength=features.num_classes)
    missing = (counts == 0).nonzero().flatten().tolist()
    if features.num_classes - len(missing) < 2:
        raise ShapeError(
            f"only {features.num_classes - len(missing)} of {features.num_classes} classes has "
            f"labelled images; at least 2 are needed"
        )
    if missing:
        names = ", ".join(features.classnames[k] for k in missing[:5])
        more = ", …" if len(missing) > 5 else ""
        notes.append(
            f"{len(missing)} classes without images are left out of image measures: {names}{more}"
        )
    single = int((counts == 1).sum())
    if single:
        notes.append(f"{single} classes with one image are left out of NC1, CDNV and variance")
    rows = (row_norms(image) == 0).nonzero().flatten().tolist()
    if rows:
        where = ", ".join(f"{i} ({features.classnames[int(label[i])]})" for i in rows[:3])
        absent["image"] = f"{len(rows)} image features are zero vectors, at rows {where}"
        return None, None
    return image, label


def _was_normalised(features: Features) -> dict[str, bool]:
    """Whether each side came with unit rows, within 1e-2."""
    sides = {"text": features.text, "image": features.image}
    return {
        name: bool(((row_norms(rows) - 1).abs() <= 1e-2).all())
        for name, rows in sides.items()
        if rows is not None
    }
