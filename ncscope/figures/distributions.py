"""Distributions along one line: angles between class vectors, and images across the modality gap.

K classes.

N samples, K classes, D width.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncscope.errors import ShapeError
from ncscope.figures import style as palette
from ncscope.figures.points import Points, unit_samples
from ncscope.figures.projection import finite_rows
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout, form_buttons, mark_form
from ncscope.metrics.rows import off_diagonal
from ncscope.text import in_plot, number

BIN = 2  # degrees
_COLOURS = (palette.TEXT_SIDE, palette.IMAGE_SIDE, *palette.CLASSES[2:])
_DASHES = ("solid", "dot", "dash", "dashdot")
_BINS = 90
_BLOCK = 8192


def angle_parts(
    cosines: Mapping[str, Tensor], num_classes: int, *, title: str,
    centred: Mapping[str, Tensor] | None,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.angle_histogram`."""
    forms = {"raw": cosines} if centred is None else {"centred": centred, "raw": cosines}
    shown = next(iter(forms))
    traces: list[dict[str, Any]] = []
    for form, series in forms.items():
        lines = [_line(name, matrix, place) for place, (name, matrix) in enumerate(series.items())]
        traces += mark_form(lines, form, shown=form == shown)
    top = 1.15 * max(float(trace["y"].max()) for trace in traces)  # room for the words on top
    ideal = math.degrees(math.acos(-1 / (num_classes - 1)))
    words = (
        f"Angles between all {number(num_classes * (num_classes - 1) // 2)} pairs of classes, "
        f"share of pairs in bins of {BIN}°. Dashed: the simplex angle, {ideal:.1f}°."
    )
    layout = base_layout(title, [(None, words)], top=8)
    layout["xaxis"] = {
        **axis("angle (degrees)"), "range": [0, 180], "dtick": 30, "constrain": "domain",
    }  # fmt: skip
    layout["yaxis"] = {**axis("share of pairs"), "range": [0, top], "tickformat": ".0%"}
    layout["shapes"] = [{
        "type": "line", "x0": ideal, "x1": ideal, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": palette.INK, "width": 1.5, "dash": "dash"},
    }]  # fmt: skip
    layout["annotations"] = [{
        "x": ideal, "y": 1, "yref": "paper", "yanchor": "top", "xanchor": "left", "xshift": 4,
        "text": f"simplex {ideal:.1f}°", "showarrow": False,
    }]  # fmt: skip
    layout["legend"] |= {"x": 0.01, "y": 1, "yanchor": "top"}
    layout["hovermode"] = "x unified"
    layout["updatemenus"] = form_buttons(traces, shown)
    return traces, layout


def angle_shares(matrix: Tensor) -> np.ndarray:
    """Share of class pairs in each bin of `BIN` degrees from 0 to 180; pairs of NaN left out."""
    values = off_diagonal(matrix.detach().cpu().double()).numpy()
    angles = np.degrees(np.arccos(np.clip(values[np.isfinite(values)], -1, 1)))
    counts, _ = np.histogram(angles, bins=np.arange(0, 180 + BIN, BIN))
    return counts / max(1, counts.sum())


def _line(name: str, matrix: Tensor, place: int) -> dict[str, Any]:
    centres = np.arange(BIN / 2, 180, BIN)
    return {
        "type": "scatter", "mode": "lines", "name": in_plot(name, 40), "x": centres,
        "y": np.round(angle_shares(matrix), 6), "fill": "tozeroy",
        "line": {
            "color": _COLOURS[place % len(_COLOURS)], "width": 1.8, "shape": "hvh",
            "dash": _DASHES[place % len(_DASHES)],
        },
        "hovertemplate": "%{y:.2%}",
    }  # fmt: skip


def gap_parts(points: Points, *, title: str) -> Parts:
    """Traces and layout of `ncscope.figures.figures.modality_gap`."""
    if points.text is None or points.means is None or points.label is None:
        raise ShapeError("the gap lies between text features and labelled images; one is missing")
    there = points.means.isfinite().all(dim=1)
    text, middle = points.text[there], finite_rows(points.means).mean(dim=0)
    between = text.mean(dim=0) - middle
    length = float(between.norm())
    if length < 1e-12:
        raise ShapeError("text features and images have the same centre: there is no gap to draw")
    direction = between / length
    places, weights = _images_along(points, middle, direction)
    sides = (
        ("images", places, weights, palette.IMAGE_SIDE),
        ("text", ((text - middle) @ direction).numpy(), None, palette.TEXT_SIDE),
    )
    low = min(float(values.min()) for _, values, _, _ in sides)
    high = max(float(values.max()) for _, values, _, _ in sides)
    edges = np.linspace(low - 0.02 * length, high + 0.02 * length, _BINS + 1)
    words = (
        f"Places along the line through both centres, as far as {number(length)} apart: the "
        f"modality gap, raw. Every class counts once; share of a side in each bin."
    )
    layout = base_layout(title, [(None, words)], top=8)
    layout["xaxis"] = axis("place along the line; 0: centre of the images")
    layout["yaxis"] = {**axis("share"), "tickformat": ".0%", "rangemode": "tozero"}
    layout["shapes"] = [_centre(0.0, palette.IMAGE_SIDE), _centre(length, palette.TEXT_SIDE)]
    layout["legend"] |= {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    layout["hovermode"] = "x unified"
    traces = [_gap_line(name, values, kept, colour, edges) for name, values, kept, colour in sides]
    return traces, layout


def _images_along(
    points: Points, middle: Tensor, direction: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Where each labelled image lies on the line, and its weight: every class sums to one."""
    assert points.label is not None
    label = points.label.cpu()
    rows = (label >= 0).nonzero().flatten()
    offset = float(middle @ direction)
    places = [unit_samples(points, block) @ direction - offset for block in rows.split(_BLOCK)]
    return torch.cat(places).numpy(), (1 / points.counts[label[rows]].double()).numpy()


def _gap_line(
    name: str, values: np.ndarray, weights: np.ndarray | None, colour: str, edges: np.ndarray
) -> dict[str, Any]:
    counts, _ = np.histogram(values, bins=edges, weights=weights)
    return {
        "type": "scatter", "mode": "lines", "name": name, "fill": "tozeroy",
        "x": np.round((edges[:-1] + edges[1:]) / 2, 4), "y": np.round(counts / counts.sum(), 6),
        "line": {"color": colour, "width": 1.8, "shape": "hvh"}, "hovertemplate": "%{y:.2%}",
    }  # fmt: skip


def _centre(place: float, colour: str) -> dict[str, Any]:
    return {
        "type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
    }  # fmt: skip
