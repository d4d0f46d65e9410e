"""Accuracy over the steps of each move along a measure: would more collapse help?"""

from collections.abc import Mapping
from typing import Any

from ncscope.diagnosis.moves import MOVES
from ncscope.errors import DataError
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout, class_colour, class_symbol
from ncscope.text import in_plot


def move_parts(record: Mapping[str, Any], *, title: str) -> Parts:
    """Traces and layout of `ncscope.figures.figures.move_curves`."""
    rows = [row for row in record.get("interventions") or [] if row["accuracy"] is not None]
    if not rows:
        raise DataError("the run has no interventions; measure it with --intervene")
    traces = []
    for place, (name, move) in enumerate(MOVES.items()):
        own = [row for row in rows if row["move"] == name]
        if own:
            traces.append(_curve(own, move.title, place))
            if "new_accuracy" in own[0]:
                traces.append(_curve(own, move.title, place, new=True))
    how = record["conventions"].get("interventions", {})
    said = (
        f"Accuracy of {how.get('images_judged', '?')} images that no move has seen; they were "
        f"estimated on {how.get('images_estimated_on', '?')} others. Bars: 95 % of the change."
    )
    layout = base_layout(title, [(None, said)])
    layout["xaxis"] = {**axis("step"), "range": [-0.03, 1.03], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    layout["yaxis"] = axis("accuracy") | {"tickformat": ".0%"}
    layout["showlegend"] = True
    layout["legend"] |= {"orientation": "h", "y": -0.4, "yanchor": "top"}
    return traces, layout


def _curve(
    rows: list[dict[str, Any]], called: str, place: int, *, new: bool = False
) -> dict[str, Any]:
    key, change = ("new_accuracy", "new_change") if new else ("accuracy", "change")
    known = [row for row in rows if row.get(key) is not None]
    spans = [row.get(change) or {} for row in known]
    ends = [
        [abs((span.get(end) or 0) - (span.get("value") or 0)) if span.get(end) is not None else 0
         for span in spans]
        for end in ("high", "low")
    ]  # fmt: skip
    name = f"{called}, new classes" if new else called
    return {
        "type": "scatter", "mode": "lines+markers", "name": in_plot(name, 60),
        "x": [row["step"] for row in known], "y": [round(row[key], 5) for row in known],
        "error_y": {"type": "data", "array": ends[0], "arrayminus": ends[1], "thickness": 1},
        "line": {"color": class_colour(place), "dash": "dot" if new else "solid"},
        "marker": {"color": class_colour(place), "symbol": _flat(class_symbol(place))},
        "hovertemplate": "%{y:.1%} at step %{x}<extra>%{fullData.name}</extra>",
    }  # fmt: skip


def _flat(symbol: str) -> str:
    return symbol if symbol in ("circle", "square", "diamond", "cross", "x") else "circle"
