"""Tables as tidy CSV: a line a cell, numbers at full precision, shares in [0, 1]."""

import csv
import io
from collections.abc import Sequence

from ncscope.experiments.table import Table

COLUMNS = ("table", "row", "column", "value", "deviation", "low", "high", "best", "shown")


def as_csv(tables: Sequence[Table]) -> str:
    """`value` is empty where there is none; `best` is 1 or empty; `shown` as in the other formats.

    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        for name, cells in table.rows:
            for head, cell in zip(table.heads[1:], cells, strict=True):
                numbers = [
                    "" if number is None else repr(number)
                    for number in (cell.value, cell.deviation, cell.low, cell.high)
                ]
                best = "1" if cell.best else ""
                shown = cell.shown if any(numbers) else _inert(cell.shown)
                names = [_inert(text) for text in (table.title, name, head)]
                writer.writerow([*names, *numbers, best, shown])
    return stream.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
