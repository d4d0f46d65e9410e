"""Runs as points of a table: a row, a data set, a seed and the accuracies of its columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ncscope.comparison.rows import Labelled, data_order
from ncscope.diagnosis.outcome import is_domain_of
from ncscope.metrics.accuracy import harmonic_mean

BASE_TO_NEW = ("base", "new", "h")
ACCURACY = ("accuracy",)


@dataclass(frozen=True, eq=False)
class Point:
    """One run's accuracies, shares in [0, 1], by column."""

    label: str
    data: str
    tau: float | None
    seed: int | None
    values: Mapping[str, float]


def taus(rows: Iterable[Labelled]) -> list[float | None]:
    """The imbalance ratios that runs were trained at, balanced first; [None] where none says."""
    found = {row.outcome.tau for row in rows if row.outcome.tau is not None}
    return [*sorted(found, reverse=True)] or [None]


def at_tau(rows: Iterable[Labelled], tau: float | None) -> list[Labelled]:
    """The rows of one ratio; what was not trained, or does not say, belongs to each."""
    return [row for row in rows if row.outcome.tau in (None, tau)]


def base_to_new_points(rows: Iterable[Labelled]) -> list[Point]:
    """Base, new and H of each run on its own data set; those trained on others are left out."""
    points = []
    for row in rows:
        o = row.outcome
        if not o.own_data or o.trained_split not in (None, "base"):
            continue
        values = {split: o.accuracy[split] for split in ("base", "new") if split in o.accuracy}
        if len(values) == 2:
            values["h"] = harmonic_mean(values["base"], values["new"])
        if values:
            points.append(Point(row.label, o.data, o.tau, o.seed, values))
    return points


def sources(rows: Iterable[Labelled]) -> list[tuple[str, str]]:
    """Training data (and split) of the runs that were tested on other data sets as well."""
    found = {(o.trained_on, o.trained_split or "all")
             for o in (row.outcome for row in rows) if o.trained_on and not o.own_data}  # fmt: skip
    return sorted(found)


def transfer_points(
    rows: Iterable[Labelled], source: str, split: str, *, domains: bool
) -> list[Point]:
    """Accuracy of runs trained on `source`, on it and on other data sets, or on its domains.

    An untrained model's accuracy on the same data sets, all classes, is a row as well.
    """
    rows = list(rows)
    targets = {o.data for o in (row.outcome for row in rows)
               if o.trained_on == source and not o.own_data
               and is_domain_of(o.data, source) == domains}  # fmt: skip
    if not targets:
        return []
    points = []
    for row in rows:
        o = row.outcome
        trained_here = o.trained_on == source and (o.trained_split or "all") == split
        if not (trained_here or o.trained_on is None):
            continue
        own = o.data == source
        if not own and o.data not in targets:
            continue
        value = o.accuracy.get(split if own else "all")
        if value is not None:
            points.append(Point(row.label, o.data, o.tau, o.seed, {"accuracy": value}))
    away = {point.label for point in points if point.data != source}
    return [point for point in points if point.label in away]


def accuracy_points(rows: Iterable[Labelled]) -> list[Point]:
    """All-class accuracy of runs on their own data set."""
    found = [(row.label, row.outcome) for row in rows if row.outcome.own_data]
    return [Point(label, o.data, o.tau, o.seed, {"accuracy": o.accuracy["all"]})
            for label, o in found if "all" in o.accuracy]  # fmt: skip


def averaged(points: Iterable[Point], data: Sequence[str], column: str) -> list[Point]:
    """A point a training: its mean over the data sets, of one name; those that miss one are left.

    One model was tested on all of them, so that its accuracies are no independent draws.
    """
    runs: dict[tuple[str, float | None, int | None], dict[str, float]] = {}
    for p in points:
        if p.data in data and column in p.values:
            runs.setdefault((p.label, p.tau, p.seed), {})[p.data] = p.values[column]
    return [Point(label, "average", tau, seed, {column: fmean(found.values())})
            for (label, tau, seed), found in runs.items() if len(found) == len(data)]  # fmt: skip


def with_tau(points: Iterable[Point], tau: float | None) -> list[Point]:
    """The points of a table of one ratio, those that do not say theirs among them."""
    return [replace(point, tau=tau) for point in points]


def labels_of(points: Sequence[Point]) -> list[str]:
    """Row names, in the order of the points."""
    return list(dict.fromkeys(point.label for point in points))


def data_of(points: Sequence[Point]) -> list[str]:
    """Data sets, in the field's order."""
    return sorted({point.data for point in points}, key=data_order)
