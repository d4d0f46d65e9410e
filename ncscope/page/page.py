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

from ncscope.diagnosis.against import reference_place
from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.verdict import alarm, comparison, overview, verdict
from ncscope.diagnosis.what_if import what_if
from ncscope.figures.gallery import plots_of
from ncscope.figures.plot import Plot
from ncscope.figures.points import points_of
from ncscope.figures.style import class_colour
from ncscope.page import tables
from ncscope.page.against import runs_table
from ncscope.page.cards import class_cards, confusions, looked_at, worst_rows
from ncscope.page.downloads import csv_tables
from ncscope.page.measures import measures_table
from ncscope.page.place import get_csv, place_strip
from ncscope.page.plots import figure_data, figures_html
from ncscope.page.thumbnails import Thumbnails, drawn_rows, thumbnails_of
from ncscope.page.tuned import tuned_table
from ncscope.text import in_html, in_script, page_title, run_names, sizes
from ncscope.writing import __version__, write_text

_ASSETS = Path(__file__).with_name("assets")
_SCRIPTS = ("page", "tables", "scenes", "motion", "link")
_SECTIONS = ("classes", "simplex", "cosines", "angles", "moves", "training")
_NAV = {
    "glance": "Verdict", "place": "Place", "classes": "Classes", "simplex": "Simplex",
    "cosines": "Cosines", "angles": "Angles", "moves": "What if", "training": "Training",
    "tuned": "Tuning", "measures": "All measures", "warnings": "Warnings",
    "conventions": "Conventions",
}  # fmt: skip


def page(runs: Sequence[Run], *, thumbnails: bool = True) -> str:
    """The whole HTML page, about 5 MB, nearly all of it plotly's script.

    `thumbnails` adds small pictures of the drawn images, of runs that have them at hand.
    """
    records = [run.record for run in runs]
    names = run_names(records)
    points = [points_of(run.features) for run in runs]
    plots = plots_of(runs, points)
    chosen = _first_chosen(records)
    classes = list(dict.fromkeys(name for run in runs for name in run.features.classnames))
    where = {name: place for place, name in enumerate(classes)}
    looked = [looked_at(run, one) for run, one in zip(runs, points, strict=True)]
    cards = [{} if found is None else class_cards(found, run, where)
             for found, run in zip(looked, runs, strict=True)]  # fmt: skip
    confused = {at: pairs for at, one in enumerate(looked) if one and (pairs := confusions(one))}
    pictures = _pictures(runs, plots["simplex"], cards) if thumbnails else Thumbnails()
    scripts = {"plotly": get_plotlyjs(), **{name: _asset(f"{name}.js") for name in _SCRIPTS}}
    strip = place_strip(records, names)
    left_out = {name for name in _SECTIONS if name != "classes" and not plots[name]}
    tuned = tuned_table(records, names)
    left_out |= {name for name, part in (("place", strip), ("tuned", tuned)) if not part}
    parts = {
        "policy": _policy(list(scripts.values())),
        "style": _asset("page.css"),
        "title": in_html(page_title(records)),
        "subtitle": _subtitle(records, names),
        "nav": _nav(left_out),
        "choice": _choice(names, chosen),
        "verdict": _verdict(records, names),
        "place": strip,
        "tuned": tuned,
        "measures": measures_table(records, names),
        "groups": tables.group_tables(records, names, chosen=chosen),
        "confusions": "".join(
            tables.confusion_table(pairs, records[at], at, where, hides=at != chosen)
            for at, pairs in confused.items()
        ),
        "tables": tables.class_tables(records, chosen=chosen, where=where),
        "warnings": tables.warnings_list(records, names),
        "conventions": tables.conventions(records, names),
        "provenance": tables.provenance(records, names),
        "version": in_html(__version__),
        "data": in_script(figure_data(plots, [run.features.classnames for run in runs], where)),
        "links": in_script({
            "classes": classes, "runs": names, "cards": cards,
            "colours": [class_colour(place) for place in range(len(names))],
            "tables": csv_tables(records, names, confused),
        }),
        "pictures": in_script({"rows": pictures.rows, "pictures": pictures.pictures}),
        "pictured": f'<p class="note">{in_html(pictures.note())}</p>' if pictures.note() else "",
        "what_if": _what_if(records, names),
        **{f"no_{name}": "hidden" if name in left_out else "" for name in _NAV},
        **{
            f"plots_{name}": figures_html(plots[name], name, runs=len(names), chosen=chosen)
            for name in _SECTIONS
        },
        **{f"script_{name}": content for name, content in scripts.items()},
    }  # fmt: skip
    body = Template(_asset("page.html")).substitute(parts, size="$size")
    return body.replace("$size", f"{len(body.encode()) / 1e6:.1f} MB", 1)


def write_page(runs: Sequence[Run], path: str | Path, *, thumbnails: bool = True) -> None:
    """Write the page; it appears under its name only when it is complete.

    Raises:
        DataError: the file cannot be written.
    """
    write_text(Path(path), page(runs, thumbnails=thumbnails))


def _first_chosen(records: Sequence[dict[str, Any]]) -> int:
    """The run that is shown first where one is: the first that is not the reference."""
    if len(records) == 1:
        return 0
    return next(place for place in range(2) if place != reference_place(records))


def _pictures(
    runs: Sequence[Run], plots: Sequence[Plot], cards: Sequence[dict[int, dict[str, Any]]]
) -> Thumbnails:
    """Thumbnails of the images that the scenes draw and the cards show."""
    drawn: list[set[int]] = [worst_rows(own) for own in cards]
    for plot in plots:
        if plot.place is not None:
            drawn[plot.place].update(drawn_rows(plot.json))
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


def _nav(left_out: set[str]) -> str:
    """Links to the sections that are there."""
    return " ".join(
        f'<a href="#{name}">{words}</a>' for name, words in _NAV.items() if name not in left_out
    )


def _choice(names: Sequence[str], chosen: int) -> str:
    """The choice of the run that figures and tables of single runs show."""
    if len(names) == 1:
        return ""
    options = "".join(
        f'<option value="{place}"{" selected" if place == chosen else ""}>{in_html(name)}</option>'
        for place, name in enumerate(names)
    )
    return f'<label class="run-label">Run <select class="run-choice">{options}</select></label>'


def _subtitle(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Sizes, once where the runs share them."""
    found = [sizes(record) for record in records]
    if all(own == found[0] for own in found):
        return _sizes(found[0])
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
    compared = comparison(records, names)
    first = top + _paragraphs(compared)
    if len(compared) > 3:
        first = f"{top}{_paragraphs(overview(records, names))}<details><summary>Each run against "
        first += f"the reference</summary>{_paragraphs(compared)}</details>"
    table = runs_table(records, names)
    if len(names) == 1:
        return first + _paragraphs([s for s in verdict(records[0]) if s not in alarms]) + table
    runs = "".join(
        f'<h3 class="name">{in_html(name)}</h3>{_paragraphs(verdict(record))}'
        for record, name in zip(records, names, strict=True)
    )
    return f"{first}{table}<details><summary>Each run in sentences</summary>{runs}</details>"


def _what_if(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The sentences of each run that was moved."""
    said = "".join(
        (f'<h3 class="name">{in_html(name)}</h3>' if len(names) > 1 else "") + _paragraphs(words)
        for record, name in zip(records, names, strict=True)
        if (words := what_if(record))
    )
    return said and said + get_csv("what-if")


def _paragraphs(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{in_html(sentence)}</li>" for sentence in sentences)
    if not items:
        return ""
    return f'<ul class="verdict">{items}</ul>'


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
