"""What a tuning run prints in the end: accuracies and measures, before and after."""

from collections.abc import Mapping, Sequence
from typing import Any

_ACCURACIES = ("base", "new", "h", "all", "head", "medium", "tail", "ece")
_MEASURES = (
    ("delta_lcd", "raw"),
    ("delta_lcd", "centred"),
    ("delta_mid", "raw"),
    ("delta_mid", "centred"),
)


def accuracy_table(record: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """Aligned text; a value that does not exist, such as new classes of a table, is a dash."""
    before, after = record["before"], record["accuracy"]
    rows = [["", "before", "after"]]
    for name in _ACCURACIES:
        if name in after:
            label = "H" if name == "h" else name
            rows.append([f"{label} %", _percent(before[name]), _percent(after[name])])
    for run in runs:
        if run["stage"] == "after":
            earlier = next(
                r for r in runs
                if r["stage"] == "before" and (r["data"], r["split"]) == (run["data"], run["split"])
            )  # fmt: skip
            for name, form in _MEASURES:
                pair = [_number(r["summary"][name][form]) for r in (earlier, run)]
                rows.append([f"{name} {form}, {run['data']} {run['split']}", *pair])
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}" for a, b, c in rows
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
