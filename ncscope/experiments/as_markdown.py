"""Tables as Markdown, the best of each column in bold."""

import re
from collections.abc import Sequence

from ncscope.experiments.table import Table
from ncscope.report.plain import clean

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#$~&])")


def as_markdown(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """A heading, a table and its notes each."""
    return "\n".join([*(_table(table) for table in tables), *(f"{_text(n)}\n" for n in notes)])


def _table(table: Table) -> str:
    heads = [_text(head) for head in table.heads]
    lines = [
        f"### {_text(table.title)}",
        "",
        _line(heads),
        _line(["---", *["---:"] * (len(heads) - 1)]),
    ]
    for name, cells in table.rows:
        shown = [f"**{_text(c.shown)}**" if c.best else _text(c.shown) for c in cells]
        lines.append(_line([_text(name), *shown]))
    return "\n".join([*lines, "", *(f"{_text(note)}  " for note in table.notes), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", clean(text))
