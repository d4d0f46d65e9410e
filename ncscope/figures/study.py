"""A measure against accuracy over many runs, with the least-squares line and its interval.

n rows of a plain table.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from ncscope.errors import DataError
from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout
from ncscope.text import clean, in_plot, number, percent

_PLACES = 60  # points of the drawn line


def scatter_parts(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str, group: str | None, label: str | None,
    level: float, title: str,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.study_figures.measure_scatter`."""
    if not 0 < level < 1:
        raise DataError(f"`level` is {level}; expected a share between 0 and 1")
    kept = [row for row in rows if _number(row.get(x)) and _number(row.get(y))]
    if not kept:
        raise DataError(f"none of {len(rows)} rows has numbers for both {x!r} and {y!r}")
    across, up = (np.array([float(row[key]) for row in kept]) for key in (x, y))
    words = [f"{number(len(kept))} rows."]
    if len(kept) < len(rows):
        words.append(f"{number(len(rows) - len(kept))} without both numbers left out.")
    traces: list[dict[str, Any]] = []
    if len(kept) >= 3 and np.ptp(across) > 0:
        traces += _line(across, up, level)
        words.append(_correlation(across, up, level))
    else:
        words.append("No line: it takes three rows that differ.")
    names = [clean(row.get(group)) if group else "" for row in kept]
    for place, name in enumerate(dict.fromkeys(names)):
        mine = [k for k, own in enumerate(names) if own == name]
        traces.append(_points(name, place, across[mine], up[mine], [kept[k] for k in mine], label))
    layout = base_layout(title, [(None, " ".join(words))], top=20)
    layout["xaxis"], layout["yaxis"] = axis(in_plot(x, 60)), axis(in_plot(y, 60))
    layout["legend"] |= {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    layout["showlegend"] = group is not None
    return traces, layout


def regression(
    across: np.ndarray, up: np.ndarray, at: np.ndarray, *, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares line of (n,) points at (P,) places, and the half width of the interval of
    its mean: t(n − 2) · s · √(1/n + (x − x̄)² / Σ(xᵢ − x̄)²). The rows count as independent."""
    size, centre = len(across), across.mean()
    spread = ((across - centre) ** 2).sum()
    slope = ((across - centre) * (up - up.mean())).sum() / spread
    middle = up.mean() + slope * (at - centre)
    residual = up - up.mean() - slope * (across - centre)
    scale = math.sqrt((residual**2).sum() / (size - 2))
    factor = float(stats.t.ppf((1 + level) / 2, size - 2))
    return middle, factor * scale * np.sqrt(1 / size + (at - centre) ** 2 / spread)


def _line(across: np.ndarray, up: np.ndarray, level: float) -> list[dict[str, Any]]:
    at = np.linspace(across.min(), across.max(), _PLACES)
    middle, half = regression(across, up, at, level=level)
    shared = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    return [
        {**shared, "x": at, "y": middle - half, "line": {"width": 0}},
        {**shared, "x": at, "y": middle + half, "line": {"width": 0}, "fill": "tonexty",
         "fillcolor": palette.FAINT},
        {**shared, "x": at, "y": middle, "line": {"color": palette.INK, "width": 1.8}},
    ]  # fmt: skip


def _correlation(across: np.ndarray, up: np.ndarray, level: float) -> str:
    """Pearson's r with its interval after Fisher, where rows allow one."""
    said = f"Line: least squares, with the {percent(level)} interval of its mean, rows taken as "
    said += "independent."
    if np.ptp(up) == 0:
        return said
    correlation = float(np.corrcoef(across, up)[0, 1])
    if len(across) < 4 or abs(correlation) > 1 - 1e-12:
        return f"{said} Pearson r = {number(correlation, 2)}."
    half = float(stats.norm.ppf((1 + level) / 2)) / math.sqrt(len(across) - 3)
    low, high = (math.tanh(math.atanh(correlation) + step) for step in (-half, half))
    ends = f"{number(low, 2)} … {number(high, 2)}"
    return f"{said} Pearson r = {number(correlation, 2)} ({ends})."


def _points(
    name: str, place: int, across: np.ndarray, up: np.ndarray, rows: Sequence[Mapping[str, Any]],
    label: str | None,
) -> dict[str, Any]:  # fmt: skip
    heads = [name if label is None else clean(row.get(label)) for row in rows]
    return {
        "type": "scatter", "mode": "markers", "name": in_plot(name, 40), "x": across, "y": up,
        "text": [in_plot(head, 80) for head in heads],
        "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        "marker": {
            "size": 8, "color": palette.class_colour(place), "opacity": 0.85,
            "symbol": ("circle", "square", "diamond", "cross")[place // 8 % 4],
        },
    }  # fmt: skip


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
