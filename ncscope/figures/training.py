"""Training as pictures: the simplex view over the steps on fixed axes, and curves panel by panel.

T steps, K classes drawn, D width. Points of a step that leave the axes are drawn too short, so what
each step's picture shows is said beside it. Axes of the last step make the end exact for K <= 4,
as in the view of that step alone; axes of all steps favour none: centred, they keep most of the
squared length of every step's centred class vectors, and are turned (K <= 4) as a whole to the
regular simplex that lies nearest to the last step.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ncscope.diagnosis.training import TrainingLog, Trajectory, series, thinned
from ncscope.errors import DataError, ShapeError
from ncscope.figures import style as palette
from ncscope.figures.points import Points, points_at
from ncscope.figures.projection import EXACT, Basis, View, procrustes, regular_simplex
from ncscope.figures.scene import (
    CORNER,
    Parts,
    both_views,
    drawn_classes,
    scene_layout,
    scene_ranges,
    shades_of,
    shared_basis,
    view_limit,
    view_traces,
)
from ncscope.figures.style import CLEAR, Words, axis, base_layout, form_buttons
from ncscope.text import in_plot, number, percent

MOST_FRAMES = 60
_MOVED = ("type", "x", "y", "z")  # parts of a trace that a frame changes
# Terms of the loss by their keys in a step; others by their own name
_LOSSES = {"loss": "all", "ce": "cross-entropy", "lcd": "L_LC", "mid": "L_MI"}
_NO_LOSSES = ("step", "steps", "epoch", "lr")
_MOST_LOSSES = 6
# Panel -> path in an evaluation, and whether it has a raw and a centred form
_PANELS: dict[str, tuple[tuple[str, ...], bool]] = {
    "accuracy": (("accuracy",), False),
    "Δ LCD": (("delta_lcd",), True),
    "Δ MID": (("delta_mid",), True),
    "ETF distance, text": (("etf_distance", "text"), True),
    "ETF distance, image": (("etf_distance", "image"), True),
    "modality gap": (("modality_gap",), False),
}
_SPLITS = {"base": palette.CLASSES[0], "new": palette.CLASSES[1]}
_GAP = 0.05  # of the height, between panels


def motion_parts(
    trajectory: Trajectory, *, classes: Sequence[int | str] | Literal["all"] | None,
    limits: Mapping[str, float] | None, title: str, centred: bool = True,
    axes: Literal["last", "all"] = "last",
) -> tuple[Parts, list[dict[str, Any]]]:  # fmt: skip
    """Traces, layout and frames of `ncscope.figures.figures.simplex_motion`."""
    shown = thinned(trajectory, MOST_FRAMES)
    points = [points_at(shown, place) for place in range(len(shown.steps))]
    drawn = drawn_classes(points[-1], classes)
    views = _views(points, drawn, axes)
    shades = shades_of(points[-1], drawn)
    form = "centred" if centred else "raw"
    drawings = [
        view_traces(one, both, drawn, None, shades, form)
        for one, both in zip(points, views, strict=True)
    ]
    words = [_words(both) for both in views]
    frames = [
        {
            "name": str(place),
            "data": [{part: trace[part] for part in _MOVED} for trace in drawings[place]],
            "traces": list(range(len(drawings[place]))),
            "layout": {"annotations": [_note(shown.steps[place], words[place])]},
        }
        for place in range(len(points))
    ]
    edges = _edges(views) | dict(limits or {})
    fitted = {"last": "the last step", "all": "all steps together"}[axes]
    layout = _layout(trajectory, shown, drawn, edges, form, fitted=fitted, title=title)
    layout["meta"]["steps"] = [
        f"step {number(step)}: {said}" for step, said in zip(shown.steps, words, strict=True)
    ]
    layout["annotations"] = frames[0]["layout"]["annotations"]
    layout["updatemenus"] = form_buttons(drawings[0], form, layouts=layout["meta"]["layouts"])
    return (drawings[0], layout), frames


def motion_limits(
    trajectory: Trajectory, *, classes: Sequence[int], axes: str = "last"
) -> dict[str, float]:
    """Half the side of the cube that holds every step's view, by form."""
    shown = thinned(trajectory, MOST_FRAMES)
    points = [points_at(shown, place) for place in range(len(shown.steps))]
    return _edges(_views(points, classes, axes))


