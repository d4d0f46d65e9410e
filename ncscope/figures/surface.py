"""How a result depends on two weights: a surface over the grid that was run.

n rows of a plain table.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ncscope.errors import DataError
from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import base_layout
from ncscope.text import in_plot, number


def surface_parts(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str, z: str, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.study_figures.sensitivity_surface`."""
    cells = _cells(rows, x, y, z)
    across, up = (sorted({key[k] for key in cells}) for k in (0, 1))
    if len(across) < 2 or len(up) < 2:
        raise DataError(
            f"a surface needs two values or more of both {x!r} and {y!r}; found {len(across)} and "
            f"{len(up)}"
        )
    means = [[_mean(cells.get((first, second))) for first in across] for second in up]
    words = [[_words((first, second), cells, x, y, z) for first in across] for second in up]
    best = max(cells, key=lambda key: float(np.mean(cells[key])))
    missing = len(across) * len(up) - len(cells)
    most = max(map(len, cells.values()))
    said = f"{len(across)} × {len(up)} values, spaced by their order, not by their size."
    said += f" A height is the mean of up to {most} rows." if most > 1 else ""
    said += f" {missing} combinations were not run: holes." if missing else ""
    said += f" Marked: the highest mean, {number(float(np.mean(cells[best])))}."
    layout = base_layout(title, [(None, said)], top=8)
    layout["margin"] |= {"l": 0, "r": 0, "b": 0}
    layout["scene"] = {
        "xaxis": _axis(x, across), "yaxis": _axis(y, up),
        "zaxis": {"title": {"text": in_plot(z, 40)}, "color": palette.INK,
                  "gridcolor": palette.FAINT, "showbackground": False},
        "camera": {"eye": {"x": -1.5, "y": -1.5, "z": 0.9}}, "bgcolor": "rgba(0,0,0,0)",
    }  # fmt: skip
    surface = {
        "type": "surface", "x": list(range(len(across))), "y": list(range(len(up))), "z": means,
        "text": words, "hovertemplate": "%{text}<extra></extra>", "connectgaps": False,
        "colorscale": palette.scale(palette.MANY), "showscale": False, "opacity": 0.9,
    }  # fmt: skip
    top = {
        "type": "scatter3d", "mode": "markers", "showlegend": False, "name": "highest",
        "x": [across.index(best[0])], "y": [up.index(best[1])],
        "z": [float(np.mean(cells[best]))], "text": [_words(best, cells, x, y, z)],
        "hovertemplate": "highest<br>%{text}<extra></extra>",
        "marker": {"size": 5, "color": palette.CLASSES[4]},
    }  # fmt: skip
    return [surface, top], layout


def _cells(
    rows: Sequence[Mapping[str, Any]], x: str, y: str, z: str
) -> dict[tuple[float, float], list[float]]:
    """Values of `z` by the pair of weights; rows without all three numbers are passed over."""
    found: dict[tuple[float, float], list[float]] = {}
    for row in rows:
        values = [row.get(key) for key in (x, y, z)]
        if all(
            isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v)
            for v in values
        ):
            first, second, height = (float(v) for v in values if v is not None)
            found.setdefault((first, second), []).append(height)
    if not found:
        raise DataError(f"none of {len(rows)} rows has numbers for {x!r}, {y!r} and {z!r}")
    return found


def _mean(values: list[float] | None) -> float | None:
    return None if values is None else round(float(np.mean(values)), 6)


def _words(
    key: tuple[float, float], cells: Mapping[tuple[float, float], list[float]],
    x: str, y: str, z: str,
) -> str:  # fmt: skip
    values = cells.get(key)
    where = f"{in_plot(x, 40)} {key[0]:g}, {in_plot(y, 40)} {key[1]:g}"
    if values is None:
        return f"{where}<br>not run"
    spread = f" ± {np.std(values, ddof=1):.3g} ({len(values)} rows)" if len(values) > 1 else ""
    return f"{where}<br>{in_plot(z, 40)} {np.mean(values):.4g}{spread}"


def _axis(name: str, values: Sequence[float]) -> dict[str, Any]:
    return {
        "title": {"text": in_plot(name, 40)}, "tickvals": list(range(len(values))),
        "ticktext": [f"{value:g}" for value in values], "color": palette.INK,
        "gridcolor": palette.FAINT, "showbackground": False,
    }  # fmt: skip
