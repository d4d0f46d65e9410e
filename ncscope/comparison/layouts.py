"""Tables as the field prints them, and which of them a set of runs gives, each with its tests.

They are base-to-new, cross-dataset, domain generalisation and ablation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ncscope.comparison.averages import (
    Mean,
    complete_data,
    mean_of_h,
    missing_seeds,
    notes_on,
    over_data,
    over_seeds,
)
from ncscope.comparison.paired import versus
from ncscope.comparison.rows import (
    ACCURACY,
    BASE_TO_NEW,
    SPLIT_WORDS,
    Labelled,
    Point,
    accuracy_points,
    at_tau,
    averaged,
    base_to_new_points,
    data_of,
    labels_of,
    sources,
    tau_words,
    taus,
    transfer_points,
    with_tau,
)
from ncscope.comparison.table import Cell, Table, mark_best, percent
from ncscope.diagnosis.outcome import short_names

Layout = Literal["auto", "base-to-new", "cross-dataset", "domain", "ablation", "measures"]
H_NOTE = (
    "H = 2BN/(B + N). The average row's H is H of the averages, as published tables have it; "
    "mean of H is the mean over data sets of each one's H."
)
_Row = tuple[str, tuple[Cell, ...]]
_Both = tuple[list[Table], list[Table]]  # tables and their tests
_HEADS = {"base": "base", "new": "new", "h": "H"}
_TITLES = {"cross-dataset": "Cross-dataset", "domain": "Domain generalisation"}


def base_to_new(points: Sequence[Point], *, when: str = "") -> list[Table]:
    """Base, new and H: averages over data sets first, then a table a data set.

    Args:
        when: what the points have in common, for the titles: "tau = 0.05".
    """
    labels, data = labels_of(points), data_of(points)
    tables = []
    whole = complete_data(points, BASE_TO_NEW)
    notes = tuple(notes_on(points, whole if len(data) > 1 else data, BASE_TO_NEW))
    if len(data) > 1 and whole:
        rows = []
        for label in labels:
            mine = [p for p in points if p.label == label]
            cells = [_cell(over_data(mine, whole, column)) for column in BASE_TO_NEW]
            rows.append((label, (*cells, _cell(mean_of_h(mine, whole)))))
        some = "" if len(whole) == len(data) else f"{len(whole)} of "
        title = f"Base to new{when}: average over {some}{len(data)} data sets"
        heads = ("", "base", "new", "H of averages", "mean of H")
        marked = _marked(rows, points)
        tables.append(Table(title, heads, marked, notes, "base-to-new", "average"))
    names = short_names(data)
    for name in data:
        rows = []
        for label in labels:
            mine = [p for p in points if p.label == label and p.data == name]
            rows.append((label, tuple(_cell(over_seeds(mine, column)) for column in BASE_TO_NEW)))
        heads = ("", *(_HEADS[column] for column in BASE_TO_NEW))
        marked = _marked(rows, [p for p in points if p.data == name])
        said = () if tables else notes  # once, with the first table
        title = f"Base to new{when}: {names[name]}"
        tables.append(Table(title, heads, marked, said, "base-to-new", name))
    return tables


def transfer(
    points: Sequence[Point], *, source: str | None, title: str, kind: str = "accuracy",
    when: str = "",
) -> list[Table]:  # fmt: skip
    """One row a method, one column a data set, and their average, without the source's column."""
    if not points:
        return []
    labels = labels_of(points)
    targets = [name for name in data_of(points) if name != source]
    away = [point for point in points if point.data != source]
    whole = complete_data(away, ACCURACY)
    columns = [*([source] if any(p.data == source for p in points) else []), *targets]
    rows = []
    for label in labels:
        mine = [p for p in points if p.label == label]
        cells = [_cell(over_seeds([p for p in mine if p.data == name], "accuracy"))
                 for name in columns if name is not None]  # fmt: skip
        if len(targets) > 1:
            cells.append(_cell(over_data(mine, whole, "accuracy")))
        rows.append((label, tuple(cells)))
    names = short_names([name for name in columns if name is not None])
    heads = ("", *(names[name] + (" (source)" if name == source else "")
                   for name in columns if name is not None))  # fmt: skip
    if len(targets) > 1:
        heads += ("average" if len(whole) == len(targets) else f"average of {len(whole)}",)
    said = notes_on(away, whole, ACCURACY)
    if source is not None and len(targets) > 1:
        said.insert(0, "The average leaves the source out.")
    return [Table(f"{title}{when}", heads, _marked(rows, away), tuple(said), kind)]


