"""Which figures a page has, in which order, and what is said about them.

K classes.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ncscope.diagnosis.columns import COLUMNS
from ncscope.diagnosis.measure import Run
from ncscope.errors import DataError, ShapeError
from ncscope.figures import figures
from ncscope.figures.gallery_scenes import scenes
from ncscope.figures.gallery_training import training_plots
from ncscope.figures.matrices import cluster_order
from ncscope.figures.plot import Plot, plot_of
from ncscope.figures.points import Points, points_of
from ncscope.figures.projection import finite_rows
from ncscope.headings import run_names, same_classes
from ncscope.metrics.rows import pairwise_cosines

NAMED = 16  # more names than this do not fit beside a small heat map
_COUNTS = ("train_count", "count")
_BARS = (("accuracy", "ncc_accuracy"), ("cosine_centred", "nearest_cosine"), _COUNTS)
CELLS = 3_000_000  # bytes of heat-map cells a page may have, over all runs


def plots_of(runs: Sequence[Run]) -> dict[str, list[Plot]]:
    """The figures of measured runs, by section of the page."""
    records = [run.record for run in runs]
    names = run_names(records)
    points = [points_of(run.features) for run in runs]
    shared = same_classes(records)
    return {
        "simplex": scenes(points, names, shared=shared),
        "cosines": _heatmaps(points, names),
        "angles": _histograms(points, names) + _gaps(points, names),
        "classes": _groups(records, names) + _bars(records, names),
        "training": training_plots([run.training for run in runs], names),
    }


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
            plots.append(plot_of(figure, name, "square named" if named else "square"))
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
        plots.append(plot_of(figure, name, "wide"))
    return plots


def _gaps(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    """The line through both centres, of the runs that have two."""
    plots = []
    for one, name in zip(points, names, strict=True):
        if one.text is not None and one.means is not None:
            with suppress(ShapeError):  # one centre: no gap to draw
                plots.append(plot_of(figures.modality_gap(one), name, "wide"))
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
            return [plot_of(figure, kept[0][1], "wide")]
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
            plots.append(plot_of(figure, name, "wide"))
    return plots


def _differs(record: dict[str, Any], measure: str) -> bool:
    """Whether a column has values; counts only say something where they are not all the same."""
    values = [row[measure] for row in record["per_class"] if row.get(measure) is not None]
    return bool(values) and (measure not in _COUNTS or len(set(values)) > 1)


def _cosines(rows: Tensor, columns: Tensor, *, centred: bool) -> Tensor:
    """(K, K) cosines over the classes that both sides have; NaN for the others."""
    there = (rows.isfinite().all(dim=1) & columns.isfinite().all(dim=1)).nonzero().flatten()
    found = torch.full((len(rows), len(rows)), float("nan"), dtype=torch.float64)
    kept = pairwise_cosines(finite_rows(rows[there]), finite_rows(columns[there]), centred=centred)
    found[there[:, None], there] = kept
    return found
