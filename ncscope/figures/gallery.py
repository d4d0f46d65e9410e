"""Which figures a page has, in which order, and what is said about them."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncscope.diagnosis.classes import COLUMNS
from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.notes import MOST_PAIRED
from ncscope.diagnosis.training import Training, Trajectory
from ncscope.errors import DataError, NcscopeError, ShapeError
from ncscope.figures import figures
from ncscope.figures.points import Points, cluster_order, points_of, spread_classes
from ncscope.figures.projection import EXACT, finite_rows
from ncscope.figures.scene import common_limits, drawn_classes, shared_basis
from ncscope.figures.training import motion_limits
from ncscope.metrics.rows import pairwise_cosines
from ncscope.text import run_names, same_classes

_NAMED = 16  # more names than this do not fit beside a small heat map
_CELLS = 3_000_000  # bytes of heat-map cells a page may have, over all runs
_COUNTS = ("train_count", "count")
# For each plot of bars, the columns that may fill it, the best first
_BARS = (("accuracy", "ncc_accuracy"), ("cosine_centred", "nearest_cosine"), _COUNTS)


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure of a page: JSON for plotly, without title and buttons, which the page has."""

    run: str
    title: str
    caption: tuple[tuple[str | None, str], ...]  # with the form a sentence speaks of
    kind: str  # "scene", "square", "square named", "wide" or "curves": how much room it gets
    json: dict[str, Any]
    figure: Any  # the `plotly.graph_objects.Figure` itself, with its title and buttons


def plots_of(runs: Sequence[Run]) -> dict[str, list[Plot]]:
    """The figures of measured runs, by section of the page."""
    records = [run.record for run in runs]
    names = run_names(records)
    points = [points_of(run.features) for run in runs]
    shared = same_classes(records)
    return {
        "simplex": _scenes(points, names, shared=shared),
        "cosines": _heatmaps(points, names),
        "angles": _histograms(points, names) + _gaps(points, names),
        "classes": _groups(records, names) + _bars(records, names),
        "moves": _moves(records, names),
        "training": _training([run.training for run in runs], names),
    }


def _plot_of(figure: Any, run: str, kind: str) -> Plot:
    """A figure as a page has it: title, caption and buttons are the page's own."""
    content = json.loads(figure.to_json(validate=False))
    layout = content["layout"]
    meta = layout["meta"]
    for part in ("title", "updatemenus", "template", "sliders", "height"):
        layout.pop(part, None)
    layout["margin"] |= {"t": 8}
    if kind.startswith("square"):
        layout["margin"] |= {"l": 4, "r": 4, "t": 4, "b": 4}
    for frame in content.get("frames", []):  # the page has its own slider, and words beside it
        frame.pop("layout", None)
        layout.pop("annotations", None)
        layout["margin"] |= {"b": 0}
    caption = tuple((form, words) for form, words in meta.pop("caption"))
    return Plot(run, meta.pop("title"), caption, kind, content, figure)


def _scenes(points: Sequence[Points], names: Sequence[str], *, shared: bool) -> list[Plot]:
    """Up to four classes exactly; all of them on principal axes where there are more."""
    most = 2000 if len(points) <= 2 else 800
    plots = []
    exact = [_evenly(one) for one in points]
    if shared:
        exact = [exact[0] if one.vectors[exact[0]].isfinite().all() else own
                 for one, own in zip(points, exact, strict=True)]  # fmt: skip
    limits = common_limits(points, exact, [None] * len(points), max_points=most)
    for one, classes, name in zip(points, exact, names, strict=True):
        size = len(one.names)
        title = "All classes" if size <= EXACT else f"{len(classes)} classes"
        figure = figures.simplex(one, classes=classes, max_points=most, limits=limits, title=title)
        plots.append(_plot_of(figure, name, "scene"))
    if any(len(one.names) > EXACT for one in points):
        plots += _overviews(points, names, most, shared=shared)
    return plots


def _overviews(
    points: Sequence[Points], names: Sequence[str], most: int, *, shared: bool
) -> list[Plot]:
    """All classes of every run; on axes fitted to all runs together where they can be."""
    drawn = [drawn_classes(one, "all") for one in points]
    together = shared and len(points) > 1 and all(classes == drawn[0] for classes in drawn)
    basis = shared_basis(points, drawn[0]) if together else None
    limits = None
    if together:
        limits = common_limits(points, drawn, [basis] * len(points), max_points=most)
    plots = []
    for one, name in zip(points, names, strict=True):
        figure = figures.simplex(
            one, classes="all", max_points=most, basis=basis, limits=limits, title="All classes"
        )
        plots.append(_plot_of(figure, name, "scene"))
    return plots


def _evenly(points: Points) -> list[int]:
    """Up to four drawable classes, evenly spaced through the class list."""
    drawable = drawn_classes(points, "all")
    return [drawable[place] for place in spread_classes(len(drawable), EXACT)]


