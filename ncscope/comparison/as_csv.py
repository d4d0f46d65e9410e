"""Tables as tidy CSV: a line a cell, numbers at full precision, shares in [0, 1]."""

import csv
import io
from collections.abc import Sequence

from ncscope.comparison.table import Table

COLUMNS = (
    "table", "kind", "data", "tau", "row", "column", "value", "deviation", "low", "high", "best",
    "shown",
)  # fmt: skip


def as_csv(tables: Sequence[Table]) -> str:
    """`value` is empty where there is none; `best` is 1 or empty; `shown` as in the other formats.

    `kind` is a layout, `tests` or `correlations`; `data` the data set, or `average`, where a table
    is of one; `tau` is empty where it has no one.
    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table in tables:
        tau = "" if table.tau is None else f"{table.tau:g}"
        for name, cells in table.rows:
            for head, cell in zip(table.heads[1:], cells, strict=True):
                numbers = [
                    "" if number is None else repr(number)
                    for number in (cell.value, cell.deviation, cell.low, cell.high)
                ]
                best = "1" if cell.best else ""
                shown = cell.shown if any(numbers) else _inert(cell.shown)
                about = [_inert(table.title), table.kind, _inert(table.data), tau]
                names = [_inert(text) for text in (name, head)]
                writer.writerow([*about, *names, *numbers, best, shown])
    return stream.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
