"""Single classes of runs beside the reference: a row a class, a dot a run, joined by a line.

K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncscope.diagnosis.against import reference_place
from ncscope.errors import DataError
from ncscope.figures import style as palette
from ncscope.figures.scene import Parts
from ncscope.figures.style import ABOVE, axis, base_layout
from ncscope.text import in_plot, number, run_names

# Key in a row of `per_class`, offset and sign that make the measure of it, title, whether a share
_PANELS = (
    ("accuracy", 0.0, 1.0, "accuracy", True),
    ("delta_lcd", 0.0, 1.0, "Δ LCD centred", False),
    ("cosine_centred", 1.0, -1.0, "Δ MID centred", False),
)
_LINE = 26  # pixels a class
Values = dict[str, dict[str, float]]  # class -> key -> value


@dataclass(frozen=True)
class _Side:
    name: str
    place: int | None  # of its run; None for what is no run of its own
    values: Values


def change_parts(
    records: Sequence[Mapping[str, Any]], names: Sequence[str] | None, *, most: int, title: str
) -> Parts:
    """Traces and layout of `ncscope.figures.figures.class_changes`."""
    called = run_names([dict(record) for record in records]) if names is None else list(names)
    reference, runs = _sides(records, called)
    chosen, count = _most_changed(reference, runs, most)
    keys = [panel for panel in _PANELS if any(panel[0] in reference.values[c] for c in chosen)]
    traces: list[dict[str, Any]] = []
    layout = base_layout(title, [(None, _said(len(chosen), count, reference.name))], top=20)
    for panel, (key, _, _, words, share) in enumerate(keys):
        suffix = "" if panel == 0 else str(panel + 1)
        traces += _panel(reference, runs, chosen, key, suffix, show=panel == 0, share=share)
        width = 1 / len(keys)
        layout[f"xaxis{suffix}"] = axis(words) | {
            "domain": [panel * width + 0.015 * (panel > 0), (panel + 1) * width - 0.015],
            "anchor": "y", **({"tickformat": ".0%"} if share else {}),
        }  # fmt: skip
    layout["yaxis"] = axis() | {
        "tickvals": list(range(len(chosen))), "ticktext": [in_plot(c, 24) for c in chosen],
        "range": [len(chosen) - 0.4, -0.6], "domain": [0, 1],
    }  # fmt: skip
    layout["legend"] |= ABOVE
    layout["height"] = 120 + _LINE * len(chosen)
    layout["meta"] |= {"rows": chosen, "pixels": 96 + _LINE * len(chosen)}
    return traces, layout


def _sides(
    records: Sequence[Mapping[str, Any]], called: Sequence[str]
) -> tuple[_Side, list[_Side]]:
    """The reference and the runs beside it."""
    sides = [
        _Side(name, place, _values(record["per_class"]))
        for place, (record, name) in enumerate(zip(records, called, strict=True))
    ]
    if len(sides) > 1:
        first = reference_place(records)
        return sides[first], sides[:first] + sides[first + 1 :]
    against = records[0].get("against") or {}
    if "per_class" not in against:
        raise DataError(
            "the run has no reference; give another source, or features with text_frozen"
        )
    return _Side(against["reference"], None, _values(against["per_class"])), sides


def _values(rows: Sequence[Mapping[str, Any]]) -> Values:
    return {
        row["name"]: {
            key: offset + sign * row[key]
            for key, offset, sign, _, _ in _PANELS
            if row.get(key) is not None
        }
        for row in rows
    }


def _most_changed(reference: _Side, runs: Sequence[_Side], most: int) -> tuple[list[str], int]:
    """The classes that changed most in a run, from the largest loss to the largest gain.

    What is compared is accuracy, then Δ MID, then Δ LCD: the first that there are values of.
    """
    for key in ("accuracy", "cosine_centred", "delta_lcd"):
        steps: dict[str, list[float]] = {}
        for run in runs:
            for name, values in run.values.items():
                before = reference.values.get(name, {})
                if key in values and key in before:
                    steps.setdefault(name, []).append(values[key] - before[key])
        if steps:
            largest = sorted(steps, key=lambda name: -max(map(abs, steps[name])))[:most]
            chosen = sorted(largest, key=lambda name: sum(steps[name]) / len(steps[name]))
            return chosen, len(steps)
    raise DataError("no run has a class in common with its reference")


def _said(drawn: int, count: int, reference: str) -> str:
    which = (
        f"All {number(count)} classes" if drawn == count else f"{drawn} of {number(count)} classes"
    )
    return f"{which}, from the largest mean loss to the largest gain. Rings: {reference}."


def _panel(
    reference: _Side, runs: Sequence[_Side], chosen: Sequence[str], key: str, suffix: str, *,
    show: bool, share: bool,
) -> list[dict[str, Any]]:  # fmt: skip
    """Lines from the reference to the farthest runs, the reference's rings, the runs' dots."""
    axes = {"type": "scatter", "xaxis": f"x{suffix}", "yaxis": "y"}
    ends: list[float | None] = []
    rows: list[float | None] = []
    for row, name in enumerate(chosen):
        found = [side.values[name][key] for side in (reference, *runs)
                 if key in side.values.get(name, {})]  # fmt: skip
        if len(found) > 1:
            ends += [min(found), max(found), None]
            rows += [row, row, None]
    traces: list[dict[str, Any]] = [{
        **axes, "mode": "lines", "x": ends, "y": rows, "hoverinfo": "skip", "showlegend": False,
        "line": {"color": palette.FAINT, "width": 3},
    }]  # fmt: skip
    for side in (reference, *runs):
        kept = [(row, name) for row, name in enumerate(chosen) if key in side.values.get(name, {})]
        lead = side is reference
        colour = palette.INK if side.place is None else palette.class_colour(side.place)
        form = "%{x:.1%}" if share else "%{x:.3f}"
        traces.append({
            **axes, "mode": "markers", "name": in_plot(side.name, 40),
            "legendgroup": in_plot(side.name),
            "showlegend": show, "x": [round(side.values[name][key], 5) for _, name in kept],
            "y": [row for row, _ in kept], "text": [in_plot(name, 80) for _, name in kept],
            "hovertemplate": f"%{{text}}<br>%{{fullData.name}}: {form}<extra></extra>",
            "marker": {
                "size": 9, "color": colour, "symbol": "circle-open" if lead else "circle",
                "line": {"width": 2 if lead else 0, "color": colour},
            },
        })  # fmt: skip
    return traces
