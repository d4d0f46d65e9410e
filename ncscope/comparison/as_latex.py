"""Tables as LaTeX (booktabs), the best of each column in bold, all text escaped."""

from collections.abc import Sequence

from ncscope.comparison.table import Table
from ncscope.markup import in_latex
from ncscope.text import clean


def as_latex(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    r"""A `table` environment each; needs `\usepackage{booktabs,graphicx}`.

    A table wider than the line is made smaller; one longer than a page is to be cut by hand.
    """
    lines = [r"% \usepackage{booktabs,graphicx}", *(_table(table) for table in tables)]
    lines += [f"% {clean(note)}" for note in notes]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> str:
    columns = "l" + "r" * (len(table.heads) - 1)
    body = [_line([in_latex(head) for head in table.heads]), r"\midrule"]
    for name, cells in table.rows:
        shown = [rf"\textbf{{{in_latex(c.shown)}}}" if c.best else in_latex(c.shown) for c in cells]
        body.append(_line([in_latex(name), *shown]))
    caption = in_latex(" ".join([f"{table.title}.", *table.notes]))
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        _FITTED, rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule", *body, r"\bottomrule", r"\end{tabular}}", r"\end{table}",
    ])  # fmt: skip


_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def _line(cells: Sequence[str]) -> str:
    # A bracket or star that starts a line after \\ would be read as belonging to it.
    first = "{}" + cells[0] if cells[0].startswith(("[", "*")) else cells[0]
    return f"{' & '.join([first, *cells[1:]])} \\\\"
