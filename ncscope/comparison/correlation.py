"""How one column goes with another over runs of several data sets, without mixing the data sets.

n runs in G data sets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.comparison.paired import group_weights
from ncscope.comparison.ranks import is_constant, partial_spearman, pearson, spearman
from ncscope.errors import DataError

Statistic = Callable[..., np.ndarray]
FEWEST = 3  # two points always lie on a line
REPLICATES = 1000


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


def _draws(parts: Sequence[_Part], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(R, G) how often each part is drawn anew, and (F, G) with one family left out, each whole."""
    names = list(dict.fromkeys(part.family for part in parts))
    member = [names.index(part.family) for part in parts]
    drawn = group_weights(len(names), replicates=REPLICATES, seed=seed)[:, member]
    return drawn, (1 - np.eye(len(names)))[:, member]


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
