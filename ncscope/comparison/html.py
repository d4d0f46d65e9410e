"""A comparison as one HTML page that opens offline, without scripts: tables, pictures, notes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ncscope.comparison.association import Scatter, correlations, scatters
from ncscope.comparison.correlation import Correlation
from ncscope.comparison.pictures import gains_html, weights_html
from ncscope.comparison.rows import SPLIT_WORDS, Labelled, counted, tau_words, taus
from ncscope.comparison.scatter import Mark, marks_of, scatter_svg
from ncscope.comparison.table import Cell, Table, number
from ncscope.text import in_html
from ncscope.writing import __version__

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
    baseline: str | None = None,
    seed: int = 0,
) -> str:
    """The page. Every name is text, whatever it holds; a policy forbids scripts and the network."""
    style = Path(__file__).with_name("compare.css").read_text(encoding="utf-8")
    plots = _plots(rows, seed)
    runs = counted(rows)
    sections = [
        *(_table(table) for table in tables),
        gains_html(rows, baseline),
        weights_html(rows),
        *([f"<h2>Measures against accuracy</h2>{plots}"] if plots else []),
        *(["<h2>Correlations</h2>"] if correlated else []),
        *(_table(table) for table in correlated),
        *(["<h2>How to read this</h2>"] if notes else []),
        *(f"<p>{in_html(note)}</p>" for note in notes),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{runs} – ncscope</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<h1>{runs} compared</h1>\n{chr(10).join(sections)}\n"
        f'<p class="note">ncscope {in_html(__version__)}</p>\n</body>\n</html>\n'
    )


def _table(table: Table) -> str:
    named = (in_html(head).replace(":", ":<wbr>") for head in table.heads)
    heads = "".join(f'<th scope="col">{head}</th>' for head in named)
    body = []
    for name, cells in table.rows:
        row = "".join(f"<td>{_shown(cell)}</td>" for cell in cells)
        body.append(f'<tr><th scope="row">{in_html(name)}</th>{row}</tr>')
    notes = "".join(f'<p class="note">{in_html(note)}</p>' for note in table.notes)
    size = ' class="many"' if len(table.heads) > 11 else ""
    return (
        f'<h3>{in_html(table.title)}</h3><div class="wide"><table{size}>'
        f"<thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>{notes}"
    )


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
