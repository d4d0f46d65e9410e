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
    _, place = np.unique(values, return_inverse=True)
    sums = np.zeros((len(weights), place.max() + 1))
    np.add.at(sums.T, place, weights.T)
    below = np.cumsum(sums, axis=1) - sums
    return (below + (sums + 1) / 2)[:, place]


def pearson(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,) weighted Pearson correlations of (n,) or (R, n) values, in [-1, 1].

    NaN where either side is constant among the points of positive weight.
    """
    total = weights.sum(axis=1, keepdims=True)
    first = first - (weights * first).sum(axis=1, keepdims=True) / total
    second = second - (weights * second).sum(axis=1, keepdims=True) / total
    both = (weights * first * second).sum(axis=1)
    squares = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
    scale = np.sqrt(squares)
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
    xy = spearman(first, second, weights)
    xz = spearman(first, given, weights)
    yz = spearman(second, given, weights)
    scale = np.sqrt((1 - xz**2) * (1 - yz**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(scale > 1e-9, (xy - xz * yz) / scale, np.nan)
    return np.clip(found, -1, 1)
