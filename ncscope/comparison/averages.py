"""Means over seeds and data sets, with what is missing said."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ncscope.comparison.rows import Point, data_of, labels_of
from ncscope.metrics.accuracy import harmonic_mean


@dataclass(frozen=True)
class Mean:
    """A mean and the sample standard deviation over seeds; None with fewer than two seeds."""

    value: float
    deviation: float | None


def over_seeds(points: Sequence[Point], column: str) -> Mean | None:
    """Mean of a column over the seeds of one row and data set; None without a value.

    H is that of the mean base and the mean new accuracy, so that a printed row is consistent; its
    deviation is that of the seeds' own H.
    """
    values = [point.values[column] for point in points if column in point.values]
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    if column != "h":
        return Mean(statistics.fmean(values), deviation)
    whole = [point.values for point in points if "h" in point.values]
    base, new = (statistics.fmean(v[split] for v in whole) for split in ("base", "new"))
    return Mean(harmonic_mean(base, new), deviation)


def complete_data(points: Sequence[Point], columns: Sequence[str]) -> list[str]:
    """The data sets on which every row has every column; rows that have it nowhere do not count."""
    whole = {(p.label, p.data) for p in points if all(column in p.values for column in columns)}
    rows = {label for label, _ in whole}
    return [data for data in data_of(points) if rows and all((row, data) in whole for row in rows)]


def over_data(points: Sequence[Point], data: Sequence[str], column: str) -> Mean | None:
    """Mean over data sets of the means over seeds, for one row; None if a data set is missing.

    The deviation is over the seeds that every data set has, each seed's mean over data sets.
    H is that of the two averages ("H of the averages").
    """
    cells = [[p for p in points if p.data == name] for name in data]
    if not cells or not all(any(column in p.values for p in cell) for cell in cells):
        return None
    if column == "h":
        both = [point for point in points if "h" in point.values]
        base, new = over_data(both, data, "base"), over_data(both, data, "new")
        assert base is not None
        assert new is not None
        seeds = _by_seed(cells, ("base", "new"))
        found = [harmonic_mean(*(statistics.fmean(column) for column in zip(*s, strict=True)))
                 for s in seeds]  # fmt: skip
        value = harmonic_mean(base.value, new.value)
    else:
        means = [over_seeds(cell, column) for cell in cells]
        value = statistics.fmean(mean.value for mean in means if mean is not None)
        found = [statistics.fmean(v for (v,) in seed) for seed in _by_seed(cells, (column,))]
    return Mean(value, statistics.stdev(found) if len(found) > 1 else None)


def mean_of_h(points: Sequence[Point], data: Sequence[str]) -> Mean | None:
    """The other average: the mean over data sets of each data set's H."""
    found = [over_seeds([p for p in points if p.data == name], "h") for name in data]
    values = [mean.value for mean in found if mean is not None]
    if not data or len(values) < len(data):
        return None
    return Mean(statistics.fmean(values), None)


def notes_on(points: Sequence[Point], data: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Which cells are missing, over which data sets averages go, and how many seeds there are."""
    labels, everywhere = labels_of(points), data_of(points)
    missing = [what for label in labels for name in everywhere
               if (what := _missing(points, label, name, columns))]  # fmt: skip
    notes = [f"Missing: {listed(missing)}."] if missing else []
    if len(everywhere) > 1:
        which = "all" if len(data) == len(everywhere) else f"{len(data)} of"
        over = f"Averages are over {which} {len(everywhere)} data sets"
        notes.append(f"{over}." if len(data) == len(everywhere) else
                     f"{over}, those that no row misses: {', '.join(data) or 'none'}.")  # fmt: skip
    uneven = missing_seeds(points)
    if uneven:
        notes.append(f"Seeds missing: {listed(uneven)}; no best is marked where means are over "
                     f"other seeds than another row's.")  # fmt: skip
    return [*notes, *_seeds(points, labels)]


def missing_seeds(points: Sequence[Point]) -> list[str]:
    """Cells that lack seeds which another row has on the same data set; rows without seeds aside.

    Their means are not to be compared: a hard seed may be missing.
    """
    cells: dict[tuple[str, str], set[int | None]] = {}
    for p in points:
        cells.setdefault((p.label, p.data), set()).add(p.seed)
    seeded = {cell: seeds for cell, seeds in cells.items() if None not in seeds}
    found: dict[tuple[str, str], list[str]] = {}  # data sets, by row and what it lacks there
    for (label, data), seeds in seeded.items():
        there = set[int | None]().union(*(s for (_, name), s in seeded.items() if name == data))
        if lacking := ", ".join(map(str, sorted(there - seeds, key=str))):
            found.setdefault((label, lacking), []).append(data)
    return [f"{label} on {listed(data, 4)} (seed {lacking})"
            for (label, lacking), data in found.items()]  # fmt: skip


def _missing(points: Sequence[Point], label: str, data: str, columns: Sequence[str]) -> str:
    """A cell that is missing, or the accuracies of it that are; empty where nothing is."""
    here = [p.values for p in points if p.label == label and p.data == data]
    lacking = [c for c in columns if c != "h" and not any(c in values for values in here)]
    if not lacking:
        return ""
    return f"{label} on {data}" + (f" ({', '.join(lacking)})" if here else "")


def _by_seed(
    cells: Sequence[Sequence[Point]], columns: Sequence[str]
) -> list[list[tuple[float, ...]]]:
    """For each seed that all data sets have, its values on each."""
    tables = [{p.seed: tuple(p.values[c] for c in columns) for p in cell
               if all(c in p.values for c in columns)} for cell in cells]  # fmt: skip
    shared = set.intersection(*(set(table) for table in tables))
    return [[table[seed] for table in tables] for seed in sorted(shared, key=str)]


def _seeds(points: Sequence[Point], labels: Sequence[str]) -> list[str]:
    counts: Mapping[str, set[int]] = {
        label: {sum(p.label == label and p.data == data for p in points)
                for data in {p.data for p in points if p.label == label}}
        for label in labels
    }  # fmt: skip
    found = {label: sorted(count) for label, count in counts.items()}
    if all(count == [1] for count in found.values()):
        return ["One seed a cell: no deviations."]
    if len({tuple(count) for count in found.values()}) == 1 and len(found[labels[0]]) == 1:
        return [f"± is the standard deviation over {found[labels[0]][0]} seeds (n − 1)."]
    each = "; ".join(f"{label} {'–'.join(str(n) for n in (c[0], c[-1])[: len(c)])}"
                     for label, c in found.items())  # fmt: skip
    return [f"± is the standard deviation over seeds (n − 1); seeds a cell: {each}."]


def listed(items: Sequence[str], most: int = 12) -> str:
    """The first items, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
