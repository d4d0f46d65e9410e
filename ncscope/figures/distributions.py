"""How the angles between class vectors are distributed, against the angle of a simplex.

K classes.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout, form_buttons, mark_form
from ncscope.metrics.rows import off_diagonal
from ncscope.text import in_plot, number

BIN = 2  # degrees
_COLOURS = (palette.TEXT_SIDE, palette.IMAGE_SIDE, *palette.CLASSES[2:])
_DASHES = ("solid", "dot", "dash", "dashdot")


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
