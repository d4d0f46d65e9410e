"""Tables as Markdown, the best of each column in bold."""

from collections.abc import Sequence

from ncscope.comparison.table import Table
from ncscope.markup import in_markdown


def as_markdown(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """A heading, a table and its notes each."""
    return "\n".join(
        [*(_table(table) for table in tables), *(f"{in_markdown(n)}\n" for n in notes)]
    )


def _table(table: Table) -> str:
    heads = [in_markdown(head) for head in table.heads]
    lines = [
        f"### {in_markdown(table.title)}",
        "",
        _line(heads),
        _line(["---", *["---:"] * (len(heads) - 1)]),
    ]
    for name, cells in table.rows:
        shown = [f"**{in_markdown(c.shown)}**" if c.best else in_markdown(c.shown) for c in cells]
        lines.append(_line([in_markdown(name), *shown]))
    return "\n".join([*lines, "", *(f"{in_markdown(note)}  " for note in table.notes), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
