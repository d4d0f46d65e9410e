"""The report as one HTML file that opens offline: figures, tables, and all they depend on.

Nothing in it is fetched. A content security policy forbids it to, and lets no script run but
plotly and the page's own, named by their digests: a class name cannot become a script even if the
escaping of ncscope.text were to fail.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.verdict import alarm, comparison, verdict
from ncscope.diagnosis.what_if import what_if
from ncscope.figures.gallery import Plot, plots_of
from ncscope.page import tables
from ncscope.page.against import against_table
from ncscope.page.measures import cards, measures_table
from ncscope.page.thumbnails import Thumbnails, drawn_rows, thumbnails_of
from ncscope.text import in_html, in_script, page_title, run_names, same_classes, sizes
from ncscope.writing import __version__, write_text

_ASSETS = Path(__file__).with_name("assets")
_SECTIONS = ("simplex", "training", "cosines", "angles", "classes", "moves")


def page(runs: Sequence[Run], *, thumbnails: bool = True) -> str:
    """The whole HTML page, about 5 MB, nearly all of it plotly's script.

    `thumbnails` adds small pictures of the drawn images, of runs that have them at hand.
    """
    records = [run.record for run in runs]
    names = run_names(records)
    plots = plots_of(runs)
    scripts = {
        "plotly": get_plotlyjs(), "script": _asset("page.js"), "scenes": _asset("scenes.js"),
        "motion": _asset("motion.js"),
    }  # fmt: skip
    pictures = _pictures(runs, plots["simplex"], names) if thumbnails else Thumbnails()
    parts = {
        "policy": _policy(list(scripts.values())),
        "style": _asset("page.css"),
        "title": in_html(page_title(records)),
        "subtitle": _subtitle(records, names),
        "verdict": _verdict(records, names),
        "cards": cards(records, names),
        "measures": measures_table(records, names),
        "groups": tables.group_tables(records, names),
        "tables": tables.class_tables(records, names, compared=same_classes(records)),
        "warnings": tables.warnings_list(records, names),
        "conventions": tables.conventions(records, names),
        "provenance": tables.provenance(records, names),
        "version": in_html(__version__),
        "data": in_script(_figures(plots, names, runs)),
        "pictures": in_script({"rows": pictures.rows, "pictures": pictures.pictures}),
        "pictured": f'<p class="note">{in_html(pictures.note())}</p>' if pictures.note() else "",
        "trained": "" if plots["training"] else "hidden",
        "moved": "" if plots["moves"] else "hidden",
        "what_if": _what_if(records, names),
        **{f"plots_{s}": _plots(plots[s], s, runs=len(names)) for s in _SECTIONS},
        **scripts,
    }
    body = Template(_asset("page.html")).substitute(parts, size="$size")
    return body.replace("$size", f"{len(body.encode()) / 1e6:.1f} MB", 1)


def write_page(runs: Sequence[Run], path: str | Path, *, thumbnails: bool = True) -> None:
    """Write the page; it appears under its name only when it is complete.

    Raises:
        DataError: the file cannot be written.
    """
    write_text(Path(path), page(runs, thumbnails=thumbnails))


def _figures(
    plots: dict[str, list[Plot]], names: Sequence[str], runs: Sequence[Run]
) -> dict[str, dict[str, Any]]:
    """JSON of all figures by their place on the page; scenes with their run and class names."""
    found = {f"{s}-{i}": plot.json for s in _SECTIONS for i, plot in enumerate(plots[s])}
    for place, plot in enumerate(plots["simplex"]):
        run = names.index(plot.run)
        custom = [trace.get("customdata") or () for trace in plot.json["data"]]
        drawn = sorted({index for points in custom for index, _ in points})
        classnames = runs[run].features.classnames
        found[f"simplex-{place}"] |= {"run": run, "names": {k: classnames[k] for k in drawn}}
    return found


def _pictures(runs: Sequence[Run], plots: Sequence[Plot], names: Sequence[str]) -> Thumbnails:
    """Thumbnails of the images that the scenes draw."""
    drawn: list[set[int]] = [set() for _ in names]
    for plot in plots:
        drawn[names.index(plot.run)].update(drawn_rows(plot.json))
    return thumbnails_of([run.features for run in runs], [sorted(rows) for rows in drawn])


def _policy(scripts: Sequence[str]) -> str:
    """A content security policy: these scripts and no others, nothing from anywhere else."""
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'"
        for s in scripts
    )
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


def _subtitle(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Sizes, once where the runs share them, and the names of several runs."""
    found = [sizes(record) for record in records]
    if len(names) == 1:
        return _sizes(found[0])
    if all(own == found[0] for own in found):
        listed = ", ".join(f'<span class="name">{in_html(name)}</span>' for name in names)
        return f'{_sizes(found[0])}<p class="names">{listed}</p>'
    lines = [
        f'<li><span class="name">{in_html(name)}</span> {_sizes(own)}</li>'
        for name, own in zip(names, found, strict=True)
    ]
    return f'<ul class="runs">{"".join(lines)}</ul>'


