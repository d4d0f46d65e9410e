"""What each row gains over a baseline on each data set, with its interval over seeds (Figure 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.comparison.paired import t_interval
from ncscope.comparison.points import Point, data_of, labels_of
from ncscope.comparison.versus import pairs


@dataclass(frozen=True)
class Gain:
    """Mean of n paired differences on one data set, shares; positive is better than the baseline.

    `low` and `high` are the 95 % t interval of the mean over seeds; None with one pair.
    """

    label: str
    column: str
    data: str
    mean: float
    low: float | None
    high: float | None
    n: int


def gains(points: Sequence[Point], baseline: str, columns: Sequence[str]) -> list[Gain]:
    """By row, then by data set in the field's order, then by column; only what has pairs.

    Args:
        points: of one tau, since bars of several would be averaged.
    """
    found = []
    order = data_of(points)
    for label in labels_of(points):
        if label == baseline:
            continue
        by_column = {column: pairs(points, label, baseline, column)[:2] for column in columns}
        for data in order:
            for column, (differences, names) in by_column.items():
                own = [d for d, name in zip(differences, names, strict=True) if name == data]
                if own:
                    found.append(_gain(label, column, data, own))
    return found


def _gain(label: str, column: str, data: str, differences: Sequence[float]) -> Gain:
    values = np.asarray(differences)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Gain(label, column, data, mean, None, None, n)
    return Gain(label, column, data, mean, *t_interval(values), n)
