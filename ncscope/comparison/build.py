"""Which tables a set of runs gives: every layout for which there are runs, each with its tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ncscope.comparison import layouts
from ncscope.comparison import points as pts
from ncscope.comparison.averages import complete_data
from ncscope.comparison.layouts import Layout
from ncscope.comparison.points import Point
from ncscope.comparison.rows import Labelled
from ncscope.comparison.table import Table
from ncscope.comparison.versus import versus
from ncscope.diagnosis.outcome import short_names


@dataclass(frozen=True)
class Tests:
    """What rows are tested against, and the seed of the intervals."""

    baseline: str | None
    seed: int

    def of(self, points: Sequence[Point], columns: Sequence[str], title: str) -> list[Table]:
        """One table, or none without a baseline among the points."""
        if self.baseline is None or self.baseline not in pts.labels_of(points):
            return []
        table = versus(points, columns, self.baseline, title=title, seed=self.seed)
        return [] if table is None else [table]


def build_tables(
    rows: Sequence[Labelled], *, layout: Layout, baseline: str | None, seed: int
) -> tuple[list[Table], list[Table]]:
    """The tables of each tau in turn, and those of them that are tests.

    With several tau, tests of base to new over all that the baseline has, too.
    """
    tests = Tests(baseline, seed)
    tables: list[Table] = []
    tested: list[Table] = []
    ratios = pts.taus(rows)
    for tau in ratios:
        for found, against in _of_one_tau(pts.at_tau(rows, tau), layout, tests, tau):
            tables += [replace(table, tau=tau) for table in (*found, *against)]
            tested += against
    if baseline is not None and layout in ("auto", "base-to-new"):
        points = pts.base_to_new_points(rows)
        shared = [t for t in ratios if any(p.label == baseline and p.tau == t for p in points)]
        if len(shared) > 1:
            which = "all tau" if len(shared) == len(ratios) else f"tau {_listed(shared)}"
            here = [p for p in points if p.tau in (None, *shared)]
            over_all = tests.of(here, pts.BASE_TO_NEW, f"Base to new, {which}")
            tables += over_all
            tested += over_all
    return tables, tested


_Both = tuple[list[Table], list[Table]]


def _of_one_tau(
    rows: Sequence[Labelled], layout: Layout, tests: Tests, tau: float | None
) -> list[_Both]:
    """Tables and their tests, layout by layout."""
    found: list[_Both] = []
    when = _when(rows, tau)
    points = pts.with_tau(pts.base_to_new_points(rows), tau)
    against = tests.of(points, pts.BASE_TO_NEW, f"Base to new{when}")
    halves = any("h" in point.values for point in points)
    if points and (layout == "base-to-new" or (layout == "auto" and halves)):
        found.append((layouts.base_to_new(points, when=when), against))
    for kind in ("cross-dataset", "domain"):
        if layout in ("auto", kind):
            found += _transfers(rows, kind, tests, tau)
    plain = pts.with_tau(pts.accuracy_points(_not_sources(rows)), tau)
    if layout == "auto" and plain:
        tables = layouts.transfer(plain, source=None, title="Accuracy, all classes", when=when)
        found.append((tables, tests.of(plain, pts.ACCURACY, f"Accuracy{when}")))
    if layout == "auto" and points and not found:  # of base or of new classes only
        found.append((layouts.base_to_new(points, when=when), against))
    several = len({row.label for row in rows}) > len({row.outcome.name for row in rows})
    if layout == "ablation" or (layout == "auto" and several):
        found.append((layouts.ablation(rows, when=when), against if layout == "ablation" else []))
    return found


def _not_sources(rows: Sequence[Labelled]) -> list[Labelled]:
    """Rows of data sets that no transfer table is from; none if nothing was trained on them."""
    shown = {source for source, _ in pts.sources(rows)}
    left = [row for row in rows if row.outcome.trained_on not in shown]
    return left if not shown or any(row.outcome.trained_on for row in left) else []


_TITLES = {"cross-dataset": "Cross-dataset", "domain": "Domain generalisation"}


def _transfers(rows: Sequence[Labelled], kind: str, tests: Tests, tau: float | None) -> list[_Both]:
    found: list[_Both] = []
    when = _when(rows, tau)
    for source, split in pts.sources(rows):
        tested_on = pts.transfer_points(rows, source, split, domains=kind == "domain")
        points = pts.with_tau(tested_on, tau)
        title = f"{_TITLES[kind]} from {short_names([source])[source]} ({split} classes)"
        tables = layouts.transfer(points, source=source, title=title, kind=kind, when=when)
        away = [point for point in points if point.data != source]
        whole = complete_data(away, pts.ACCURACY)
        means = pts.averaged(away, whole, "accuracy")
        found.append((tables, tests.of(means, pts.ACCURACY, f"{title}{when}, averages")))
    return found


def _listed(ratios: Sequence[float | None]) -> str:
    return " and ".join(f"{ratio:g}" for ratio in ratios if ratio is not None)


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
