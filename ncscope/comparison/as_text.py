"""Tables as aligned text."""

import textwrap
import unicodedata
from collections.abc import Sequence

from ncscope.comparison.table import Table
from ncscope.text import clean

_WIDTH = 100


def as_text(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Tables one under the other; `*` after the best value of a column."""
    parts = [_table(table) for table in tables]
    marked = any(cell.best for table in tables for _, cells in table.rows for cell in cells)
    said = [*(["* best in its column."] if marked else []), *notes]
    if said:
        parts.append("\n".join(_wrapped(note) for note in said))
    return "\n\n".join(parts)


def _table(table: Table) -> str:
    body = [[clean(name), *(clean(c.shown) + ("*" if c.best else " ") for c in cells)]
            for name, cells in table.rows]  # fmt: skip
    heads = [clean(table.heads[0]), *(f"{clean(head)} " for head in table.heads[1:])]
    lines = [heads, *body]
    widths = [max(_columns(line[k]) for line in lines) for k in range(len(heads))]
    shown = [clean(table.title)]
    for line in lines:
        first = line[0] + " " * (widths[0] - _columns(line[0]))
        cells = [" " * (w - _columns(c)) + c for c, w in zip(line[1:], widths[1:], strict=True)]
        shown.append("  ".join([first, *cells]).rstrip())
    return "\n".join([*shown, *(_wrapped(note) for note in table.notes)])


def _wrapped(note: str) -> str:
    return textwrap.fill(clean(note), _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _columns(text: str) -> int:
    """Columns a terminal gives the text: two for wide characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF"
               else 1 for c in text)  # fmt: skip