def _views(points: Sequence[Points], drawn: Sequence[int], axes: str) -> list[dict[str, View]]:
    basis = fixed_basis(points, drawn, axes=axes)
    return [both_views(one, basis, drawn) for one in points]


def _edges(views: Sequence[dict[str, View]]) -> dict[str, float]:
    return {form: max(view_limit(both[form]) for both in views) for form in ("centred", "raw")}


def fixed_basis(points: Sequence[Points], drawn: Sequence[int], *, axes: str) -> Basis:
    """Axes (D, 3) of both views, fitted to the `last` step or to `all` together.

    Raises:
        ShapeError: `axes` is neither.
    """
    if axes not in ("last", "all"):
        raise ShapeError(f'`axes` must be "last" or "all"; got {axes!r}')
    if axes == "last" or len(points) == 1:
        return shared_basis(points[-1:], drawn)
    basis = shared_basis(points, drawn)
    if len(drawn) > EXACT:
        return basis
    last = points[-1].vectors[list(drawn)]
    turn = procrustes((last - last.mean(dim=0)) @ basis.centred, regular_simplex(len(drawn)))
    return Basis(basis.centred @ turn, basis.raw, basis.classes)


def _layout(
    trajectory: Trajectory, shown: Trajectory, drawn: Sequence[int], limits: dict[str, float],
    form: str, *, fitted: str, title: str,
) -> dict[str, Any]:  # fmt: skip
    size, count = len(trajectory.names), len(trajectory.steps)
    which = f"{number(len(drawn))} of {number(size)} classes"
    caption: list[Words] = [(None, f"{which}, axes fixed: fitted to {fitted}.")]
    if len(shown.steps) < count:
        caption.append((None, f"{len(shown.steps)} of {number(count)} evaluations, evenly spaced."))
    ranges = {name: scene_ranges(edge) for name, edge in limits.items()}
    layout = base_layout(title, caption, top=16, meta={"layouts": ranges})
    layout["margin"] |= {"l": 0, "r": 0, "b": 70}
    layout["scene"] = scene_layout(limits[form])
    layout["legend"] |= CORNER
    layout["sliders"] = [{
        "active": 0, "x": 0.05, "len": 0.9, "y": 0, "pad": {"t": 10}, "bgcolor": palette.FAINT,
        "bordercolor": CLEAR, "currentvalue": {"prefix": "step ", "visible": False},
        "steps": [
            {"label": str(step), "method": "animate", "args": [[str(place)], {
                "mode": "immediate", "frame": {"duration": 0, "redraw": True},
                "transition": {"duration": 0},
            }]}
            for place, step in enumerate(shown.steps)
        ],
    }]  # fmt: skip
    return layout


def _words(views: dict[str, View]) -> str:
    """What the pictures of a step show, of text and of class means, in either form."""
    parts = []
    for form, view in views.items():
        shares = [
            f"{percent(view.shares[key])} of the {words}"
            for key, words in (("text", "text"), ("means", "class means"))
            if key in view.shares
        ]
        parts.append(f"{form} shows {', '.join(shares)}")
    return "; ".join(parts)


def _note(step: int, words: str) -> dict[str, Any]:
    return {
        "text": f"step {number(step)}: {words}", "showarrow": False, "xref": "paper",
        "yref": "paper", "x": 0.02, "y": 1.0, "xanchor": "left", "yanchor": "top",
        "font": {"size": 12},
    }  # fmt: skip


