"""Training draws: so many shots a class, of base or all classes, balanced or long-tailed.

Few-shot draws take the same images that CoOp's code draws for a seed. Dassl's
`generate_fewshot_dataset` calls `random.sample` once a class, in the order in which the classes
first occur in the data, after `random.seed(seed)`. So the draw depends on the order of the images.
Where CoOp takes that order from a split file or a list, the draw here is its own; where CoOp lists
folders (ImageNet), it depends on the file system there, and cannot be repeated.

K classes, counted after the cut into base and new; tau is the share of the largest class that the
smallest gets, n_min / n_max <= 1.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

from ncscope.data.classes import half, match_classes, select_classes
from ncscope.data.images import ImageSet, subset
from ncscope.errors import DataError, shown

VALIDATION_SHOTS = 4  # CoOp draws at most so many validation images a class
CLASS_ORDERS = ("index", "frequency", "random")


@dataclass(frozen=True, eq=False)
class Draw:
    """The images to train on, and how they were drawn."""

    images: ImageSet  # class after class, in the order drawn; without shots, in the data's order
    counts: tuple[int, ...]  # K numbers: the images each class got
    class_order: tuple[int, ...]  # K labels, head to tail
    nominal_tau: float  # what was asked for
    realised_tau: float  # smallest over largest count; a class never falls below one image
    shots: int | None
    seed: int


def draw_training(
    images: ImageSet,
    *,
    shots: int | None = 16,
    tau: float = 1.0,
    seed: int = 1,
    class_order: str = "index",
    split: str = "all",
    counts: Mapping[str, int] | None = None,
    listed: bool = False,
) -> Draw:
    """Draw training images: few shots of all classes, then base or new, then the long tail.

    The order is that of the published protocols. Shots are drawn over *all* classes, so that they
    are CoOp's for the same seed (where that is well defined, see the top of this file); the half is
    cut next, with labels from 0; the profile runs over the K classes that are left. Each class
    keeps the first of its drawn images: a smaller `tau` trains on a part of what a larger one does.

    Args:
        shots: images of the largest class, or of every class where `tau` is 1; a class with fewer
            gives all it has. None takes all images.
        tau: share of the largest class that the smallest gets, see `imbalanced_counts`. Without
            shots the largest class of the data is the measure.
        class_order: which class is the head, see `rank_classes`: `index`, `frequency` (sizes in
            the whole of `images`; Candle, which ranks after drawing shots, differs from that
            unless `shots` is None) or `random`.
        split: `base`, `new` or `all`; do not cut the result again.
        counts: images of each class by name, instead of `tau`; the first so many of its shots.
        listed: `images` were drawn already, as those of `ncscope.data.fewshot_file`: all are the
            shots of their classes, in their order. `shots` is then what the largest class has.

    Raises:
        DataError: a class without images, counts that the images cannot meet, arguments out of
            range.
    """
    kept = half(len(images.classnames), split)
    found = Counter(images.labels)  # -1 is no class
    everywhere = [found[label] for label in range(len(images.classnames))]
    sizes = everywhere[kept.start : kept.stop]
    names = images.classnames[kept.start : kept.stop]
    _refuse_empty(images, names, sizes)
    if listed:
        drawn, shots = rows_of_labels(images.labels), max(everywhere)
    else:
        drawn = few_shot_rows(images.labels, shots=shots, stream=random.Random(seed))
    available = [len(drawn[label]) for label in kept]
    if counts is None:
        order = rank_classes(class_order, sizes, seed=seed)
        most = max(sizes) if shots is None else shots
        got = _profile(order, available, most=most, tau=tau)
    else:
        got = _counts_by_name(images.name, names, counts, available=available, tau=tau)
        order = rank_classes("frequency", got, seed=seed)
    rows = [row for label in drawn if label in kept for row in drawn[label][: got[label - kept[0]]]]
    if shots is None:
        rows.sort()  # which were taken was random; their order is the data's
    chosen = select_classes(subset(images, rows), split)
    notes = _notes(names, sizes, shots)
    return Draw(
        images=replace(chosen, warnings=(*chosen.warnings, *notes)),
        counts=tuple(got),
        class_order=order,
        nominal_tau=tau if counts is None else min(got) / max(got),
        realised_tau=min(got) / max(got),
        shots=shots,
        seed=seed,
    )


def _refuse_empty(images: ImageSet, names: Sequence[str], sizes: Sequence[int]) -> None:
    if not names:
        raise DataError(f"{images.name}: one class; it has no half of new classes")
    empty = [name for name, size in zip(names, sizes, strict=True) if size == 0]
    if empty:
        raise DataError(
            f"{images.name}: {len(empty)} of {len(names)} classes have no training image: "
            f"{shown(empty)}; add images, or take the classes out of the data"
        )


def _profile(order: Sequence[int], available: Sequence[int], *, most: int, tau: float) -> list[int]:
    """The exponential profile in label order, where a class has so many images."""
    profile = imbalanced_counts(len(order), most=most, tau=tau)
    wanted = dict(zip(order, profile, strict=True))
    return [min(wanted[label], available[label]) for label in range(len(order))]


def _counts_by_name(
    data: str,
    names: Sequence[str],
    counts: Mapping[str, int],
    *,
    available: Sequence[int],
    tau: float,
) -> list[int]:
    """The counts in label order; names match as elsewhere, `_` and case folded."""
    if tau != 1:
        raise DataError(f"`tau` is {tau} and `counts` are given; expected one of them")
    given = tuple(counts)
    got = [0] * len(names)
    for label, name in zip(match_classes(names, given), given, strict=True):
        if not 1 <= counts[name] <= available[label]:
            raise DataError(
                f"{data}: {counts[name]} images of class {name!r} wanted; expected 1 to "
                f"{available[label]}, the number drawn (shots=None draws all there are)"
            )
        got[label] = counts[name]
    return got


def _notes(names: Sequence[str], sizes: Sequence[int], shots: int | None) -> tuple[str, ...]:
    few = [name for name, size in zip(names, sizes, strict=True) if size < (shots or 0)]
    if not few:
        return ()
    return (f"{len(few)} class(es) have fewer than {shots} training images: {shown(few)}",)


def few_shot_rows(
    labels: Sequence[int], *, shots: int | None, stream: random.Random
) -> dict[int, list[int]]:
    """Draw up to `shots` rows of each label; labels and rows in the order CoOp has them in.

    A class with fewer images gives all of them, in the order of the data. None draws them all, in
    a random order. Rows of unknown label (-1) are not drawn.
    """
    if shots is not None and shots < 1:
        raise DataError(f"`shots` is {shots}; expected at least 1, or None for all images")
    return {
        label: rows if shots is not None and len(rows) < shots else stream.sample(rows, wanted)
        for label, rows in rows_of_labels(labels).items()
        for wanted in [len(rows) if shots is None else shots]
    }


def rows_of_labels(labels: Sequence[int]) -> dict[int, list[int]]:
    """The rows of each label in the order in which labels first occur, those of -1 left out."""
    rows_of: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        if label >= 0:
            rows_of.setdefault(label, []).append(row)
    return rows_of


def draw_validation(
    train: ImageSet, val: ImageSet, *, shots: int | None = 16, seed: int = 1
) -> ImageSet:
    """Draw min(shots, 4) validation images a class, CoOp's for the same seed.

    CoOp draws them after the training images, from the same random stream: so `train`, whole, is
    needed. `shots=None` takes all of `val`. Cut base or new classes afterwards.
    """
    if shots is None:
        return val
    stream = random.Random(seed)
    few_shot_rows(train.labels, shots=shots, stream=stream)
    drawn = few_shot_rows(val.labels, shots=min(shots, VALIDATION_SHOTS), stream=stream)
    return subset(val, [row for rows in drawn.values() for row in rows])


def imbalanced_counts(num_classes: int, *, most: int, tau: float) -> list[int]:
    """Return max(floor(most * tau^(k / (K - 1))), 1) for k = 0..K-1, from head to tail.

    The exponential profile of Cui et al. 2019 (arXiv:1901.05555). `tau` is taken as the decimal
    number it is written as, and the floor is exact: 16 images at 0.25 end with 4, not with 3.
    A single class gets `most`.

    Raises:
        DataError: no classes, `most` below 1, `tau` outside 0 < tau <= 1.
    """
    if num_classes < 1 or most < 1:
        raise DataError(f"{most} images for each of {num_classes} classes; expected at least 1")
    if not 0 < tau <= 1:
        raise DataError(
            f"`tau` is {tau}; expected 0 < tau <= 1, the smallest class over the largest"
        )
    last = max(num_classes - 1, 1)
    return [max(_floor_of_power(most, tau, k, last), 1) for k in range(num_classes)]


def _floor_of_power(most: int, tau: float, k: int, last: int) -> int:
    """floor(most * tau^(k / last)), decided in whole numbers where floats are too coarse."""
    value = most * tau ** (k / last)
    nearest = round(value)
    if abs(value - nearest) > 1e-9 * most:
        return floor(value)
    share = Fraction(repr(float(tau)))  # the decimal number: 0.1 is a tenth
    reached = (most**last) * share.numerator**k >= (nearest**last) * share.denominator**k
    return nearest if reached else nearest - 1


def rank_classes(order: str, sizes: Sequence[int], *, seed: int) -> tuple[int, ...]:
    """Return the labels 0..K-1 from head to tail.

    Args:
        order: `index`, as the labels are; `frequency`, by `sizes` descending, ties in label order;
            `random`, a permutation that depends on `seed` and the number of classes alone.
        sizes: K numbers, how many images each class has.

    Raises:
        DataError: an unknown `order`.
    """
    labels = range(len(sizes))
    if order == "index":
        return tuple(labels)
    if order == "frequency":
        return tuple(sorted(labels, key=lambda label: (-sizes[label], label)))
    if order == "random":
        # a stream of its own, so that the draw of the images does not depend on the class order
        return tuple(random.Random(f"class order {seed}").sample(labels, len(labels)))
    raise DataError(f"`class_order` is {order!r}; expected one of {', '.join(CLASS_ORDERS)}")
