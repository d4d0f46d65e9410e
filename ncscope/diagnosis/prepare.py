"""Features brought to the convention: normalised rows, class means, and what cannot be measured.

N samples, K classes, P classes with images, D embedding width.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ncscope.diagnosis.sweeps import row_norms
from ncscope.errors import ShapeError, shown
from ncscope.features.bundle import Features, check_features
from ncscope.metrics import normalise_rows
from ncscope.metrics.one_pass import Pairs, pairs_of


@dataclass(frozen=True, eq=False)
class Prepared:
    """One run's features as the measures take them.

    text (K, D) float64 unit rows, or None; per_image (N, K, D) where text depends on the image,
    `text` then being the mean over images; image (N, D) and label (N,), -1 where unknown, or None:
    `samples` of them are labelled. `absent` says per side why it is missing; `means` where images
    are there, and the geometry of their class means is not.
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
    most_images: int = 0  # of one class
    absent: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    normalised: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def text_pairs(self) -> Pairs | None:
        """What the pairs of text rows say, looked at once."""
        return None if self.text is None else pairs_of(self.text)


def prepare(features: Features, *, normalise: bool = True, skip_bad: bool = False) -> Prepared:
    """Check what is there and l2-normalise text; image rows are normalised block by block later.

    Args:
        skip_bad: leave out image rows that are zero vectors; with them in, no image measure is
            defined.

    Raises:
        ShapeError: fewer than two classes, text with a row an image, or labelled images of one
            class and no text.
    """
    check_features(features)
    names = features.classnames
    if len(names) < 2:
        found = f"one class, {names[0]!r}" if names else "no classes"
        raise ShapeError(f"at least 2 classes are needed to measure their geometry; found {found}")
    absent: dict[str, str] = {}
    notes: list[str] = []
    notes += _row_an_image(features)
    text, per_image = _text(features, normalise, absent, notes)
    image, label = _image(features, absent, notes, skip_bad=skip_bad)
    frozen = features.text_frozen
    if frozen is not None:
        frozen = normalise_rows(frozen.double()) if normalise else frozen.double()
    samples = most = 0
    if image is not None and label is not None:
        samples = int((label >= 0).sum())
        most = int(torch.bincount(label[label >= 0]).max())
        if unknown := int((features.label < 0).sum()) if features.label is not None else 0:
            notes.append(f"{unknown} images without a label were ignored")
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
        most_images=most,
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
    features: Features, absent: dict[str, str], notes: list[str], *, skip_bad: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Images and labels, if there are labelled ones with a direction."""
    image, label = features.image, features.label
    if image is None:
        absent["image"] = "there are no image features"
        return None, None
    if label is None or not bool((label >= 0).any()):
        absent["image"] = "the images have no labels"
        return None, None
    zero = ((row_norms(image) == 0) & (label >= 0)).nonzero().flatten()
    if len(zero):
        first = zero[:3].tolist()
        where = ", ".join(f"{i} ({features.classnames[int(label[i])]})" for i in first)
        said = f"{len(zero)} image features are zero vectors, at rows {where}"
        if not skip_bad:
            absent["image"] = f"{said}; --skip-bad (skip_bad=True) leaves them out"
            return None, None
        notes.append(f"left out: {said}")
        label = label.clone()
        label[zero] = -1
        if not bool((label >= 0).any()):
            absent["image"] = "all labelled image features are zero vectors"
            return None, None
    counts = torch.bincount(label[label >= 0], minlength=features.num_classes)
    say_counts(counts, features, absent, notes)
    return image, label


def say_counts(
    counts: Tensor, features: Features, absent: dict[str, str], notes: list[str]
) -> None:
    """Note classes (K,) of none or one image; the geometry of one class alone is absent."""
    missing = (counts == 0).nonzero().flatten().tolist()
    present = features.num_classes - len(missing)
    if present < 2 and features.text is None:
        raise ShapeError(
            f"only {present} of {features.num_classes} classes has labelled images, and there are "
            f"no text features; at least 2 are needed"
        )
    if present < 2:
        name = features.classnames[int(counts.argmax())]
        absent["means"] = f"all labelled images are of one class, {name}"
    if missing:
        names = shown([features.classnames[k] for k in missing])
        notes.append(
            f"{len(missing)} classes without images are left out of image measures: {names}"
        )
    single = int((counts == 1).sum())
    if single:
        notes.append(f"{single} classes with one image are left out of NC1, CDNV and variance")


def _row_an_image(features: Features) -> list[str]:
    """Tell text with a row an image from text with a row a class, where there are N of both.

    Raises:
        ShapeError: it cannot be meant: images of one label have the same text row throughout, or
            the classes are those of no names, and most of them without an image.
    """
    text, label, size = features.text, features.label, features.num_classes
    if text is None or label is None or text.ndim != 2 or features.num_samples != size:
        return []
    known = label[label >= 0]
    present = int(known.unique().numel())
    if not present or present == size:
        return []
    said = (
        f"`text` has {size} rows, as many as there are images, of {present} labels: that looks "
        f"like a row an image"
    )
    first = torch.zeros(size, dtype=torch.int64).scatter_(
        0, label.clamp_min(0).flip(0), torch.arange(size - 1, -1, -1)
    )  # first[k] is a row of label k
    alike = bool((text == text[first[label.clamp_min(0)]])[label >= 0].all())
    numbered = features.classnames == tuple(f"class {k}" for k in range(size))
    if (alike and len(known) > present) or (numbered and 4 * present <= size):
        raise ShapeError(
            f"{said}; expected a row a class, (C, D), or where text depends on the image "
            f"(N, C, D); give one row a label in the order of the labels, or --pairs (pairs=True) "
            f"to take each image with its own text as a class"
        )
    return [f"{said}; it was taken as a row a class"] if 2 * present <= size else []


def _was_normalised(features: Features) -> dict[str, bool]:
    """Whether each side came with unit rows, within 1e-2."""
    sides = {"text": features.text, "image": features.image}
    return {
        name: bool(((row_norms(rows) - 1).abs() <= 1e-2).all())
        for name, rows in sides.items()
        if rows is not None
    }
