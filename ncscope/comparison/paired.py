"""Paired tests of differences, and every row against a chosen baseline.

n differences, in G groups (data sets). Pairs share data set, tau and seed; intervals are over data
sets.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from ncscope.comparison.averages import listed
from ncscope.comparison.rows import Point, labels_of
from ncscope.comparison.table import Cell, Table, percent, probability, span, words
from ncscope.errors import DataError

_REPLICATES = 10_000
_HEADS = ("", "accuracy", "difference", "95 %", "n", "data sets", "+ / = / −",
          "t", "t, data sets", "Wilcoxon", "sign")  # fmt: skip
_SHOWN = {"base": "base", "new": "new", "h": "H of each run", "accuracy": "accuracy"}
NOTE = (
    "Tests: differences in points, row minus baseline, of n pairs of one data set, tau and seed; "
    "their mean is over data sets. p values are two-sided, not corrected for the number of "
    "comparisons; t, Wilcoxon and sign test take the pairs as independent; t, data sets, is of the "
    "data sets' mean differences. The interval draws whole data sets (10 000 times) and is too "
    "narrow with few of them (with ten it holds the mean nine times in ten, with three seven or "
    "eight); with one it is Student's over its pairs. Models tested on several data sets count "
    "once, by their average."
)
AVERAGED = "One side has no seeds; the other's mean over its own is paired with it"


@dataclass(frozen=True)
class Paired:
    """What n paired differences say. A value that is undefined is None, its reason in `reasons`.

    `mean` is the mean over data sets of each one's mean difference, as averages in tables are.
    `t_p`, `data_p`, `wilcoxon_p` and `sign_p` are two-sided p values in [0, 1]. `low` and `high`
    are a 95 % interval of the mean: whole data sets drawn anew, or with one data set Student's t
    over its pairs.
    """

    n: int
    groups: int
    mean: float | None
    wins: int
    ties: int
    losses: int
    t_p: float | None
    data_p: float | None
    wilcoxon_p: float | None
    sign_p: float | None
    low: float | None
    high: float | None
    reasons: tuple[str, ...]


def paired(differences: Sequence[float], groups: Sequence[Hashable], *, seed: int = 0) -> Paired:
    """Test whether paired differences are about zero.

    Paired t, Wilcoxon signed-rank (zeros dropped, equal sizes share a rank; exact where n <= 50)
    and the exact sign test (ties dropped) take the n pairs as independent; `data_p`, Student's t
    test of the G data sets' mean differences, and the interval take the data sets as such, and are
    the ones to read where seeds of one data set agree.

    Args:
        differences: n of them, of one sign where the first of each pair is better.
        groups: the data set of each.
        seed: of the bootstrap.

    Raises:
        DataError: not one group a difference.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) != len(groups):
        raise DataError(f"one group a difference is needed: {len(groups)} for {len(values)}")
    values = np.round(values, 12)  # 0.7 - 0.1 - 0.6 is a tie; equal differences rank alike
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    reasons: list[str] = []
    t_p = _t_test(values, "t test", reasons)
    means = _means(values, groups)
    data_p = _t_test(means, "t test over data sets", reasons)
    wilcoxon_p = _wilcoxon(values, reasons)
    sign_p = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else None
    low, high = _interval(values, means, seed, reasons)
    return Paired(
        len(values), len(means), float(means.mean()) if len(means) else None,
        wins, len(values) - wins - losses, losses, t_p, data_p, wilcoxon_p, sign_p, low, high,
        tuple(reasons),
    )  # fmt: skip


def _t_test(values: np.ndarray, name: str, reasons: list[str]) -> float | None:
    if len(values) < 2:
        reasons.append(f"{name}: n = {len(values)}")
        return None
    if np.ptp(values) <= 1e-12:
        reasons.append(f"{name}: all differences are equal")
        return None
    result: Any = stats.ttest_1samp(values, 0.0)
    return float(result.pvalue)


def _means(values: np.ndarray, groups: Sequence[Hashable]) -> np.ndarray:
    """(G,) the groups' mean values."""
    names = list(dict.fromkeys(groups))
    member = np.array([names.index(group) for group in groups], dtype=np.int64)
    return np.round(np.bincount(member, weights=values) / np.bincount(member), 12)


def _wilcoxon(values: np.ndarray, reasons: list[str]) -> float | None:
    moved = values[values != 0]
    if not len(moved):
        reasons.append("Wilcoxon and sign test: no difference other than 0")
        return None
    if len(moved) > 50:
        result: Any = stats.wilcoxon(moved, method="asymptotic")
        return float(result.pvalue)
    doubled = np.rint(2 * stats.rankdata(np.abs(moved))).astype(np.int64)  # halves where tied
    counts = np.ones(1)  # of the sign patterns, by the doubled sum of their positive ranks
    for rank in doubled:
        shifted = np.zeros(len(counts) + rank)
        shifted[rank:] = counts
        shifted[: len(counts)] += counts
        counts = shifted
    seen = int(doubled[moved > 0].sum())
    tail = min(counts[: seen + 1].sum(), counts[seen:].sum()) / counts.sum()
    return float(min(1.0, 2 * tail))


