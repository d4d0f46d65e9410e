"""How one column goes with another over runs of several data sets, without mixing the data sets.

n runs in G data sets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.errors import DataError
from ncscope.experiments.paired import group_weights
from ncscope.experiments.ranks import is_constant, partial_spearman, pearson, spearman

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
    given: Sequence[float] | None = None, seed: int = 0,
) -> Correlation:  # fmt: skip
    """Correlations of a measure with an accuracy over n runs.

    Args:
        measure, accuracy, groups: n each; `groups` names the data set.
        given: n accuracies on base, held fixed in the partial correlations; None: there are none.
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
    pair, triple = _by_group(columns[:2], groups, FEWEST), []
    nothing = Estimate(None, 0, 0, reason="nothing to hold fixed")
    if given is not None:
        triple = _by_group(columns, groups, FEWEST + 1)
    known = given is not None
    return Correlation(
        _within(pair, spearman, seed), _within(pair, pearson, seed),
        _pooled(pair, spearman, seed), _pooled(pair, pearson, seed),
        _within(triple, partial_spearman, seed) if known else nothing,
        _pooled(triple, partial_spearman, seed) if known else nothing,
    )  # fmt: skip


def _by_group(columns: Sequence[np.ndarray], groups: Sequence[str], fewest: int
              ) -> list[np.ndarray]:  # fmt: skip
    """(columns, n_g) of each data set with enough runs, in which no column is constant."""
    names = np.array(groups)
    table = np.stack(columns)
    parts = [table[:, names == name] for name in dict.fromkeys(groups)]
    return [p for p in parts if p.shape[1] >= fewest and not any(is_constant(c) for c in p)]


def _within(parts: Sequence[np.ndarray], statistic: Statistic, seed: int) -> Estimate:
    each = np.array([statistic(*part, np.ones((1, part.shape[1])))[0] for part in parts])
    kept = [part for part, value in zip(parts, each, strict=True) if np.isfinite(value)]
    each = each[np.isfinite(each)]
    if not kept:
        return _none()
    weights = group_weights(len(each), replicates=REPLICATES, seed=seed)
    left_out = 1 - np.eye(len(each))
    return _estimate(
        float(each.mean()), kept, weights @ each / len(each),
        left_out @ each / max(len(each) - 1, 1),
    )  # fmt: skip


def _pooled(parts: Sequence[np.ndarray], statistic: Statistic, seed: int) -> Estimate:
    if not parts:
        return _none()
    scored = [(p - p.mean(axis=1, keepdims=True)) / p.std(axis=1, keepdims=True) for p in parts]
    table = np.concatenate(scored, axis=1)
    member = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
    value = statistic(*table, np.ones((1, table.shape[1])))[0]
    if not np.isfinite(value):
        return _none()
    if len(parts) == 1:
        return _estimate(float(value), parts, np.empty(0), np.empty(0))
    weights = group_weights(len(parts), replicates=REPLICATES, seed=seed)
    left_out = 1 - np.eye(len(parts))
    return _estimate(
        float(value), parts, statistic(*table, weights[:, member]),
        statistic(*table, left_out[:, member]),
    )  # fmt: skip


def _estimate(value: float, parts: Sequence[np.ndarray], drawn: np.ndarray, left: np.ndarray
              ) -> Estimate:  # fmt: skip
    runs = sum(part.shape[1] for part in parts)
    drawn, left = drawn[np.isfinite(drawn)], left[np.isfinite(left)]
    if len(parts) < 2 or not len(drawn) or not len(left):
        return Estimate(value, runs, len(parts), reason="one data set: no interval")
    low, high = (float(q) for q in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value, runs, len(parts), low, high, float(left.min()), float(left.max()))


def _none() -> Estimate:
    return Estimate(None, 0, 0, reason="no data set has enough runs that differ in every column")