def _sizes(found: Sequence[tuple[str, str]]) -> str:
    return " ".join(
        f'<span class="size"><b>{value}</b> {in_html(words)}</span>' for words, value in found
    )


def _verdict(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Alarms, then the comparison with the reference, then each run; several runs folded away."""
    alarms = [
        f"{name}: {said}" if len(names) > 1 else said
        for record, name in zip(records, names, strict=True)
        if (said := alarm(record)) is not None
    ]
    top = "".join(f'<p class="alarm" role="alert">{in_html(said)}</p>' for said in alarms)
    first = top + _paragraphs(comparison(records, names)) + against_table(records, names)
    if len(names) == 1:
        return first + _paragraphs([s for s in verdict(records[0]) if s not in alarms])
    runs = "".join(
        f'<h3 class="name">{in_html(name)}</h3>{_paragraphs(verdict(record))}'
        for record, name in zip(records, names, strict=True)
    )
    return f"{first}<details><summary>Each run in sentences</summary>{runs}</details>"


def _what_if(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The sentences of each run that was moved."""
    return "".join(
        (f'<h3 class="name">{in_html(name)}</h3>' if len(names) > 1 else "") + _paragraphs(said)
        for record, name in zip(records, names, strict=True)
        if (said := what_if(record))
    )


def _paragraphs(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{in_html(sentence)}</li>" for sentence in sentences)
    if not items:
        return ""
    return f'<ul class="verdict">{items}</ul>'


def _plots(plots: Sequence[Plot], section: str, *, runs: int) -> str:
    cells = []
    for place, plot in enumerate(plots):
        run = f'<span class="run name">{in_html(plot.run)}</span>' if runs > 1 else ""
        caption = " ".join(_words(form, words) for form, words in plot.caption)
        label = in_html(f"{plot.title}. {' '.join(words for _, words in plot.caption)}")
        cells.append(
            f'<figure class="{plot.kind}"><figcaption><h3>{run}{in_html(plot.title)}</h3>'
            f'<p class="note">{caption}</p></figcaption>'
            f'<div class="plot" data-figure="{section}-{place}" role="img" aria-label="{label}">'
            f"</div>{_slider(plot)}</figure>"
        )
    three = section == "simplex" and runs >= 3 and runs != 4  # four: two by two
    kind = "plots three" if three else "plots"
    return f'<div class="{kind}">{"".join(cells)}</div>' if cells else ""


def _slider(plot: Plot) -> str:
    """The slider of a figure with frames, and what the step shown is and shows."""
    count = len(plot.json.get("frames", []))
    if not count:
        return ""
    said = in_html(plot.json["layout"]["meta"]["steps"][0])
    return (
        f'<div class="steps"><button type="button" class="play" aria-label="Play">▶</button>'
        f'<input type="range" min="0" max="{count - 1}" value="0" aria-label="Evaluation" '
        f'aria-valuetext="{said}"></div><p class="note said" aria-live="polite">{said}</p>'
    )


def _words(form: str | None, words: str) -> str:
    """A sentence, shown only while its form is."""
    return in_html(words) if form is None else f'<span class="only-{form}">{in_html(words)}</span>'


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
