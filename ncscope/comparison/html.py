"""A comparison as one HTML page that opens offline: tables, pictures, notes, in the report's look.

Nothing in it needs its script: that sorts and saves tables, and keeps the reader's theme.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ncscope import page
from ncscope.comparison.association import Scatter, correlations, scatters
from ncscope.comparison.correlation import Correlation
from ncscope.comparison.pictures import gains_html, weights_html
from ncscope.comparison.rows import SPLIT_WORDS, Labelled, counted, tau_words, taus
from ncscope.comparison.scatter import Mark, marks_of, scatter_svg
from ncscope.comparison.table import Cell, Table, as_csv, number
from ncscope.text import in_html, in_script
from ncscope.writing import __version__

_STYLE = Path(page.__file__).with_name("assets") / "page.css"
_MOST_OPEN = 3  # tables of a section
# Figure 2's two measures; K-free forms, so that data sets may share an axis.
_PLOTTED = {
    "delta_mid/cosine/centred": "Δ MID, centred", "delta_mid/cosine/raw": "Δ MID, raw",
    "delta_lcd/cosine/centred": "Δ LCD, centred", "delta_lcd/cosine/raw": "Δ LCD, raw",
}  # fmt: skip
_TARGETS = {"base": "base", "new": "new", "h": "H", "all": "accuracy"}


def as_html(
    rows: Sequence[Labelled],
    tables: Sequence[Table],
    correlated: Sequence[Table],
    notes: Sequence[str] = (),
    *,
    measures: Sequence[Table] = (),
    baseline: str | None = None,
    seed: int = 0,
) -> str:
    """The page. Every name is text, whatever it holds; a policy lets no script run but its own."""
    plots = _plots(rows, seed)
    runs = counted(rows)
    every = [*tables, *measures, *correlated]  # in the order of their buttons
    parts = {
        "accuracy": ("Accuracy", _tables(tables, 0) if tables else ""),
        "measures": ("Measures", _tables(measures, len(tables)) if measures else ""),
        "gains": ("Gains", gains_html(rows, baseline)),
        "weights": ("Weights", weights_html(rows)),
        "against": ("Measures against accuracy", plots),
        "correlations": ("Correlations",
                         _tables(correlated, len(tables) + len(measures)) if correlated else ""),
        "notes": ("How to read this", "".join(f"<p>{in_html(note)}</p>" for note in notes)),
    }  # fmt: skip
    here = {name: part for name, part in parts.items() if part[1]}
    nav = " ".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in here.items())
    sections = "\n".join(
        f'<section id="{name}">{"" if body.startswith("<h2>") else f"<h2>{title}</h2>"}{body}'
        f"</section>"
        for name, (title, body) in here.items()
    )
    script = _asset("compare.js")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{runs} – ncscope</title>\n<style>{_STYLE.read_text(encoding='utf-8')}"
        f"{_asset('compare.css')}</style>\n</head>\n<body>\n<header>\n"
        '<div class="bar-top"><span class="brand">ncscope <span>comparison</span></span>'
        '<button type="button" id="theme">Dark</button></div>\n'
        f"<h1>{runs} compared</h1>\n</header>\n"
        f'<nav aria-label="Sections">{nav}</nav>\n<main>\n{sections}\n</main>\n'
        f"<footer>ncscope {in_html(__version__)} · this page holds everything it shows and fetches "
        "nothing</footer>\n"
        '<script type="application/json" id="tables">'
        f"{in_script([{'title': t.title, 'csv': as_csv([t])} for t in every])}</script>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _tables(tables: Sequence[Table], first: int) -> str:
    """Tables with their buttons; of many those of single data sets and measures folded away."""
    folded = [
        len(tables) > _MOST_OPEN and table.data != "average" and table.kind != "tests"
        for table in tables
    ]
    if all(folded):
        folded[0] = False
    return "".join(
        _table(table, place, folded=fold)
        for place, (table, fold) in enumerate(zip(tables, folded, strict=True), first)
    )


def _table(table: Table, place: int, *, folded: bool) -> str:
    named = (in_html(head).replace(":", ":<wbr>") for head in table.heads)
    heads = "".join(f'<th scope="col">{head}</th>' for head in named)
    body = []
    for name, cells in table.rows:
        row = "".join(f"<td{_number(cell)}>{_shown(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row">{in_html(name)}</th>{row}</tr>')
    notes = "".join(f'<p class="note">{in_html(note)}</p>' for note in table.notes)
    size = ' class="many"' if len(table.heads) > 11 else ""
    get = f'<span class="get"><button type="button" data-csv="{place}">CSV</button></span>'
    shown = (
        f'<div class="wide"><table{size}><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{notes}"
    )
    if folded:
        return f"<details><summary>{in_html(table.title)}</summary>{get}{shown}</details>"
    return f"<h3>{in_html(table.title)} {get}</h3>{shown}"


def _number(cell: Cell) -> str:
    return "" if cell.value is None else f' data-v="{cell.value!r}"'


def _shown(cell: Cell) -> str:
    mean, sign, deviation = in_html(cell.shown).partition(" ± ")
    strong = f"<b>{mean}</b>" if cell.best else mean
    return f"{strong} <span>± {deviation}</span>" if sign else strong


def _plots(rows: Sequence[Labelled], seed: int) -> str:
    """Each plotted measure of the base classes against each accuracy, of the new against new."""
    wanted = {("base", "base"), ("base", "new"), ("base", "h"), ("new", "new"), ("all", "all")}
    plotted = (s for s in scatters(rows) if s.measure in _PLOTTED and len(s.values) > 2)
    found = [s for s in plotted if (s.split, s.target) in wanted]
    if not found:
        return ""
    ordered = sorted(found, key=lambda s: list(_PLOTTED).index(s.measure))
    marks = marks_of(dict.fromkeys(name for scatter in ordered for name in scatter.groups))
    figures = "".join(_figure(s, correlations(rows, s, seed=seed), marks, seed) for s in ordered)
    ratios = taus(rows)
    several = f" Runs of tau {tau_words(ratios)} together." if len(ratios) > 1 else ""
    return (
        f"<p>A point is a run on one data set.{several} Left of each pair: as it is, with each "
        "data set's own line. Right: in standard deviations within its data set, one line over "
        "all, its band from data sets "
        f'drawn anew.</p>{_key(marks)}<div class="pairs">{figures}</div>'
    )


def _key(marks: Mapping[str, Mark]) -> str:
    items = (
        f'<li><svg viewBox="-5 -5 10 10" aria-hidden="true">{mark.svg(0, 0)}</svg>'
        f"{in_html(name)}</li>"
        for name, mark in marks.items()
    )
    return f'<ul class="key">{"".join(items)}</ul>'


def _figure(scatter: Scatter, found: Correlation, marks: Mapping[str, Mark], seed: int) -> str:
    across = f"{_PLOTTED[scatter.measure]}, {SPLIT_WORDS[scatter.split]}"
    up = _TARGETS[scatter.target]
    pooled, partial = found.pooled_spearman, found.pooled_partial
    said = f"pooled ρ {number(pooled.value, 2).shown}"
    if pooled.low is not None:
        said += (f" [{number(pooled.low, 2).shown}, {number(pooled.high, 2).shown}], "
                 f"{pooled.n} points, {pooled.groups} data sets")  # fmt: skip
    if partial.value is not None:
        said += f"; given base accuracy {number(partial.value, 2).shown}"
    head = in_html(f"{across} – {up}")
    raw, scored = (
        scatter_svg(scatter, marks, across=across, up=up, z_scored=z, seed=seed)
        for z in (False, True)
    )
    return (
        f'<figure><figcaption>{head} <span class="note">{in_html(said)}</span></figcaption>'
        f'<div class="pair">{raw}{scored}</div></figure>'
    )
