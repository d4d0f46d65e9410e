"""Tables as LaTeX (booktabs), the best of each column in bold, all text escaped."""

import re
from collections.abc import Sequence

from ncscope.experiments.table import Table
from ncscope.report.plain import clean

_ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "|": r"$|$", "<": r"$<$", ">": r"$>$", "±": r"$\pm$", "−": "$-$", "–": "--", "…": r"\dots{}",
    "×": r"$\times$", "ρ": r"$\rho$", "Δ": r"$\Delta$", "≤": r"$\leq$", "≥": r"$\geq$",
}  # fmt: skip
_ANY = re.compile("|".join(re.escape(sign) for sign in _ESCAPES))


def as_latex(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    r"""A `table` environment each; needs `\usepackage{booktabs}`."""
    lines = [r"% \usepackage{booktabs}", *(_table(table) for table in tables)]
    lines += [f"% {clean(note)}" for note in notes]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> str:
    columns = "l" + "r" * (len(table.heads) - 1)
    body = [_line([escaped(head) for head in table.heads]), r"\midrule"]
    for name, cells in table.rows:
        shown = [rf"\textbf{{{escaped(c.shown)}}}" if c.best else escaped(c.shown) for c in cells]
        body.append(_line([escaped(name), *shown]))
    caption = escaped(" ".join([f"{table.title}.", *table.notes]))
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ])  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    # A bracket that starts a line after \\ would be read as its optional argument.
    first = "{}" + cells[0] if cells[0].startswith("[") else cells[0]
    return f"{' & '.join([first, *cells[1:]])} \\\\"


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return _ANY.sub(lambda found: _ESCAPES[found[0]], clean(text))
