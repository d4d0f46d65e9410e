"""Which figures a page has, in which order."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ncscope.diagnosis.against import reference_place
from ncscope.diagnosis.classes import COLUMNS
from ncscope.diagnosis.measure import Run
from ncscope.errors import DataError
from ncscope.figures.bars import bar_parts, group_parts
from ncscope.figures.dumbbells import change_parts
from ncscope.figures.moves import move_parts
from ncscope.figures.order import common_ranks
from ncscope.figures.page_pairs import gaps, heatmaps, histograms
from ncscope.figures.page_scenes import scenes, training_plots
from ncscope.figures.plot import Plot, plot_of
from ncscope.figures.points import Points, points_of
from ncscope.text import run_names, same_classes

_COUNTS = ("train_count", "count")
# For each plot of bars, the columns that may fill it, the best first
_BARS = (("accuracy", "ncc_accuracy"), ("cosine_centred", "nearest_cosine"), _COUNTS)


def plots_of(runs: Sequence[Run], points: Sequence[Points] | None = None) -> dict[str, list[Plot]]:
    """The figures of measured runs, by section of the page; `points` where they are known."""
    records = [run.record for run in runs]
    names = run_names(records)
    points = [points_of(run.features) for run in runs] if points is None else points
    shared = same_classes(records)
    first = reference_place(records)
    ranks = common_ranks(points, first)
    return {
        "simplex": scenes(points, names, ranks, shared=shared, first=first),
        "cosines": heatmaps(points, names, ranks, shared=shared, first=first),
        "angles": histograms(points, names) + gaps(points, names),
        "classes": _dumbbells(records, names) + _groups(records, names) + _bars(records, names),
        "moves": _moves(records, names),
        "training": training_plots([run.training for run in runs], names),
    }


def _dumbbells(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """The classes that differ most from the reference, where there is one; then all, if few."""
    plots = []
    for most, tab in ((10, "Ten most changed"), (100, "All classes")):
        with suppress(DataError):  # no reference, or no class in common
            parts = change_parts(records, names, most=most, title=tab)
            plots.append(plot_of(parts, "", "tall", tab=tab))
    if len(plots) == 2 and len(plots[0].json["layout"]["meta"]["rows"]) < 10:
        return [replace(plots[1], title="Each class beside the reference", tab=None)]
    return plots


def _groups(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """Head, medium and tail of all runs in one figure, where some run has them."""
    grouped = [(r, name) for r, name in zip(records, names, strict=True) if r["groups"]]
    kept = [(r, name) for r, name in grouped if any((r["groups"] or {}).values())]
    for measure in ("accuracy", "ncc_accuracy", "delta_lcd_centred"):
        with suppress(DataError):  # no run has a value of it
            parts = group_parts(
                [record for record, _ in kept],
                [name for _, name in kept],
                measure=measure,
                title="Head, medium and tail",
            )
            return [plot_of(parts, "", "wide")]
    return []


def _bars(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """Accuracy, match and frequency of one run's classes; of several those of the run chosen."""
    plots = []
    for place, (record, name) in enumerate(zip(records, names, strict=True)):
        shown = [
            found
            for choices in _BARS
            if (found := next((key for key in choices if _differs(record, key)), None))
        ]
        for measure in shown if len(records) == 1 else shown[:1]:
            words = COLUMNS[measure].title
            title = words[0].upper() + words[1:]
            parts = bar_parts(record, measure=measure, title=title)
            plots.append(plot_of(parts, name, "wide", place=place, chosen=len(records) > 1))
    return plots


def _moves(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """A curve a move, of the runs that were moved."""
    plots = []
    for place, (record, name) in enumerate(zip(records, names, strict=True)):
        with suppress(DataError):  # not moved
            parts = move_parts(record, title="What if")
            plots.append(plot_of(parts, name, "wide", place=place, chosen=len(records) > 1))
    return plots


def _differs(record: dict[str, Any], measure: str) -> bool:
    """Whether a column has values; counts only say something where they are not all the same."""
    values = [row[measure] for row in record["per_class"] if row.get(measure) is not None]
    return bool(values) and (measure not in _COUNTS or len(set(values)) > 1)
