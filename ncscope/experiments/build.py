"""Which tables a set of runs gives: every layout for which there are runs, each with its tests."""

from collections.abc import Sequence

from ncscope.experiments import layouts
from ncscope.experiments import points as pts
from ncscope.experiments.layouts import Layout
from ncscope.experiments.outcome import short_names
from ncscope.experiments.points import Point
from ncscope.experiments.rows import Labelled
from ncscope.experiments.table import Table
from ncscope.experiments.versus import versus


def build_tables(
    rows: Sequence[Labelled], *, layout: Layout, baseline: str | None, seed: int
) -> list[Table]:
    """The tables of each tau in turn; with several, tests of base to new over all of them, too."""
    tables, ratios = [], pts.taus(rows)
    for tau in ratios:
        here = pts.at_tau(rows, tau)
        tables += _of_one_tau(here, layout, baseline, _when(here, tau), seed)
    if len(ratios) > 1 and layout in ("auto", "base-to-new"):
        points = pts.base_to_new_points(rows)
        tables += _tests(points, pts.BASE_TO_NEW, baseline, "Base to new, all tau", seed)
    return tables


def _of_one_tau(
    rows: Sequence[Labelled], layout: Layout, baseline: str | None, when: str, seed: int
) -> list[Table]:
    tables: list[Table] = []
    points = pts.base_to_new_points(rows)
    if layout in ("auto", "base-to-new") and any("h" in point.values for point in points):
        tables += layouts.base_to_new(points, when=when)
        tables += _tests(points, pts.BASE_TO_NEW, baseline, f"Base to new{when}", seed)
    if layout in ("auto", "cross-dataset"):
        tables += _transfers(rows, "Cross-dataset", baseline, when, seed, domains=False)
    if layout in ("auto", "domain"):
        tables += _transfers(rows, "Domain generalisation", baseline, when, seed, domains=True)
    plain = pts.accuracy_points(rows)
    if layout == "auto" and plain and not pts.sources(rows):
        tables += layouts.transfer(plain, source=None, title="Accuracy, all classes", when=when)
        tables += _tests(plain, pts.ACCURACY, baseline, f"Accuracy{when}", seed)
    several = len({row.label for row in rows}) > len({row.outcome.name for row in rows})
    if layout == "ablation" or (layout == "auto" and several):
        tables += layouts.ablation(rows, when=when)
    return tables


def _transfers(
    rows: Sequence[Labelled], kind: str, baseline: str | None, when: str, seed: int, *,
    domains: bool,
) -> list[Table]:  # fmt: skip
    tables: list[Table] = []
    for source, split in pts.sources(rows):
        points = pts.transfer_points(rows, source, split, domains=domains)
        title = f"{kind} from {short_names([source])[source]} ({split} classes)"
        tables += layouts.transfer(points, source=source, title=title, when=when)
        away = [point for point in points if point.data != source]
        tables += _tests(away, pts.ACCURACY, baseline, f"{title}{when}", seed)
    return tables


def _tests(
    points: Sequence[Point], columns: Sequence[str], baseline: str | None, title: str, seed: int
) -> list[Table]:
    if baseline is None or baseline not in pts.labels_of(points):
        return []
    table = versus(points, columns, baseline, title=title, seed=seed)
    return [] if table is None else [table]


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
