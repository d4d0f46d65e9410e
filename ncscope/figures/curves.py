"""Training as curves, panel under panel: losses, accuracy and measures against the step."""

from typing import Any

from ncscope.diagnosis.training_log import TrainingLog, series
from ncscope.errors import DataError
from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout, form_buttons
from ncscope.text import in_plot, number

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