def ablation(rows: Sequence[Labelled], *, when: str = "") -> list[Table]:
    """One row a setting: averages of base, new and H, and of each source's transfer, if any."""
    points = base_to_new_points(rows)
    whole = complete_data(points, BASE_TO_NEW)
    heads = ["", *(("base", "new", "H of averages") if points else ())]
    notes = notes_on(points, whole, BASE_TO_NEW) if points else []
    labels = list(dict.fromkeys(row.label for row in rows))
    columns: list[list[Cell]] = []
    compared = list(points)
    for label in labels:
        mine = [p for p in points if p.label == label]
        cells = [_cell(over_data(mine, whole, column)) for column in BASE_TO_NEW]
        columns.append(cells if points else [])
    for source, split in sources(rows):
        for kind, domains in (("cross-dataset", False), ("domain", True)):
            found = [p for p in transfer_points(rows, source, split, domains=domains)
                     if p.data != source]  # fmt: skip
            if not found:
                continue
            there = complete_data(found, ACCURACY)
            several = f" from {source}" if len(sources(rows)) > 1 else ""
            heads.append(kind + several)
            compared += found
            for label, cells in zip(labels, columns, strict=True):
                mine = [p for p in found if p.label == label]
                cells.append(_cell(over_data(mine, there, "accuracy")))
            notes += [f"{kind}{several}: {note}" for note in notes_on(found, there, ACCURACY)]
    body = [(label, tuple(cells)) for label, cells in zip(labels, columns, strict=True)]
    body = [(label, cells) for label, cells in body if any(c.value is not None for c in cells)]
    marked = _marked(body, compared)
    if not body:
        return []
    return [Table(f"Ablation{when}", tuple(heads), marked, tuple(notes), "ablation", "average")]


def _marked(rows: Sequence[_Row], points: Sequence[Point]) -> tuple[_Row, ...]:
    """The best of each column in bold, unless rows have other seeds than another."""
    return tuple(rows) if missing_seeds(points) else mark_best(rows)


def _cell(mean: Mean | None) -> Cell:
    return percent(None) if mean is None else percent(mean.value, mean.deviation)


@dataclass(frozen=True)
class _Tests:
    """What rows are tested against, and the seed of the intervals."""

    baseline: str | None
    seed: int

    def of(self, points: Sequence[Point], columns: Sequence[str], title: str) -> list[Table]:
        """One table, or none without a baseline among the points."""
        if self.baseline is None or self.baseline not in labels_of(points):
            return []
        table = versus(points, columns, self.baseline, title=title, seed=self.seed)
        return [] if table is None else [table]


def build_tables(
    rows: Sequence[Labelled], *, layout: Layout, baseline: str | None, seed: int
) -> tuple[list[Table], list[Table]]:
    """The tables of each tau in turn, and those of them that are tests.

    With several tau, tests of base to new over all that the baseline has, too.
    """
    tests = _Tests(baseline, seed)
    tables: list[Table] = []
    tested: list[Table] = []
    ratios = taus(rows)
    for tau in ratios:
        for found, against in _of_one_tau(at_tau(rows, tau), layout, tests, tau):
            tables += [replace(table, tau=tau) for table in (*found, *against)]
            tested += against
    if baseline is not None and layout in ("auto", "base-to-new"):
        points = base_to_new_points(rows)
        shared = [t for t in ratios if any(p.label == baseline and p.tau == t for p in points)]
        if len(shared) > 1:
            which = "all tau" if len(shared) == len(ratios) else f"tau {tau_words(shared, ' and ')}"
            here = [p for p in points if p.tau in (None, *shared)]
            over_all = tests.of(here, BASE_TO_NEW, f"Base to new, {which}")
            tables += over_all
            tested += over_all
    return tables, tested


