"""Many runs as one table, a row a run: what it is, its log's accuracy, its headline numbers."""

from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.outcome import data_identity, short_names
from ncscope.diagnosis.tables import value_at
from ncscope.text import clean, number

SHOWN = ("delta_lcd.raw", "delta_lcd.centred", "delta_mid.raw", "delta_mid.centred",
         "etf_distance.cross.centred", "nc1", "nc3")  # fmt: skip
_FACTS = ("run", "method", "data", "classes", "seed", "epoch", "log %", "accuracy.top1 %")
_NONE = "–"


def run_rows(records: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heads, then a row a run, as words; measures have their names in `summary`."""
    names = short_names({str(record["source"]) for record in records})
    rows = [[*_FACTS, *SHOWN]]
    for record in records:
        told = record.get("run") or {}
        top1 = record["summary"]["accuracy"]["top1"]
        logged = told.get("accuracy")
        rows.append([
            clean(names[str(record["source"])]),
            clean(told.get("method") or "zero-shot"),
            clean(data_identity(str(record["data"]))),
            str(record.get("split") or _NONE),
            *(_NONE if told.get(key) is None else str(told[key]) for key in ("seed", "epoch")),
            _NONE if logged is None else f"{logged:.2f}",
            _NONE if top1 is None else f"{100 * top1:.2f}",
            *(_word(value_at(record["summary"], path)) for path in SHOWN),
        ])  # fmt: skip
    return rows


def run_table(records: Sequence[dict[str, Any]]) -> str:
    """The same as aligned text: words to the left, numbers to the right."""
    rows = run_rows(records)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if k < 4 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _word(value: float | None) -> str:
    return _NONE if value is None else number(value)