def curve_parts(log: TrainingLog, *, title: str) -> Parts:
    """Traces and layout of `ncscope.figures.figures.training_curves`."""
    panels: dict[str, list[dict[str, Any]]] = {"loss": _loss_lines(log)}
    splits = [
        name for name in dict.fromkeys(key for row in log.evaluations for key in row)
        if any(isinstance(row.get(name), dict) for row in log.evaluations)
    ]  # fmt: skip
    for panel, (path, forms) in _PANELS.items():
        panels[panel] = [
            line
            for place, split in enumerate(splits)
            for line in _lines(log, split, place, path, forms=forms)
        ]
    panels = {panel: lines for panel, lines in panels.items() if lines}
    if not panels:
        raise DataError("the log has neither losses nor measures to draw")
    caption = f"{number(len(log.steps))} steps and {number(len(log.evaluations))} evaluations"
    words = f"{caption} in the log; measures are of the evaluated images of each split."
    layout = base_layout(title, [(None, words)], top=26)
    traces: list[dict[str, Any]] = []
    suffix, heads = "", []
    for place, (panel, lines) in enumerate(panels.items()):
        suffix = "" if place == 0 else str(place + 1)
        traces += [{**line, "yaxis": f"y{suffix}"} for line in lines]
        domain = _domain(place, len(panels))
        layout[f"yaxis{suffix}"] = {**axis(), "domain": domain, "nticks": 4}
        heads.append(_head(panel, domain[1]))
    layout["annotations"] = heads
    layout["xaxis"] = {**axis("step"), "anchor": f"y{suffix}"}
    layout["hovermode"] = "x"
    layout["height"] = 130 + 150 * len(panels)
    layout["legend"] |= {"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"}
    layout["updatemenus"] = form_buttons(traces, "centred")
    return _named_once(traces), layout


def _loss_lines(log: TrainingLog) -> list[dict[str, Any]]:
    lines = []
    keys = dict.fromkeys([*_LOSSES, *(key for row in log.steps for key in row)])
    for key in keys:
        steps, values = series(log.steps, key)
        if steps and key not in _NO_LOSSES and len(lines) < _MOST_LOSSES:
            colour = palette.class_colour(len(lines) + 2)
            lines.append(_line(f"loss: {_LOSSES.get(key, key)}", steps, values, colour))
    return lines


def _lines(
    log: TrainingLog, split: str, place: int, path: tuple[str, ...], *, forms: bool
) -> list[dict[str, Any]]:
    """The curve of a split, or of its raw and its centred form."""
    colour = _SPLITS.get(split, palette.class_colour(place + 2))
    lines = []
    for form in ("centred", "raw") if forms else (None,):
        steps, values = series(log.evaluations, split, *path, *([form] if form else []))
        if steps:
            line = _line(split, steps, values, colour) | {"mode": "lines+markers"}
            lines.append(line if form is None else line | {
                "meta": form, "visible": form == "centred",
            })  # fmt: skip
    return lines


def _line(name: str, steps: list[float], values: list[float], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "lines", "name": in_plot(name, 40), "legendgroup": name,
        "x": steps, "y": [round(value, 6) for value in values],
        "line": {"color": colour, "width": 1.8}, "marker": {"size": 5},
        "hovertemplate": "%{y:.4g}",
    }  # fmt: skip


def _named_once(traces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One legend entry a name, which hides all curves of that name."""
    seen: set[str] = set()
    for trace in traces:
        first = trace["legendgroup"] not in seen and trace.get("visible", True)
        trace["showlegend"] = first
        if first:
            seen.add(trace["legendgroup"])
    return traces


def _head(panel: str, top: float) -> dict[str, Any]:
    return {
        "text": panel, "showarrow": False, "xref": "paper", "yref": "paper", "x": 0, "y": top,
        "xanchor": "left", "yanchor": "bottom", "font": {"size": 12},
    }  # fmt: skip


def _domain(place: int, count: int) -> list[float]:
    height = (1 - _GAP * (count - 1)) / count
    low = 1 - place * (height + _GAP) - height
    return [round(abs(low), 4), round(low + height, 4)]  # abs: the last may be -1e-17
