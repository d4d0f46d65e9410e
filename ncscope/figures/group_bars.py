"""Head, medium and tail as bars, run beside run."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.columns import COLUMNS
from ncscope.errors import DataError
from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout
from ncscope.headings import run_names
from ncscope.text import in_plot, number, percent


def group_parts(
    records: Sequence[Mapping[str, Any]], names: Sequence[str] | None, *, measure: str, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.figures.group_accuracy`."""
    called = run_names([dict(record) for record in records]) if names is None else list(names)
    if len(called) != len(records):
        raise DataError(f"`names` has {len(called)} entries for {len(records)} runs")
    traces = []
    for place, (record, name) in enumerate(zip(records, called, strict=True)):
        groups = {key: values for key, values in (record["groups"] or {}).items() if values}
        values = {key: found.get(measure) for key, found in groups.items()}
        if any(value is not None for value in values.values()):
            traces.append(_bars(name, place, groups, values, share=_is_share(measure)))
    if not traces:
        raise DataError(f"no run has head, medium and tail with a value of {measure!r}")
    words = COLUMNS[measure].title if measure in COLUMNS else measure
    without = len(records) - len(traces)
    said = f"{words[0].upper()}{words[1:]} by number of training images, {len(traces)} "
    said += "run." if len(traces) == 1 else "runs."
    said += f" {without} without groups left out." if without else ""
    layout = base_layout(title, [(None, said)], top=20)
    layout["barmode"], layout["bargap"] = "group", 0.3
    layout["xaxis"] = {**axis(), "type": "category", "showgrid": False}
    layout["yaxis"] = {**axis(words), "rangemode": "tozero"}
    if _is_share(measure):
        layout["yaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    layout["legend"] |= {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return traces, layout


def _is_share(measure: str) -> bool:
    return measure in COLUMNS and COLUMNS[measure].share


def _bars(
    name: str, place: int, groups: dict[str, Any], values: dict[str, Any], *, share: bool
) -> dict[str, Any]:
    shown = {key: value for key, value in values.items() if value is not None}
    show = percent if share else number
    return {
        "type": "bar", "name": in_plot(name, 40), "x": list(shown),
        "y": [round(value, 5) for value in shown.values()],
        "text": [
            f"{in_plot(name, 60)}: {show(value)}<br>{number(groups[key].get('classes'))} classes"
            for key, value in shown.items()
        ],
        "textposition": "none", "hovertemplate": "%{text}<extra></extra>", "showlegend": True,
        "marker": {"color": palette.class_colour(place)},
    }  # fmt: skip
