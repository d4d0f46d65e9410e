"""Distributions along one line: angles between class vectors, and images across the modality gap.

N samples, K classes, D width.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ncscope.errors import ShapeError
from ncscope.figures import style as palette
from ncscope.figures.points import Points, samples_along
from ncscope.figures.projection import finite_rows
from ncscope.figures.scene import Parts
from ncscope.figures.style import ABOVE, axis, base_layout, form_buttons, mark_form
from ncscope.metrics.rows import off_diagonal
from ncscope.text import in_plot, number

_WIDTHS = (0.5, 1.0, 2.0, 5.0, 10.0)  # degrees, of bins
_COLOURS = (palette.TEXT_SIDE, palette.IMAGE_SIDE, *palette.CLASSES[2:])
_DASHES = ("solid", "dot", "dash", "dashdot")
_BINS = 90  # of the gap's line


def angle_parts(
    cosines: Mapping[str, Tensor], num_classes: int, *, title: str,
    centred: Mapping[str, Tensor] | None, edges: Sequence[float] | None = None,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.angle_histogram`."""
    forms = {"raw": cosines} if centred is None else {"centred": centred, "raw": cosines}
    shown = next(iter(forms))
    if edges is None:
        edges = angle_edges([m for own in forms.values() for m in own.values()], [num_classes])
    ends = np.asarray(edges, dtype=float)
    centres = (ends[:-1] + ends[1:]) / 2
    traces: list[dict[str, Any]] = []
    for form, series in forms.items():
        lines = [
            _line(name, centres, angle_shares(matrix, ends), _COLOURS[place % len(_COLOURS)])
            for place, (name, matrix) in enumerate(series.items())
        ]
        for place, line in enumerate(lines):
            line["line"]["dash"] = _DASHES[place % len(_DASHES)] if len(lines) <= 2 else "solid"
            if len(lines) > 2:  # filled areas would hide one another
                line.pop("fill")
        traces += mark_form(lines, form, shown=form == shown)
    top = 1.15 * max(float(trace["y"].max()) for trace in traces)  # room for the words on top
    ideal = simplex_angle(num_classes)
    words = (
        f"Angles between all {number(num_classes * (num_classes - 1) // 2)} pairs of classes, "
        f"share of pairs in bins of {ends[1] - ends[0]:g}°. "
        f"Dashed: the simplex angle, {ideal:.1f}°."
    )
    layout = base_layout(title, [(None, words)], top=8)
    layout["xaxis"] = {
        **axis("angle (degrees)"), "range": [float(ends[0]), float(ends[-1])],
        "constrain": "domain",
    }  # fmt: skip
    layout["yaxis"] = {**axis("share of pairs"), "range": [0, top], "tickformat": ".0%"}
    layout["shapes"] = [_upright(ideal, palette.INK)]
    layout["annotations"] = [{
        "x": ideal, "y": 1, "yref": "paper", "yanchor": "top", "xanchor": "right", "xshift": -4,
        "text": f"simplex {ideal:.1f}°", "showarrow": False,
    }]  # fmt: skip
    layout["legend"] |= ABOVE
    layout["hovermode"] = "x unified"
    layout["updatemenus"] = form_buttons(traces, shown)
    return traces, layout


def simplex_angle(num_classes: int) -> float:
    """The angle in degrees between any two of K vertices of a simplex, arccos(-1/(K-1))."""
    return math.degrees(math.acos(-1 / (num_classes - 1)))


def angle_edges(matrices: Sequence[Tensor], sizes: Collection[int]) -> list[float]:
    """Edges of bins that hold all angles of (K, K) cosines and the simplex angle of each size.

    Bins are as wide as Freedman and Diaconis's rule asks of the matrix with the narrowest
    distribution, rounded to 0.5, 1, 2, 5 or 10 degrees: the fewer pairs, the wider.
    """
    angles = [found for matrix in matrices if len(found := _angles(matrix))]
    ideals = [simplex_angle(size) for size in sizes]
    low = min([*(float(own.min()) for own in angles), *ideals])
    high = max([*(float(own.max()) for own in angles), *ideals])
    wanted = [
        2 * float(np.subtract(*np.percentile(own, [75, 25]))) / len(own) ** (1 / 3)
        for own in angles
    ]
    least = min((width for width in wanted if width > 0), default=_WIDTHS[2])
    width = min(_WIDTHS, key=lambda one: abs(math.log(one / least)))
    start = max(0.0, math.floor(low / width - 1) * width)
    stop = min(180.0, math.ceil(high / width + 1) * width)
    return np.arange(start, stop + width / 2, width).tolist()


def _angles(matrix: Tensor) -> np.ndarray:
    """The angles in degrees of all pairs of classes; pairs of NaN left out."""
    values = off_diagonal(matrix.detach().cpu().double()).numpy()
    return np.degrees(np.arccos(np.clip(values[np.isfinite(values)], -1, 1)))


def angle_shares(matrix: Tensor, edges: Sequence[float] | np.ndarray) -> np.ndarray:
    """Share of class pairs in each bin of angles in degrees; pairs of NaN left out."""
    counts, _ = np.histogram(_angles(matrix), bins=edges)
    return counts / max(1, counts.sum())


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
    layout["shapes"] = [_upright(0.0, palette.IMAGE_SIDE), _upright(length, palette.TEXT_SIDE)]
    layout["legend"] |= ABOVE
    layout["hovermode"] = "x unified"
    traces = []
    for name, values, weight, colour in sides:
        counts, _ = np.histogram(values, bins=edges, weights=weight)
        centres = np.round((edges[:-1] + edges[1:]) / 2, 4)
        traces.append(_line(name, centres, counts / counts.sum(), colour))
    return traces, layout


def _images_along(
    points: Points, middle: Tensor, direction: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Where each labelled image lies on the line, and its weight: every class sums to one."""
    assert points.label is not None
    label = points.label.cpu()
    rows = (label >= 0).nonzero().flatten()
    offset = float(middle @ direction)
    places = samples_along(points, rows, direction[:, None])[:, 0] - offset
    return places.numpy(), (1 / points.counts[label[rows]].double()).numpy()


def _line(name: str, centres: np.ndarray, shares: np.ndarray, colour: str) -> dict[str, Any]:
    """Shares of the bins around these centres, as steps."""
    return {
        "type": "scatter", "mode": "lines", "name": in_plot(name, 40), "fill": "tozeroy",
        "x": centres, "y": np.round(shares, 6), "hovertemplate": "%{y:.2%}",
        "line": {"color": colour, "width": 1.8, "shape": "hvh"},
    }  # fmt: skip


def _upright(place: float, colour: str) -> dict[str, Any]:
    """A dashed line over the whole height."""
    return {
        "type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
    }  # fmt: skip
