"""A table of words as CSV, Markdown or LaTeX; every cell is text, never markup."""

import csv
import io
from collections.abc import Callable, Sequence

from ncscope.errors import DataError
from ncscope.markup import in_latex, in_markdown
from ncscope.text import clean

Rows = Sequence[Sequence[str]]  # the first row has the heads, the first column names the rows


def as_csv(rows: Rows) -> str:
    """Comma-separated values."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([[clean(c) for c in row] for row in rows])
    return stream.getvalue()


def as_markdown(rows: Rows) -> str:
    """A Markdown table, numbers to the right."""
    heads, *body = [[in_markdown(cell) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, rule, *body))


def as_latex(rows: Rows) -> str:
    r"""A `tabular`; needs `\usepackage{booktabs}`."""
    heads, *body = [[in_latex(cell) for cell in row] for row in rows]
    columns = "l" + "r" * (len(heads) - 1)
    # a bracket at the start of a line would be read as an argument of the line break before it
    lines = [("{}" if row[0].startswith("[") else "") + " & ".join(row) + r" \\" for row in body]
    return "\n".join([
        r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        " & ".join(heads) + r" \\", r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


FORMATS: dict[str, Callable[[Rows], str]] = {
    "csv": as_csv, "md": as_markdown, "tex": as_latex,
}  # fmt: skip


def written_as(rows: Rows, form: str) -> str:
    """The table in one of the formats `csv`, `md` and `tex`.

    Raises:
        DataError: another format.
    """
    if form not in FORMATS:
        raise DataError(f"tables are written as {', '.join(FORMATS)}; got {form!r}")
    return FORMATS[form](rows)
