"""Every measure against every accuracy, over the runs of a comparison (Figure 2's question).

What is correlated is accuracy with a measure of one split; accuracies themselves are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ncscope.comparison.correlation import Correlation, correlate
from ncscope.comparison.rows import BASE_TO_NEW, SPLIT_WORDS, Labelled
from ncscope.comparison.table import Cell, Table, number, span, words
from ncscope.diagnosis.summary import SUMMARY
from ncscope.metrics.accuracy import harmonic_mean

_TITLES = {"base": "base accuracy", "new": "new accuracy", "h": "H", "all": "accuracy"}
_HEADS = (
    "", "n", "data sets", "ρ within", "95 %", "ρ pooled", "95 %", "one data set out",
    "r within", "r pooled", "ρ within | base", "ρ pooled | base",
)  # fmt: skip
NOTES: tuple[str, ...] = (
    "ρ Spearman, r Pearson; within: mean over data sets of each one's correlation over its runs; "
    "pooled: over all runs, each column standardised within its data set first, since Frobenius "
    "forms (ETF distance, nc3/etf, delta_mid/frobenius) grow with the number of classes and are "
    "never compared across data sets as they are.",
    "n: points, a run on one data set each; a model tested on several is a point of each. 95 %: "
    "data sets drawn anew, with all their domains (1000 times, percentiles; with few, little more "
    "than their range); one data set out: least and largest pooled ρ with one left out; | base: "
    "partial rank correlation with base accuracy held fixed, over the points that have one, on "
    "data sets of four or more.",
    "A measure of one split restates in part how well that split is classified: Δ MID most of all.",
)


@dataclass(frozen=True)
class Scatter:
    """Runs as points of Figure 2: a measure across, an accuracy up, one group a data set."""

    measure: str
    split: str
    target: str
    values: tuple[float, ...]
    accuracy: tuple[float, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...]


def scatters(rows: Sequence[Labelled], *, every: bool = False) -> list[Scatter]:
    """Each measure of base, new or all classes, against base, new and H, or all-class accuracy.

    Args:
        every: all measures that runs have, not the headline ones alone.
    """
    found = []
    headline = [flat for flat, _ in SUMMARY.values() if not _is_accuracy(flat)]
    for split, targets in (("base", BASE_TO_NEW), ("new", BASE_TO_NEW), ("all", ("all",))):
        measured = {n for row in rows for n in row.outcome.measures.get(split, {})}
        extra = sorted(n for n in measured - set(headline) if not _is_accuracy(n))
        for target in targets:
            for name in [*(n for n in headline if n in measured), *(extra if every else [])]:
                one = _scatter(rows, name, split, target)
                if one.values:
                    found.append(one)
    return found


def _is_accuracy(name: str) -> bool:
    return name in ("accuracy/top1", "accuracy/class_mean")


def _scatter(rows: Sequence[Labelled], measure: str, split: str, target: str) -> Scatter:
    empty = Scatter(measure, split, target, (), (), (), ())
    kept = [(row.outcome.measures[split][measure], accuracy, row.outcome.data, row.label)
            for row in _members(rows, empty)
            if (accuracy := _accuracy(row, target)) is not None]  # fmt: skip
    if not kept:
        return empty
    return Scatter(measure, split, target, *(tuple(column) for column in zip(*kept, strict=True)))


def _members(rows: Sequence[Labelled], scatter: Scatter) -> list[Labelled]:
    return [row for row in rows
            if scatter.measure in row.outcome.measures.get(scatter.split, {})
            and _accuracy(row, scatter.target) is not None]  # fmt: skip


def _accuracy(row: Labelled, target: str) -> float | None:
    shares = row.outcome.accuracy
    if target != "h":
        return shares.get(target)
    return harmonic_mean(shares["base"], shares["new"]) if {"base", "new"} <= set(shares) else None


def correlations(rows: Sequence[Labelled], scatter: Scatter, *, seed: int = 0) -> Correlation:
    """The correlations of one scatter; partial ones where accuracy on base is known and apart."""
    given = None
    if scatter.target in ("new", "h"):
        given = [_accuracy(row, "base") for row in _members(rows, scatter)]
        given = [math.nan if value is None else value for value in given]
    return correlate(
        scatter.values, scatter.accuracy, scatter.groups, given=given,
        families={name: name.partition("@")[0] for name in scatter.groups}, seed=seed,
    )  # fmt: skip


def correlation_tables(
    rows: Sequence[Labelled], *, every: bool = False, seed: int = 0
) -> list[Table]:
    """A table for each split measured and each accuracy, a row a measure; none without any."""
    bodies: dict[tuple[str, str], list[tuple[str, tuple[Cell, ...]]]] = {}
    empty: dict[tuple[str, str], list[str]] = {}
    for scatter in scatters(rows, every=every):
        key = (scatter.split, scatter.target)
        found = correlations(rows, scatter, seed=seed)
        bodies.setdefault(key, []).append((scatter.measure, _cells(found)))
        if found.within_spearman.value is None:
            empty.setdefault(key, []).append(scatter.measure)
    tables = []
    for key, body in bodies.items():
        split, target = key
        if len(empty.get(key, ())) == len(body):
            continue
        title = f"Measures of {SPLIT_WORDS[split]} against {_TITLES[target]}"
        notes: list[str] = []
        if key in empty:
            notes.append(f"Undefined (fewer than 3 runs a data set, or a constant column): "
                         f"{', '.join(empty[key])}.")  # fmt: skip
        tables.append(Table(title, _HEADS, tuple(body), tuple(notes), "correlations"))
    return tables


def _cells(found: Correlation) -> tuple[Cell, ...]:
    within, pooled = found.within_spearman, found.pooled_spearman
    return (
        words(within.n), words(within.groups),
        number(within.value, 2), _span(within.low, within.high),
        number(pooled.value, 2), _span(pooled.low, pooled.high), _span(pooled.least, pooled.most),
        *(number(one.value, 2) for one in (
            found.within_pearson, found.pooled_pearson, found.within_partial,
            found.pooled_partial,
        )),
    )  # fmt: skip


def _span(low: float | None, high: float | None) -> Cell:
    return span(low, high, (number(low, 2), number(high, 2)))
