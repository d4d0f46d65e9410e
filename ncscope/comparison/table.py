"""A table of results, and its forms: aligned text, Markdown, LaTeX and tidy CSV."""

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ncscope.text import clean, in_csv, in_latex, in_markdown
from ncscope.text import number as figure

NONE = "–"
COLUMNS = (
    "table", "kind", "data", "tau", "row", "column", "value", "deviation", "low", "high", "best",
    "shown",
)  # fmt: skip
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
_WIDTH = 100


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and the number behind it as a file for machines keeps it.

    Shares are kept as shares in [0, 1] and shown in percent.
    """

    shown: str
    value: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """`heads` names the columns, that of the row names first; each row is its name and cells.

    `kind`, `data` and `tau` say for machines what the title says for people, where it does.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()
    kind: str = ""
    data: str = ""
    tau: float | None = None


def percent(value: float | None, deviation: float | None = None, *, sign: bool = False) -> Cell:
    """A share in percent, two places as the field prints it, with a deviation if there is one."""
    if value is None:
        return Cell(NONE)
    shown = f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"
    if deviation is not None:
        shown += f" ± {100 * deviation:.2f}"
    return Cell(shown.replace("-", "−"), value, deviation)


def number(value: float | None, places: int = 3) -> Cell:
    """A number with a fixed count of places."""
    return Cell(NONE) if value is None else Cell(f"{value:.{places}f}".replace("-", "−"), value)


def measured(value: float | None, deviation: float | None = None, *, sign: bool = False) -> Cell:
    """A measure's value, three digits, small ones with their power of ten; and a deviation."""
    if value is None:
        return Cell(NONE)
    shown = f"{'+' if sign and value >= 0 else ''}{figure(value)}"
    if deviation is not None:
        small = abs(value) < 1e-3 or deviation >= 10
        shown += f" ± {figure(deviation) if small else f'{deviation:.3f}'}"
    return Cell(shown, value, deviation)


def probability(value: float | None) -> Cell:
    """A p value: three significant digits below 0.1, no smaller than can be told from 0."""
    if value is None:
        return Cell(NONE)
    return Cell("< 0.0001" if value < 1e-4 else f"{value:.3g}" if value < 0.1 else f"{value:.2f}",
                value)  # fmt: skip


def span(low: float | None, high: float | None, ends: Sequence[Cell]) -> Cell:
    """An interval, its two ends shown as the given cells are."""
    if low is None or high is None:
        return Cell(NONE)
    return Cell(f"[{ends[0].shown}, {ends[1].shown}]", low=low, high=high)


def words(text: object) -> Cell:
    """A cell of words, or of a count."""
    return Cell(str(text), float(text) if isinstance(text, int) else None)


def mark_best(
    rows: Sequence[tuple[str, tuple[Cell, ...]]],
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Mark the largest share of each column, and all that print the same; none where all do."""
    tops: list[float | None] = []
    for column in zip(*(cells for _, cells in rows), strict=True):
        found = {_printed(cell.value) for cell in column if cell.value is not None}
        tops.append(max(found) if len(found) > 1 else None)
    return tuple(
        (name, tuple(
            replace(cell, best=cell.value is not None and _printed(cell.value) == top)
            for cell, top in zip(cells, tops, strict=True)
        ))
        for name, cells in rows
    )  # fmt: skip


def _printed(share: float) -> float:
    return round(100 * share, 2)


def as_csv(tables: Sequence[Table]) -> str:
    """`value` is empty where there is none; `best` is 1 or empty; `shown` as in the other formats.

    `kind` is a layout, `tests` or `correlations`; `data` the data set, or `average`, where a table
    is of one; `tau` is empty where it has no one.
    Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    rows: list[tuple[object, ...]] = [COLUMNS]
    for table in tables:
        tau = "" if table.tau is None else f"{table.tau:g}"
        about = (table.title, table.kind, table.data, tau)
        for name, cells in table.rows:
            for head, cell in zip(table.heads[1:], cells, strict=True):
                numbers = (cell.value, cell.deviation, cell.low, cell.high)
                rows.append((*about, name, head, *numbers, "1" if cell.best else "", cell.shown))
    return in_csv(rows)


def as_latex(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    r"""A `table` environment each; needs `\usepackage{booktabs,graphicx}`.

    A table wider than the line is made smaller; one longer than a page is to be cut by hand.
    """
    lines = [r"% \usepackage{booktabs,graphicx}", *(_latex_table(table) for table in tables)]
    lines += [f"% {clean(note)}" for note in notes]
    return "\n".join(lines) + "\n"


def _latex_table(table: Table) -> str:
    columns = "l" + "r" * (len(table.heads) - 1)
    body = [_latex_line([in_latex(head) for head in table.heads]), r"\midrule"]
    for name, cells in table.rows:
        shown = [rf"\textbf{{{in_latex(c.shown)}}}" if c.best else in_latex(c.shown) for c in cells]
        body.append(_latex_line([in_latex(name), *shown]))
    caption = in_latex(" ".join([f"{table.title}.", *table.notes]))
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        _FITTED, rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule", *body, r"\bottomrule", r"\end{tabular}}", r"\end{table}",
    ])  # fmt: skip


def _latex_line(cells: Sequence[str]) -> str:
    # A bracket or star that starts a line after \\ would be read as belonging to it.
    first = "{}" + cells[0] if cells[0].startswith(("[", "*")) else cells[0]
    return f"{' & '.join([first, *cells[1:]])} \\\\"


def as_markdown(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """A heading, a table and its notes each."""
    return "\n".join(
        [*(_markdown_table(table) for table in tables), *(f"{in_markdown(n)}\n" for n in notes)]
    )


def _markdown_table(table: Table) -> str:
    heads = [in_markdown(head) for head in table.heads]
    lines = [
        f"### {in_markdown(table.title)}",
        "",
        _markdown_line(heads),
        _markdown_line(["---", *["---:"] * (len(heads) - 1)]),
    ]
    for name, cells in table.rows:
        shown = [f"**{in_markdown(c.shown)}**" if c.best else in_markdown(c.shown) for c in cells]
        lines.append(_markdown_line([in_markdown(name), *shown]))
    return "\n".join([*lines, "", *(f"{in_markdown(note)}  " for note in table.notes), ""])


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_text(tables: Sequence[Table], notes: Sequence[str] = ()) -> str:
    """Tables one under the other; `*` after the best value of a column."""
    parts = [_text_table(table) for table in tables]
    marked = any(cell.best for table in tables for _, cells in table.rows for cell in cells)
    said = [*(["* best in its column."] if marked else []), *notes]
    if said:
        parts.append("\n".join(_wrapped(note) for note in said))
    return "\n\n".join(parts)


def _text_table(table: Table) -> str:
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
