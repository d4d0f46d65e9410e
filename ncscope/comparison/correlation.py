"""How one column goes with another over runs of several data sets, without mixing the data sets.

n points in G data sets; R weightings (bootstrap replicates, or groups left out), of which a plain
correlation has one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.comparison.paired import group_weights
from ncscope.errors import DataError

Statistic = Callable[..., np.ndarray]
FEWEST = 3  # two points always lie on a line
REPLICATES = 1000
_SPREAD, _FLOOR = 1e-6, 1e-7  # what float32 features leave of a measure that is the same everywhere


@dataclass(frozen=True)
class Estimate:
    """A correlation in [-1, 1] over `n` runs of `groups` data sets; None with its reason.

    `low`, `high`: 95 % interval, whole data sets drawn anew; `least`, `most`: smallest and largest
    value with one data set left out. None with fewer than two data sets.
    """

    value: float | None
    n: int
    groups: int
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Correlation:
    """One measure against one accuracy.

    `within_*` are means over data sets of each one's correlation. `pooled_*` are over all runs,
    each column standardised (z-scored) within its data set first, so that neither a data set's
    difficulty nor its number of classes counts. `*_partial` hold accuracy on base fixed.
    """

    within_spearman: Estimate
    within_pearson: Estimate
    pooled_spearman: Estimate
    pooled_pearson: Estimate
    within_partial: Estimate
    pooled_partial: Estimate


def correlate(
    measure: Sequence[float], accuracy: Sequence[float], groups: Sequence[str], *,
    given: Sequence[float] | None = None, families: Mapping[str, str] | None = None, seed: int = 0,
) -> Correlation:  # fmt: skip
    """Correlations of a measure with an accuracy over n runs.

    Args:
        measure, accuracy, groups: n each; `groups` names the data set.
        given: n accuracies on base, held fixed in the partial correlations; None: there are none,
            NaN: this run has none.
        families: of a group's name, the name of what is drawn anew or left out as a whole, where
            groups are not independent: the domains of one data set. None: each group is its own.
        seed: of the bootstrap.

    Raises:
        DataError: columns of different lengths.
    """
    columns = [np.asarray(c, dtype=np.float64) for c in (measure, accuracy)]
    if given is not None:
        columns.append(np.asarray(given, dtype=np.float64))
    if any(len(column) != len(groups) for column in columns):
        raise DataError(f"columns of one length are needed; got "
                        f"{', '.join(str(len(c)) for c in columns)} and {len(groups)}")  # fmt: skip
    known = families or {}
    pair = _by_group(columns[:2], groups, known, FEWEST)
    nothing = Estimate(None, 0, 0, reason="nothing to hold fixed")
    triple = None if given is None else _by_group(columns, groups, known, FEWEST + 1)
    return Correlation(
        _within(pair, spearman, seed), _within(pair, pearson, seed),
        _pooled(pair, spearman, seed), _pooled(pair, pearson, seed),
        nothing if triple is None else _within(triple, partial_spearman, seed),
        nothing if triple is None else _pooled(triple, partial_spearman, seed),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Part:
    """One data set's (columns, n_g), and its family."""

    table: np.ndarray
    family: str


def _by_group(
    columns: Sequence[np.ndarray], groups: Sequence[str], families: Mapping[str, str], fewest: int
) -> list[_Part]:
    """Each data set with enough runs that have every column, in which no column is constant."""
    names = np.array(groups)
    table = np.stack(columns)
    whole = np.isfinite(table).all(axis=0)
    parts = [_Part(table[:, (names == name) & whole], families.get(name, name))
             for name in dict.fromkeys(groups)]  # fmt: skip
    return [part for part in parts if part.table.shape[1] >= fewest
            and not any(is_constant(column) for column in part.table)]  # fmt: skip


def _within(parts: Sequence[_Part], statistic: Statistic, seed: int) -> Estimate:
    each = np.array([statistic(*p.table, np.ones((1, p.table.shape[1])))[0] for p in parts])
    kept = [part for part, value in zip(parts, each, strict=True) if np.isfinite(value)]
    each = each[np.isfinite(each)]
    if not kept:
        return _none()
    weighings = _draws(kept, seed)
    with np.errstate(invalid="ignore"):  # the only family left out
        drawn, left = (weights @ each / weights.sum(axis=1) for weights in weighings)
    return _estimate(float(each.mean()), kept, drawn, left)


def _pooled(parts: Sequence[_Part], statistic: Statistic, seed: int) -> Estimate:
    if not parts:
        return _none()
    tables = [part.table for part in parts]
    scored = [(p - p.mean(axis=1, keepdims=True)) / p.std(axis=1, keepdims=True) for p in tables]
    table = np.round(np.concatenate(scored, axis=1), 9)  # equal scores tie, whatever their digits
    member = np.repeat(np.arange(len(parts)), [part.shape[1] for part in tables])
    value = statistic(*table, np.ones((1, table.shape[1])))[0]
    if not np.isfinite(value):
        return _none()
    if len({part.family for part in parts}) == 1:
        return _estimate(float(value), parts, np.empty(0), np.empty(0))
    drawn, left = (statistic(*table, weights[:, member]) for weights in _draws(parts, seed))
    return _estimate(float(value), parts, drawn, left)


def _draws(parts: Sequence[_Part], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(R, G) how often each part is drawn anew, and (F, G) with one family left out, each whole."""
    names = list(dict.fromkeys(part.family for part in parts))
    member = [names.index(part.family) for part in parts]
    drawn = group_weights(len(names), replicates=REPLICATES, seed=seed)[:, member]
    return drawn, (1 - np.eye(len(names)))[:, member]


def _estimate(value: float, parts: Sequence[_Part], drawn: np.ndarray, left: np.ndarray
              ) -> Estimate:  # fmt: skip
    runs = sum(part.table.shape[1] for part in parts)
    drawn, left = drawn[np.isfinite(drawn)], left[np.isfinite(left)]
    if len({part.family for part in parts}) < 2 or not len(drawn) or not len(left):
        return Estimate(value, runs, len(parts), reason="one data set: no interval")
    low, high = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value, runs, len(parts), low, high, float(left.min()), float(left.max()))


def _none() -> Estimate:
    return Estimate(None, 0, 0, reason="no data set has enough runs that differ in every column")


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


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(R,) row products of (R, n) with (n,) or (R, n)."""
    if second.ndim == 1:
        return first @ second
    return np.einsum("rn,rn->r", first, second)


def is_constant(values: np.ndarray) -> bool:
    """Whether values differ by no more than float32 features do by rounding."""
    return bool(np.ptp(values) <= _SPREAD * np.abs(values).max() + _FLOOR)
