"""Measures as HTML: a row for each form of each measure, a column a run.

K classes, D width.
"""

from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.summary import GLOSSARY, SUMMARY, Entry
from ncscope.diagnosis.tables import entry_of, value_at
from ncscope.page.place import interval_of, swatch
from ncscope.text import NOTHING, in_html, number

_FORMS = ("raw", "centred")
_ARROWS = {"lower": "↓", "higher": "↑", None: ""}


def measures_table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Every measure of the summary, a row a form; for two runs of one K also the difference."""
    comparable = len({record["classes"] for record in records}) == 1
    pair = len(records) == 2 and comparable
    rows = [
        _row(path, entry, records, pair=pair, comparable=comparable, first=path == paths[0])
        for key, entry in GLOSSARY.items()
        if (paths := _paths(key))
        for path in paths
    ]
    heads = "".join(
        f'<th scope="col">{swatch(place) if len(names) > 1 else ""}'
        f'<span class="name">{in_html(name)}</span></th>'
        for place, name in enumerate(names)
    )
    if pair:
        heads += '<th scope="col">second − first</th>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Measures">'
        f'<table class="measures"><thead><tr><th scope="col">Measure</th>{heads}'
        '<th scope="col" class="words">Ideal</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        + _notes(records, comparable=comparable)
    )


def _row(
    path: str, entry: Entry, records: Sequence[dict[str, Any]], *, pair: bool, comparable: bool,
    first: bool,
) -> str:  # fmt: skip
    best = best_runs(records, path, entry.better) if comparable else {}
    cells = [_cell(record, path, mark=best.get(p, "")) for p, record in enumerate(records)]
    if pair:
        cells.append(_difference(records, path))
    form = entry_of(path)[1]
    meaning = f'<span class="meaning">{in_html(entry.meaning)}</span>' if first else ""
    return (
        f'<tr><th scope="row"><span class="title">{in_html(entry.title)}</span> '
        f'<span class="form">{form}</span>{meaning}</th>{"".join(cells)}'
        f'<td class="words"><span class="ideal">{in_html(entry.ideal)}</span> '
        f'<span class="way">{_ARROWS[entry.better]}</span>'
        f'<span class="small">{in_html(entry.low)} … {in_html(entry.high)}</span></td></tr>'
    )


def _cell(record: dict[str, Any], path: str, *, mark: str) -> str:
    value = value_at(record["summary"], path)
    if value is None:
        why = in_html(_reason(record, path))
        return (
            f'<td class="none"><abbr title="{why}" aria-label="undefined: {why}">'
            f"{NOTHING}</abbr></td>"
        )
    said = []
    if (ends := interval_of(record, path)) is not None:
        said.append(f"{number(ends[0])} – {number(ends[1])}")
    if (floor := _floor(record, path)) is not None:
        said.append(f"floor {number(floor)}")
    extra = "".join(f'<span class="small">{words}</span>' for words in said)
    return f"<td>{mark}<span>{number(value)}</span>{extra}</td>"


def _difference(records: Sequence[dict[str, Any]], path: str) -> str:
    first, second = (value_at(record["summary"], path) for record in records)
    if first is None or second is None:
        return f'<td class="none">{NOTHING}</td>'
    step = second - first
    return f"<td>{'+' if step > 0 else ''}{number(step)}</td>"


def _notes(records: Sequence[dict[str, Any]], *, comparable: bool) -> str:
    notes = []
    spans = [record["intervals"] for record in records if record["intervals"].get("values")]
    if spans:
        drawn = {value["replicates"] for span in spans for value in span["values"].values()}
        counts = " to ".join(number(count) for count in sorted({min(drawn), max(drawn)}))
        notes.append(
            f"Small figures: {number(100 * spans[0]['level'], 0)} % bootstrap intervals "
            f"({counts} replicates)."
        )
    if len(records) > 1 and comparable:
        notes.append("● best of the runs; ○ best, but its interval overlaps another's.")
    if not comparable:
        notes.append(
            "The runs differ in their number of classes: no best is marked, and distances to a "
            "simplex ETF must not be compared."
        )
    if any(_floor(r, "etf_distance.text.raw") is not None for r in records):
        notes.append("Floor: the least value possible, as K > D + 1 leaves no simplex ETF.")
    empty = sorted({_reason(r, path) for r in records for path in SUMMARY
                    if value_at(r["summary"], path) is None})  # fmt: skip
    notes += [f"{NOTHING} undefined: {why}." for why in empty]
    return "".join(f'<p class="note">{in_html(note)}</p>' for note in notes)


def best_runs(records: Sequence[dict[str, Any]], path: str, better: str | None) -> dict[int, str]:
    """The mark of each run that is best at a measure; hollow where its interval meets another's.

    None where the measure has no direction, or fewer than two runs have a value.
    """
    values = {
        p: v for p, r in enumerate(records) if (v := value_at(r["summary"], path)) is not None
    }
    if better is None or len(values) < 2 or len(set(values.values())) == 1:
        return {}
    best = (max if better == "higher" else min)(values.values())
    winners = [place for place, value in values.items() if value == best]
    spans = {p: span for p in values if (span := interval_of(records[p], path)) is not None}
    meets = any(
        spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
        for a in winners
        for b in spans
        if a in spans and b not in winners
    )
    words, mark = ("best; intervals overlap", "○") if meets else ("best", "●")
    return {p: f'<span class="best" title="{words}" aria-label="{words}">{mark}</span> '
            for p in winners}  # fmt: skip


def _paths(key: str) -> list[str]:
    """The paths in `summary` of a glossary entry: one, or its raw and centred form."""
    if key in SUMMARY:
        return [key]
    return [path for form in _FORMS if (path := f"{key}.{form}") in SUMMARY]


def _floor(record: dict[str, Any], path: str) -> float | None:
    """The least value that K classes in D dimensions allow, where that is above 0."""
    name, _, rest = path.partition(".")
    if name != "etf_distance":
        return None
    floor = record["bounds"]["etf_distance"][rest.partition(".")[0]]["floor"]
    return floor if floor > 0 else None


def _reason(record: dict[str, Any], path: str) -> str:
    """Why a value is null, as the run's warnings say it."""
    for warning in record["warnings"]:
        paths, found, why = warning.partition(": undefined, ")
        if found and path in paths.split(", "):
            return why
    return "undefined"
