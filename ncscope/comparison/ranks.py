"""Correlations of weighted samples: Pearson, Spearman, partial Spearman, for many weightings.

n points, R weightings (bootstrap replicates, or groups left out). Plain correlations are R = 1.
"""

import numpy as np

_SPREAD, _FLOOR = 1e-6, 1e-7  # what float32 features leave of a measure that is the same everywhere


def is_constant(values: np.ndarray) -> bool:
    """Whether values differ by no more than float32 features do by rounding."""
    return bool(np.ptp(values) <= _SPREAD * np.abs(values).max() + _FLOOR)


def ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R, n) mid-ranks of (n,) values if point i comes weights[r, i] times; ties share a rank."""
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    first = np.flatnonzero(np.r_[True, sorted_values[1:] != sorted_values[:-1]])  # of equal ones
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(values)]))
    sums = np.add.reduceat(weights[:, order], first, axis=1)
    below = np.cumsum(sums, axis=1) - sums
    return (below + (sums + 1) / 2)[:, place]


def pearson(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,) weighted Pearson correlations of (n,) or (R, n) values, in [-1, 1].

    NaN where either side is constant among the points of positive weight.
    """
    total = weights.sum(axis=1, keepdims=True)
    first = first - _dot(weights, first)[:, None] / total
    second = second - _dot(weights, second)[:, None] / total
    weighed = weights * first
    both = _dot(weighed, second)
    scale = np.sqrt(_dot(weighed, first) * _dot(weights, second**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(scale > 1e-12 * np.maximum(total[:, 0], 1), both / scale, np.nan)
    return np.clip(found, -1, 1)


def spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,) Spearman correlations: Pearson of mid-ranks."""
    return pearson(ranks(first, weights), ranks(second, weights), weights)


def partial_spearman(
    first: np.ndarray, second: np.ndarray, given: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(R,) Spearman correlation of two columns with the ranks of a third held fixed, in [-1, 1].

    (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)); NaN where the third decides either side.
    """
    x, y, z = (ranks(column, weights) for column in (first, second, given))
    xy, xz, yz = pearson(x, y, weights), pearson(x, z, weights), pearson(y, z, weights)
    scale = np.sqrt((1 - xz**2) * (1 - yz**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(scale > 1e-9, (xy - xz * yz) / scale, np.nan)
    return np.clip(found, -1, 1)


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(R,) row products of (R, n) with (n,) or (R, n)."""
    if second.ndim == 1:
        return first @ second
    return np.einsum("rn,rn->r", first, second)