def _of_one_tau(
    rows: Sequence[Labelled], layout: Layout, tests: _Tests, tau: float | None
) -> list[_Both]:
    """Tables and their tests, layout by layout."""
    found: list[_Both] = []
    when = _when(rows, tau)
    points = with_tau(base_to_new_points(rows), tau)
    against = tests.of(points, BASE_TO_NEW, f"Base to new{when}")
    halves = any("h" in point.values for point in points)
    if points and (layout == "base-to-new" or (layout == "auto" and halves)):
        found.append((base_to_new(points, when=when), against))
    for kind in ("cross-dataset", "domain"):
        if layout in ("auto", kind):
            found += _transfers(rows, kind, tests, tau)
    plain = with_tau(accuracy_points(_not_sources(rows)), tau)
    if layout == "auto" and plain:
        tables = transfer(plain, source=None, title="Accuracy, all classes", when=when)
        found.append((tables, tests.of(plain, ACCURACY, f"Accuracy{when}")))
    if layout == "auto" and points and not found:
        there = [split for split in ("base", "new") if any(split in p.values for p in points)]
        if len(there) > 1:  # in other rows
            found.append((base_to_new(points, when=when), against))
        else:
            found.append(_of_half(points, there[0], when, tests))
    several = len({row.label for row in rows}) > len({row.outcome.name for row in rows})
    if layout == "ablation" or (layout == "auto" and several):
        found.append((ablation(rows, when=when), against if layout == "ablation" else []))
    return found


def _of_half(points: Sequence[Point], split: str, when: str, tests: _Tests) -> _Both:
    """Where all rows have the base classes' accuracy alone, or the new ones'."""
    plain = [replace(p, values={"accuracy": p.values[split]}) for p in points]
    title = f"Accuracy, {SPLIT_WORDS[split]}"
    tables = transfer(plain, source=None, title=title, when=when)
    return tables, tests.of(plain, ACCURACY, f"{title}{when}")


def _not_sources(rows: Sequence[Labelled]) -> list[Labelled]:
    """Rows of data sets that no transfer table is from; none if nothing was trained on them."""
    shown = {source for source, _ in sources(rows)}
    left = [row for row in rows if row.outcome.trained_on not in shown]
    return left if not shown or any(row.outcome.trained_on for row in left) else []


def _transfers(
    rows: Sequence[Labelled], kind: str, tests: _Tests, tau: float | None
) -> list[_Both]:
    found: list[_Both] = []
    when = _when(rows, tau)
    for source, split in sources(rows):
        tested_on = transfer_points(rows, source, split, domains=kind == "domain")
        points = with_tau(tested_on, tau)
        title = f"{_TITLES[kind]} from {short_names([source])[source]} ({split} classes)"
        tables = transfer(points, source=source, title=title, kind=kind, when=when)
        away = [point for point in points if point.data != source]
        whole = complete_data(away, ACCURACY)
        means = averaged(away, whole, "accuracy")
        found.append((tables, tests.of(means, ACCURACY, f"{title}{when}, averages")))
    return found


def _when(rows: Sequence[Labelled], tau: float | None) -> str:
    """The ratio for a title, with the realised one where it is another."""
    if tau is None:
        return ""
    realised = [row.outcome.realised_tau for row in rows]
    apart = sorted(value for value in realised if value is not None and abs(value - tau) > 5e-4)
    if not apart:
        return f", tau = {tau:g}"
    low, high = f"{apart[0]:.3g}", f"{apart[-1]:.3g}"
    return f", tau = {tau:g} (realised {low if low == high else f'{low} to {high}'})"