def _heatmaps(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    side = min(200, int((_CELLS / (len(points) * 3 * 2 * 5.4)) ** 0.5))
    plots = []
    for one, name in zip(points, names, strict=True):
        if len(one.names) > MOST_PAIRED:
            continue
        order = cluster_order(_cosines(one.vectors, one.vectors, centred=False))
        for title, rows, columns in (
            ("Text × text", one.text, one.text),
            ("Class means × class means", one.means, one.means),
            ("Text × class means", one.text, one.means),
        ):
            if rows is None or columns is None:
                continue
            figure = figures.cosine_heatmap(
                _cosines(rows, columns, centred=False), one.names, title=title, order=order,
                centred=_cosines(rows, columns, centred=True), own_pairs=rows is not columns,
                most=side,
            )  # fmt: skip
            figure.update_traces(showscale=False)  # one scale for all stands above them
            figure.update_xaxes(showticklabels=False)  # they would repeat the rows' names
            named = len(one.names) <= _NAMED
            figure.update_yaxes(showticklabels=named)
            plots.append(_plot_of(figure, name, "square named" if named else "square"))
    return plots


def _histograms(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    plots = []
    for one, name in zip(points, names, strict=True):
        if len(one.names) > MOST_PAIRED:
            continue
        sides = {"text": one.text, "class means": one.means}
        series = [
            {
                side: _cosines(rows, rows, centred=centred)
                for side, rows in sides.items()
                if rows is not None
            }
            for centred in (False, True)
        ]
        figure = figures.angle_histogram(
            series[0], len(one.names), centred=series[1], title="Distribution over pairs"
        )
        plots.append(_plot_of(figure, name, "wide"))
    return plots


def _cosines(rows: Tensor, columns: Tensor, *, centred: bool) -> Tensor:
    """(K, K) cosines over the classes that both sides have; NaN for the others."""
    there = (rows.isfinite().all(dim=1) & columns.isfinite().all(dim=1)).nonzero().flatten()
    found = torch.full((len(rows), len(rows)), float("nan"), dtype=torch.float64)
    kept = pairwise_cosines(finite_rows(rows[there]), finite_rows(columns[there]), centred=centred)
    found[there[:, None], there] = kept
    return found


def _gaps(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    """The line through both centres, of the runs that have two."""
    plots = []
    for one, name in zip(points, names, strict=True):
        if one.text is not None and one.means is not None:
            with suppress(ShapeError):  # one centre: no gap to draw
                plots.append(_plot_of(figures.modality_gap(one), name, "wide"))
    return plots


def _groups(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """Head, medium and tail of all runs in one figure, where some run has them."""
    grouped = [(r, name) for r, name in zip(records, names, strict=True) if r["groups"]]
    kept = [(r, name) for r, name in grouped if any((r["groups"] or {}).values())]
    for measure in ("accuracy", "ncc_accuracy", "delta_lcd_centred"):
        with suppress(DataError):  # no run has a value of it
            figure = figures.group_accuracy(
                [record for record, _ in kept], [name for _, name in kept], measure=measure
            )
            return [_plot_of(figure, kept[0][1], "wide")]
    return []


def _bars(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """Accuracy, match and frequency of each run's classes; of many runs the first of them only."""
    plots = []
    for record, name in zip(records, names, strict=True):
        shown = [
            found
            for choices in _BARS
            if (found := next((key for key in choices if _differs(record, key)), None))
        ]
        for measure in shown if len(records) <= 2 else shown[:1]:
            words = COLUMNS[measure].title
            title = words[0].upper() + words[1:]
            figure = figures.per_class_bars(record, measure=measure, title=title)
            plots.append(_plot_of(figure, name, "wide"))
    return plots


def _moves(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """A curve a move, of the runs that were moved."""
    plots = []
    for record, name in zip(records, names, strict=True):
        with suppress(DataError):  # not moved
            plots.append(_plot_of(figures.move_curves(record), name, "wide"))
    return plots


def _differs(record: dict[str, Any], measure: str) -> bool:
    """Whether a column has values; counts only say something where they are not all the same."""
    values = [row[measure] for row in record["per_class"] if row.get(measure) is not None]
    return bool(values) and (measure not in _COUNTS or len(set(values)) > 1)


def _training(trainings: Sequence[Training | None], names: Sequence[str]) -> list[Plot]:
    """Motions of all runs first, side by side, then their curves; nothing for runs without."""
    plots = _motions(
        [
            (one.trajectory, name)
            for one, name in zip(trainings, names, strict=True)
            if one is not None and one.trajectory is not None and len(one.trajectory.names) > 1
        ]
    )
    for one, name in zip(trainings, names, strict=True):
        if one is not None and one.log is not None:
            try:
                figure = figures.training_curves(one.log, title="Curves")
            except NcscopeError:  # a log of other things is no reason to have no page
                continue
            plots.append(_plot_of(figure, name, "curves"))
    return plots


def _motions(moved: Sequence[tuple[Trajectory, str]]) -> list[Plot]:
    """The simplex view over the steps of each run, all at one scale."""
    chosen = [spread_classes(len(one.names), EXACT) for one, _ in moved]
    each = [motion_limits(one, classes=own) for (one, _), own in zip(moved, chosen, strict=True)]
    limits = {form: max(own[form] for own in each) for form in ("centred", "raw")} if each else {}
    plots = []
    for (one, name), classes in zip(moved, chosen, strict=True):
        title = f"{len(classes)} classes over the training"
        figure = figures.simplex_motion(one, classes=classes, limits=limits, title=title)
        plots.append(_plot_of(figure, name, "scene"))
    return plots
