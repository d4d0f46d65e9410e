"""One value a class as bars, from the most frequent class to the rarest.

K classes.
"""

from collections.abc import Mapping
from typing import Any

from ncscope.diagnosis.columns import COLUMNS
from ncscope.errors import DataError
from ncscope.figures import palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import axis, base_layout
from ncscope.metrics.groups import frequency_groups
from ncscope.text import in_plot, number

FEWEST = 12
NAMED = 40  # more names than this cannot be read along an axis
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
    words = COLUMNS[measure].title if measure in COLUMNS else measure
    groups = _groups(known)
    if groups is None:
        known.sort(key=lambda row: -row[measure])
        groups, order = {"": known}, "from the largest value to the smallest"
    else:
        order = "from the most training images to the fewest"
    named = len(known) <= NAMED
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
        "range": [-0.5, max(len(known), FEWEST) - 0.5],  # a few bars need not fill the width
        "tickvals": list(range(len(known))),
        "ticktext": [in_plot(row["name"], 16) for part in groups.values() for row in part],
    }  # fmt: skip
    layout["yaxis"] = axis(words)
    if measure in COLUMNS and COLUMNS[measure].share:
        layout["yaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    layout["legend"] |= {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    layout["showlegend"] = len(groups) > 1
    return traces, layout


def _groups(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]] | None:
    """Head, medium and tail by training counts, each sorted; None where counts say nothing."""
    import torch

    counts = [row.get("train_count") for row in rows]
    if any(count is None for count in counts) or len(set(counts)) < 2 or len(rows) < 3:
        return None
    parts = frequency_groups(torch.tensor(counts))
    return {name: [rows[k] for k in index.tolist()] for name, index in parts.items() if len(index)}


def _bars(rows: list[dict[str, Any]], start: int, measure: str, group: str) -> dict[str, Any]:
    digits = 3
    count = [
        f", {number(row['train_count'])} training images" if row.get("train_count") else ""
        for row in rows
    ]
    return {
        "type": "bar", "name": group, "x": list(range(start, start + len(rows))),
        "y": [round(row[measure], 5) for row in rows],
        "text": [
            f"{in_plot(row['name'], 80)}{extra}<br>{number(row[measure], digits)}"
            for row, extra in zip(rows, count, strict=True)
        ],
        "textposition": "none", "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": _GROUP_COLOURS.get(group, palette.TEXT_SIDE), "line": {"width": 0}},
    }  # fmt: skip