def _interval(
    values: np.ndarray, means: np.ndarray, seed: int, reasons: list[str]
) -> tuple[float | None, float | None]:
    if len(values) < 2:
        reasons.append(f"interval: n = {len(values)}")
        return None, None
    if len(means) < 2:
        return (None, None) if np.ptp(values) <= 1e-12 else t_interval(values)
    weights = group_weights(len(means), replicates=_REPLICATES, seed=seed)
    low, high = np.quantile(weights @ means / len(means), [0.025, 0.975])
    return float(low), float(high)


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of n >= 2 values."""
    mean, n = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / n**0.5
    return mean - half, mean + half


def group_weights(groups: int, *, replicates: int, seed: int) -> np.ndarray:
    """(R, G) how often each of G groups is drawn, with replacement, G times in each replicate."""
    generator = np.random.default_rng(seed)
    draws = generator.integers(groups, size=(replicates, groups))
    offset = np.arange(replicates)[:, None] * groups
    flat = np.bincount((draws + offset).ravel(), minlength=replicates * groups)
    return flat.reshape(replicates, groups).astype(np.float64)


def find_baseline(labels: Sequence[str], name: str) -> str:
    """The row that is meant: its label, or the one label that starts with the name.

    Raises:
        DataError: no such row, or several.
    """
    if name in labels:
        return name
    found = [label for label in labels if label.startswith(f"{name} (")]
    if len(found) == 1:
        return found[0]
    state = "is several rows" if found else "is no row"
    raise DataError(f"--baseline {name!r} {state}; there are: {'; '.join(found or labels)}")


def versus(
    points: Sequence[Point], columns: Sequence[str], baseline: str, *, title: str, seed: int = 0
) -> Table | None:
    """Paired tests of each row against the baseline; None where there is no other row."""
    others = [label for label in labels_of(points) if label != baseline]
    rows: list[tuple[str, tuple[Cell, ...]]] = []
    notes: dict[str, list[str]] = {}
    for label in others:
        for column in columns:
            what = f"{label} {_SHOWN[column]}"
            differences, data, averaged = pairs(points, label, baseline, column)
            if not differences:
                notes.setdefault("no pair with the baseline", []).append(what)
                continue
            found = paired(differences, data, seed=seed)
            rows.append((label, (words(_SHOWN[column]), *_cells(found))))
            for reason in found.reasons:
                notes.setdefault(reason, []).append(what)
            if averaged:
                notes.setdefault(AVERAGED, []).append(what)
    if not others:
        return None
    every = len(others) * len(columns)
    said = (f"{reason}: {'all' if len(which) == every else listed(which)}."
            for reason, which in notes.items())  # fmt: skip
    return Table(f"{title} against {baseline}", _HEADS, tuple(rows), tuple(said), "tests")


def pairs(
    points: Sequence[Point], label: str, baseline: str, column: str
) -> tuple[list[float], list[str], bool]:
    """Differences and their data sets; whether a side without seeds met the mean over seeds."""
    own, other = (_by_data(points, name, column) for name in (label, baseline))
    differences, data, averaged = [], [], False
    for name in own:
        first, second = own[name], other.get(name, {})
        shared = [run for run in first if run in second]
        found = [first[run] - second[run] for run in shared]
        if not shared and second and any(seed is None for _, seed in (*first, *second)):
            found, averaged = [fmean(first.values()) - fmean(second.values())], True
        differences += found
        data += [name] * len(found)
    return differences, data, averaged


def _by_data(
    points: Sequence[Point], label: str, column: str
) -> dict[str, dict[tuple[float | None, int | None], float]]:
    found: dict[str, dict[tuple[float | None, int | None], float]] = {}
    for p in points:
        if p.label == label and column in p.values:
            found.setdefault(p.data, {})[p.tau, p.seed] = p.values[column]
    return found


def _cells(found: Paired) -> tuple[Cell, ...]:
    ends = (percent(found.low, sign=True), percent(found.high, sign=True))
    return (
        percent(found.mean, sign=True), span(found.low, found.high, ends), words(found.n),
        words(found.groups), words(f"{found.wins} / {found.ties} / {found.losses}"),
        probability(found.t_p), probability(found.data_p), probability(found.wilcoxon_p),
        probability(found.sign_p),
    )  # fmt: skip
