"""Few-shot draws, the same images that CoOp's code draws for a seed.

Dassl's `generate_fewshot_dataset` calls `random.sample` once a class, in the order in which the
classes first occur in the data, after `random.seed(seed)`. So the draw depends on the order of the
images. Where CoOp takes that order from a split file or a list, the draw here is its own; where
CoOp lists folders (ImageNet), it depends on the file system there, and cannot be repeated.
"""

import random
from collections.abc import Sequence

from ncscope.data.images import ImageSet
from ncscope.data.subset import subset
from ncscope.errors import DataError

VALIDATION_SHOTS = 4  # CoOp draws at most so many validation images a class


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
