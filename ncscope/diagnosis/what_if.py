"""What moving a run's features along each measure did, in sentences and as rows of a table.

Each sentence is of one move at its full step, judged on images that the move has not seen.
"""

from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.moves import MOVES
from ncscope.diagnosis.tables import entry_of, value_at


def what_if(record: dict[str, Any]) -> list[str]:
    """A sentence a move of a run's record, the full step; nothing where none was made."""
    rows = record.get("interventions") or []
    first = {row["move"]: row for row in reversed(rows)}
    last = {row["move"]: row for row in rows if row["step"] > 0}
    return [_said(first[name], last[name]) for name in MOVES if name in last]


def _said(start: dict[str, Any], end: dict[str, Any]) -> str:
    move = MOVES[end["move"]]
    entry, form = entry_of(move.target)
    values = [value_at(row["summary"], move.target) for row in (start, end)]
    shown = " → ".join("undefined" if v is None else f"{v:.3f}" for v in values)
    words = f"{move.title[0].upper()}{move.title[1:]}"
    what = f"{form} {entry.title}".strip()
    part = "" if end["step"] == 1 else f", step {end['step']:g}"
    said = f"{words} ({what} {shown}{part}) {effect(end.get('change'))}"
    if (new := end.get("new_change")) is not None:
        said += f"; for the new classes it {effect(new)}"
    return f"{said}."


def effect(change: dict[str, Any] | None) -> str:
    """What a change in accuracy is, with its interval: "costs 3.1 points [2.2, 4.0]".

    An interval that holds 0 is no difference; without an interval the change stands alone.
    """
    if change is None or change["value"] is None:
        return "has no accuracy to change"
    value, low, high = (change[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return f"changes accuracy by {signed(value)} points"
    if low <= 0 <= high:
        return f"makes no difference that these images can tell ({_points(value, low, high)})"
    verb = "costs" if value < 0 else "gains"
    ends = sorted((abs(low), abs(high)))
    return f"{verb} {100 * abs(value):.1f} points [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def _points(value: float, low: float, high: float) -> str:
    return f"{signed(value)} points [{signed(low)}, {signed(high)}]"


def signed(share: float | None) -> str:
    """A share as points of per cent with its sign: +1.2, −0.4, 0.0."""
    if share is None:
        return "-"
    words = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if words in ("+0.0", "−0.0") else words


def move_rows(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[list[str]]:
    """Rows of words: run, move, step, accuracy, its change and interval, headline measures."""
    paths = ("delta_lcd.centred", "delta_mid.centred", "modality_gap", "nc1", "nc3")
    heads = [" ".join([entry_of(path)[0].title, entry_of(path)[1]]).strip() for path in paths]
    rows = [["run", "move", "step", "accuracy", "change", "95 %", *heads]]
    for record, name in zip(records, names, strict=True):
        for row in record.get("interventions") or []:
            change = row.get("change") or {"value": None, "low": None, "high": None}
            ends = [end for end in (change["low"], change["high"]) if end is not None]
            values = [value_at(row["summary"], path) for path in paths]
            rows.append(
                [
                    name, MOVES[row["move"]].title, f"{row['step']:g}",
                    "-" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f}",
                    signed(change["value"]),
                    "-" if len(ends) < 2 else f"{signed(ends[0])} to {signed(ends[1])}",
                    *("-" if value is None else f"{value:.4f}" for value in values),
                ]
            )  # fmt: skip
    return rows
