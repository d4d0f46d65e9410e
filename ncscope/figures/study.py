"""Figures of a study: a measure against accuracy, a result over two weights, pull and push.

n rows of a plain table, K classes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from ncscope.errors import DataError, ShapeError
from ncscope.figures import style as palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import ABOVE, CLEAR, axis, base_layout
from ncscope.metrics.objective import PullPush
from ncscope.text import clean, in_plot, number, percent

_PLACES = 60  # points of the drawn line


def scatter_parts(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str, group: str | None, label: str | None,
    level: float, title: str,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.measure_scatter`."""
    if not 0 < level < 1:
        raise DataError(f"`level` is {level}; expected a share between 0 and 1")
    kept = [row for row in rows if _is_number(row.get(x)) and _is_number(row.get(y))]
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
    layout["legend"] |= ABOVE
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
            "symbol": palette.class_symbol(place),
        },
    }  # fmt: skip


def surface_parts(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str, z: str, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.figures.sensitivity_surface`."""
    cells = _cells(rows, x, y, z)
    across, up = (sorted({key[k] for key in cells}) for k in (0, 1))
    if len(across) < 2 or len(up) < 2:
        raise DataError(
            f"a surface needs two values or more of both {x!r} and {y!r}; found {len(across)} and "
            f"{len(up)}"
        )
    means = {key: float(np.mean(values)) for key, values in cells.items()}
    drawn = {key: round(mean, 6) for key, mean in means.items()}
    words = [[_words((first, second), cells, x, y, z) for first in across] for second in up]
    best = max(means, key=lambda key: means[key])
    missing = len(across) * len(up) - len(cells)
    most = max(map(len, cells.values()))
    said = f"{len(across)} × {len(up)} values, spaced by their order, not by their size."
    said += f" A height is the mean of up to {most} rows." if most > 1 else ""
    said += f" {missing} combinations were not run: holes." if missing else ""
    said += f" Marked: the highest mean, {number(means[best])}."
    layout = base_layout(title, [(None, said)], top=8)
    layout["margin"] |= {"l": 0, "r": 0, "b": 0}
    layout["scene"] = {
        "xaxis": _axis(x, across), "yaxis": _axis(y, up),
        "zaxis": {"title": {"text": in_plot(z, 40)}, "color": palette.INK,
                  "gridcolor": palette.FAINT, "showbackground": False},
        "camera": {"eye": {"x": -1.5, "y": -1.5, "z": 0.9}}, "bgcolor": CLEAR,
    }  # fmt: skip
    surface = {
        "type": "surface", "x": list(range(len(across))), "y": list(range(len(up))),
        "z": [[drawn.get((first, second)) for first in across] for second in up],
        "text": words, "hovertemplate": "%{text}<extra></extra>", "connectgaps": False,
        "colorscale": palette.scale(palette.MANY), "showscale": False, "opacity": 0.9,
    }  # fmt: skip
    top = {
        "type": "scatter3d", "mode": "markers", "showlegend": False, "name": "highest",
        "x": [across.index(best[0])], "y": [up.index(best[1])],
        "z": [means[best]], "text": [_words(best, cells, x, y, z)],
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
        if all(map(_is_number, values)):
            first, second, height = (float(v) for v in values if v is not None)
            found.setdefault((first, second), []).append(height)
    if not found:
        raise DataError(f"none of {len(rows)} rows has numbers for {x!r}, {y!r} and {z!r}")
    return found


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


def gradient_parts(
    parts: PullPush, names: Sequence[str], counts: Sequence[int], *, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.figures.gradient_bars`."""
    size = len(parts.pull)
    if not len(names) == len(counts) == size:
        raise ShapeError(
            f"`names` has {len(names)} and `counts` {len(counts)} entries; expected K = {size}"
        )
    order = sorted(range(size), key=lambda k: -counts[k])
    shown = [f"{in_plot(names[k], 24)} ({counts[k]})" for k in order]
    sides = (
        ("pull of its own images", parts.pull_strength.tolist(), palette.TEXT_SIDE),
        ("push of the others", parts.push_strength.tolist(), palette.IMAGE_SIDE),
    )
    traces = [
        {
            "type": "bar", "name": name, "x": shown, "y": [values[k] for k in order],
            "marker": {"color": colour}, "hovertemplate": "%{x}: %{y:.3g}",
        }
        for name, values, colour in sides
    ]  # fmt: skip
    tail = [k for k in order if counts[k] == min(counts)]
    words = "Length of both parts of the gradient of cross-entropy at each text feature; "
    words += "classes by number of training images, which stands in brackets."
    if len(tail) > 1:
        alike = number(float(parts.push_alignment(parts.pull.new_tensor(tail).long())))
        words += f" The pushes on the {len(tail)} smallest classes have a mean cosine of {alike}."
    layout = base_layout(title, [(None, words)], top=20)
    layout["barmode"] = "group"
    layout["xaxis"] = {**axis(), "type": "category", "showgrid": False}
    layout["yaxis"] = {**axis("length"), "rangemode": "tozero"}
    layout["legend"] |= ABOVE
    return traces, layout


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
