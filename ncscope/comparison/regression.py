"""The line of Figure 2: least squares over standardised runs, with its band over data sets.

n runs in G data sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.comparison.paired import group_weights
from ncscope.comparison.ranks import is_constant

REPLICATES = 1000


@dataclass(frozen=True, eq=False)
class Line:
    """`middle` at the places `across`, each (P,); `low` and `high` a 95 % band or None."""

    across: np.ndarray
    middle: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


def standardised(values: Sequence[float], groups: Sequence[str]) -> np.ndarray:
    """(n,) values in standard deviations from the mean of their data set.

    NaN for a data set of fewer than three runs, or one in which the value does not differ.
    """
    column, names = np.asarray(values, dtype=np.float64), np.array(groups)
    found = np.full(len(column), np.nan)
    for name in dict.fromkeys(groups):
        own = column[names == name]
        if len(own) >= 3 and not is_constant(own):
            found[names == name] = (own - own.mean()) / own.std()
    return found


def fitted(first: np.ndarray, second: np.ndarray, groups: Sequence[str], *, seed: int = 0,
           places: int = 25) -> Line | None:  # fmt: skip
    """The least-squares line through finite points, and a band from data sets drawn anew.

    None with fewer than three points, or where the first column does not differ; no band for one
    data set.
    """
    kept = np.isfinite(first) & np.isfinite(second)
    first, second = first[kept], second[kept]
    if len(first) < 3 or is_constant(first):
        return None
    names = [group for group, keep in zip(groups, kept, strict=True) if keep]
    order = list(dict.fromkeys(names))
    across = np.linspace(first.min(), first.max(), places)
    middle = _lines(first, second, np.ones((1, len(first))), across)[0]
    if len(order) < 2:
        return Line(across, middle, None, None)
    member = np.array([order.index(name) for name in names])
    weights = group_weights(len(order), replicates=REPLICATES, seed=seed)[:, member]
    low, high = np.nanquantile(_lines(first, second, weights, across), [0.025, 0.975], axis=0)
    return Line(across, middle, low, high)


def _lines(first: np.ndarray, second: np.ndarray, weights: np.ndarray, across: np.ndarray
           ) -> np.ndarray:  # fmt: skip
    """(R, P) heights at `across` of the lines fitted with each of R weightings."""
    total = weights.sum(axis=1, keepdims=True)
    mean_first = weights @ first[:, None] / total
    mean_second = weights @ second[:, None] / total
    off = first - mean_first
    slope = (weights * off * (second - mean_second)).sum(axis=1, keepdims=True) / (
        weights * off**2
    ).sum(axis=1, keepdims=True)
    return mean_second + slope * (across - mean_first)
