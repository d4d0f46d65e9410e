"""Which figures a page has, in which order, and what is said about them.

K classes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncscope.metrics.rows import pairwise_cosines
from ncscope.report import figures
from ncscope.report.axes import EXACT
from ncscope.report.columns import COLUMNS
from ncscope.report.headings import run_names, same_classes
from ncscope.report.matrices import cluster_order
from ncscope.report.points import Points, points_of, spread_classes
from ncscope.report.projection import Basis, finite_rows, project
from ncscope.report.scene import drawn_classes, shared_basis, view_limit

NAMED = 16  # more names than this do not fit beside a small heat map
CELLS = 3_000_000  # bytes of heat-map cells a page may have, over all runs


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure of a page: JSON for plotly, without title and buttons, which the page has."""

    run: str
    title: str
    caption: tuple[tuple[str | None, str], ...]  # with the form a sentence speaks of
    kind: str  # "scene", "square", "square named" or "wide": how much room it gets
    json: dict[str, Any]


def plots_of(report: Any) -> dict[str, list[Plot]]:
    """The figures of a `ncscope.report.measure.Report`, by section of the page."""
    records = [run.record for run in report.runs]
    names = run_names(records)
    points = [points_of(run.features) for run in report.runs]
    shared = same_classes(records)
    return {
        "simplex": _scenes(points, names, shared=shared),
        "cosines": _heatmaps(points, names),
        "angles": _histograms(points, names),
        "classes": _bars(records, names),
    }


def _scenes(points: Sequence[Points], names: Sequence[str], *, shared: bool) -> list[Plot]:
    """Up to four classes exactly; all of them on principal axes where there are more."""
    most = 2000 if len(points) <= 2 else 800
    plots = []
    exact = [_evenly(one) for one in points]
    if shared:
        exact = [exact[0] if _all_drawable(one, exact[0]) else own
                 for one, own in zip(points, exact, strict=True)]  # fmt: skip
    limits = _limits(points, exact, [None] * len(points), most)
    for one, classes, name in zip(points, exact, names, strict=True):
        size = len(one.names)
        title = "All classes" if size <= EXACT else f"{len(classes)} classes"
        figure = figures.simplex(one, classes=classes, max_points=most, limits=limits, title=title)
        plots.append(_plot(figure, name, "scene"))
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
    limits = _limits(points, drawn, [basis] * len(points), most) if together else None
    plots = []
    for one, name in zip(points, names, strict=True):
        figure = figures.simplex(
            one, classes="all", max_points=most, basis=basis, limits=limits, title="All classes"
        )
        plots.append(_plot(figure, name, "scene"))
    return plots


def _evenly(points: Points) -> list[int]:
    """Up to four drawable classes, evenly spaced through the class list."""
    drawable = drawn_classes(points, "all")
    return [drawable[place] for place in spread_classes(len(drawable), EXACT)]


def _all_drawable(points: Points, classes: Sequence[int]) -> bool:
    return bool(points.vectors[list(classes)].isfinite().all())


def _limits(
    points: Sequence[Points], drawn: Sequence[Sequence[int]], bases: Sequence[Basis | None],
    most: int,
) -> dict[str, float]:  # fmt: skip
    """Half the side of the cube that holds every run's view, by form: one scale for all runs."""
    found = {"centred": 0.0, "raw": 0.0}
    for one, classes, given in zip(points, drawn, bases, strict=True):
        basis = shared_basis([one], classes) if given is None else given
        for form in found:
            view = project(one, basis, classes, centred=form == "centred", max_points=most)
            found[form] = max(found[form], view_limit(view))
    return found


def _heatmaps(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    side = min(200, int((CELLS / (len(points) * 3 * 2 * 5.4)) ** 0.5))
    plots = []
    for one, name in zip(points, names, strict=True):
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
            named = len(one.names) <= NAMED
            figure.update_yaxes(showticklabels=named)
            plots.append(_plot(figure, name, "square named" if named else "square"))
    return plots


def _histograms(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    plots = []
    for one, name in zip(points, names, strict=True):
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
        plots.append(_plot(figure, name, "wide"))
    return plots


def _bars(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[Plot]:
    """The first of accuracy, match and crowding that a run has a value of."""
    plots = []
    for record, name in zip(records, names, strict=True):
        for measure in ("accuracy", "cosine_centred", "ncc_accuracy", "nearest_cosine"):
            if any(row.get(measure) is not None for row in record["per_class"]):
                words = COLUMNS[measure].title
                title = words[0].upper() + words[1:]
                figure = figures.per_class_bars(record, measure=measure, title=title)
                plots.append(_plot(figure, name, "wide"))
                break
    return plots


def _cosines(rows: Tensor, columns: Tensor, *, centred: bool) -> Tensor:
    """(K, K) cosines over the classes that both sides have; NaN for the others."""
    there = (rows.isfinite().all(dim=1) & columns.isfinite().all(dim=1)).nonzero().flatten()
    found = torch.full((len(rows), len(rows)), float("nan"), dtype=torch.float64)
    kept = pairwise_cosines(finite_rows(rows[there]), finite_rows(columns[there]), centred=centred)
    found[there[:, None], there] = kept
    return found


def _plot(figure: Any, run: str, kind: str) -> Plot:
    content = json.loads(figure.to_json(validate=False))
    layout = content["layout"]
    meta = layout["meta"]
    for part in ("title", "updatemenus", "template"):
        layout.pop(part, None)
    layout["margin"] |= {"t": 8}
    if kind.startswith("square"):
        layout["margin"] |= {"l": 4, "r": 4, "t": 4, "b": 4}
    caption = tuple((form, words) for form, words in meta.pop("caption"))
    return Plot(run, meta.pop("title"), caption, kind, content)
