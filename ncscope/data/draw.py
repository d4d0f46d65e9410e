"""Training draws: so many shots a class, of base or all classes, balanced or long-tailed.

K classes, counted after the cut into base and new.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence

from ncscope.data.classes import half, match_classes, select_classes
from ncscope.data.fewshot import few_shot_rows, rows_of_labels
from ncscope.data.files import shown
from ncscope.data.images import ImageSet
from ncscope.data.imbalance import class_sizes, imbalanced_counts, rank_classes
from ncscope.data.subset import subset
from ncscope.errors import DataError


@dataclasses.dataclass(frozen=True, eq=False)
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
    are CoOp's for the same seed (`ncscope.data.fewshot` says where that is well defined); the
    half is cut next, with labels from 0; the profile runs over the K classes that are left. Each
    class keeps the first of its drawn images: a smaller `tau` trains on a part of what a larger
    one does.

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
    everywhere = class_sizes(images.labels, len(images.classnames))
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
        images=dataclasses.replace(chosen, warnings=(*chosen.warnings, *notes)),
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


def _notes(names: Sequence[str], sizes: Sequence[int], shots: int | None) -> tuple[str, ...]:
    few = [name for name, size in zip(names, sizes, strict=True) if size < (shots or 0)]
    if not few:
        return ()
    return (f"{len(few)} class(es) have fewer than {shots} training images: {shown(few)}",)


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
