"""Bars of values by class, from the most frequent class to the rarest, and by group of classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ncscope.diagnosis.classes import COLUMNS
from ncscope.errors import DataError
from ncscope.figures import style as palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import ABOVE, TICKS, axis, base_layout
from ncscope.metrics.accuracy import cut_tie, frequency_groups
from ncscope.text import in_plot, number, percent, run_names

_FEWEST = 12  # bars that fill the width; fewer leave room
_PERCENT = {"range": [0, 1], "tickformat": ".0%"}
_GROUP_COLOURS = {
    "head": palette.CLASSES[0], "medium": palette.CLASSES[2], "tail": palette.CLASSES[4],
}  # fmt: skip


def bar_parts(record: Mapping[str, Any], *, measure: str, title: str | None) -> Parts:
    """Traces and layout of `ncscope.figures.figures.per_class_bars`."""
    rows = list(record["per_class"])
    known = [row for row in rows if isinstance(row.get(measure), (int, float))]
    if not known:
        numbers = sorted({k for row in rows for k, v in row.items() if isinstance(v, (int, float))})
        raise DataError(f"no class has a value of {measure!r}; there are {', '.join(numbers)}")
    words = _words(measure)
    groups = _groups(known)
    if groups is None:
        known.sort(key=lambda row: -row[measure])
        groups, order = {"": known}, "from the largest value to the smallest"
    else:
        order = "from the most training images to the fewest"
    named = len(known) <= TICKS
    traces, start = [], 0
    for group, members in groups.items():
        traces.append(_bars(members, start, measure, group))
        start += len(members)
    without = len(rows) - len(known)
    said = f"{number(len(known))} classes, {order}."
    if without:
        said += f" {number(without)} {'class has' if without == 1 else 'classes have'} no value."
    layout = base_layout(title or f"{words[0].upper()}{words[1:]} by class", [(None, said)], top=20)
    layout["bargap"] = 0.15 if named else 0.0
    layout["xaxis"] = {
        **axis(), "showgrid": False, "showticklabels": named, "tickangle": -45,
        "range": [-0.5, max(len(known), _FEWEST) - 0.5],
        "tickvals": list(range(len(known))),
        "ticktext": [in_plot(row["name"], 16) for part in groups.values() for row in part],
    }  # fmt: skip
    layout["yaxis"] = axis(words) | (_PERCENT if _is_share(measure) else {})
    layout["legend"] |= ABOVE
    layout["showlegend"] = len(groups) > 1
    layout["meta"]["rows"] = [row["name"] for part in groups.values() for row in part]
    return traces, layout


def _groups(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]] | None:
    """Head, medium and tail by training counts, each sorted; None where counts say nothing."""
    counts = [row.get("train_count") for row in rows]
    if any(count is None for count in counts) or len(set(counts)) < 2 or len(rows) < 3:
        return None
    parts = frequency_groups(torch.tensor(counts))
    if cut_tie(parts, torch.tensor(counts)) is not None:
        return None
    return {name: [rows[k] for k in index.tolist()] for name, index in parts.items() if len(index)}


def _bars(rows: list[dict[str, Any]], start: int, measure: str, group: str) -> dict[str, Any]:
    counts = [
        f", {number(row['train_count'])} training images" if row.get("train_count") else ""
        for row in rows
    ]
    return {
        "type": "bar", "name": group, "x": list(range(start, start + len(rows))),
        "y": [round(row[measure], 5) for row in rows],
        "text": [
            f"{in_plot(row['name'], 80)}{extra}<br>{number(row[measure])}"
            for row, extra in zip(rows, counts, strict=True)
        ],
        "textposition": "none", "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": _GROUP_COLOURS.get(group, palette.TEXT_SIDE), "line": {"width": 0}},
    }  # fmt: skip


def group_parts(
    records: Sequence[Mapping[str, Any]], names: Sequence[str] | None, *, measure: str, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.figures.group_accuracy`."""
    called = run_names([dict(record) for record in records]) if names is None else list(names)
    if len(called) != len(records):
        raise DataError(f"`names` has {len(called)} entries for {len(records)} runs")
    share, traces = _is_share(measure), []
    for place, (record, name) in enumerate(zip(records, called, strict=True)):
        groups = {key: values for key, values in (record["groups"] or {}).items() if values}
        values = {key: found.get(measure) for key, found in groups.items()}
        if any(value is not None for value in values.values()):
            traces.append(_group_bars(name, place, groups, values, share=share))
    if not traces:
        raise DataError(f"no run has head, medium and tail with a value of {measure!r}")
    words = _words(measure)
    without = len(records) - len(traces)
    said = f"{words[0].upper()}{words[1:]} by number of training images, {len(traces)} "
    said += "run." if len(traces) == 1 else "runs."
    said += f" {without} without groups left out." if without else ""
    layout = base_layout(title, [(None, said)], top=20)
    layout["barmode"], layout["bargap"] = "group", 0.3
    layout["xaxis"] = {**axis(), "type": "category", "showgrid": False}
    layout["yaxis"] = {**axis(words), "rangemode": "tozero", **(_PERCENT if share else {})}
    layout["legend"] |= ABOVE
    return traces, layout


def _group_bars(
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


def _words(measure: str) -> str:
    return COLUMNS[measure].title if measure in COLUMNS else measure


def _is_share(measure: str) -> bool:
    return measure in COLUMNS and COLUMNS[measure].share
