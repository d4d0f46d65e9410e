"""Measures as HTML: a row a measure, raw and centred of every run; the headline numbers as cards.

K classes, D width.
"""

from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.summary import GLOSSARY, SUMMARY, Entry
from ncscope.diagnosis.tables import value_at
from ncscope.text import NOTHING, in_html, number, percent

_FORMS = ("raw", "centred")
_ARROWS = {"lower": "↓ lower", "higher": "↑ higher", None: ""}
# Measure -> its forms, the one to read first in front
_CARDS = {
    "accuracy.top1": ("",), "delta_lcd": ("centred", "raw"), "delta_mid": ("centred", "raw"),
    "etf_distance.text": ("centred", "raw"), "etf_distance.image": ("centred", "raw"),
    "etf_distance.cross": ("centred", "raw"), "nc1": ("",), "nc4": ("",), "modality_gap": ("",),
    "effective_rank.text": ("",),
}  # fmt: skip
_MOST = 8  # cards


def measures_table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Every measure of the summary; for two runs of one K also the difference."""
    comparable = len({record["classes"] for record in records}) == 1
    pair = len(records) == 2 and comparable
    heads = [*names, "second − first"] if pair else list(names)
    rows = [
        _row(key, entry, records, pair=pair, comparable=comparable)
        for key, entry in GLOSSARY.items()
        if _paths(key)
    ]
    top = "".join(
        f'<th scope="colgroup" colspan="2"><span class="name">{in_html(name)}</span></th>'
        for name in heads
    )
    forms = '<th scope="col">raw</th><th scope="col">centred</th>' * len(heads)
    groups = '<colgroup span="2"></colgroup>' * len(heads)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Measures">'
        f'<table class="measures"><colgroup></colgroup>{groups}<colgroup></colgroup><thead>'
        f'<tr><th scope="col" rowspan="2">Measure</th>{top}'
        '<th scope="col" rowspan="2" class="words">Ideal, range</th></tr>'
        f"<tr>{forms}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        + _notes(records, comparable=comparable)
    )


def _row(
    key: str, entry: Entry, records: Sequence[dict[str, Any]], *, pair: bool, comparable: bool
) -> str:
    paths = _paths(key)
    best = {path: best_runs(records, path, entry.better) if comparable else {} for path in paths}
    cells = [
        _cell(record, path, mark=best[path].get(place, ""), wide=len(paths) == 1)
        for place, record in enumerate(records)
        for path in paths
    ]
    if pair:
        cells += [_difference(records, path, wide=len(paths) == 1) for path in paths]
    return (
        f'<tr><th scope="row"><span class="title">{in_html(entry.title)}</span>'
        f'<span class="meaning">{in_html(entry.meaning)}</span></th>{"".join(cells)}'
        f'<td class="words"><span class="ideal">{in_html(entry.ideal)}</span> '
        f'<span class="way">{_ARROWS[entry.better]}</span>'
        f'<span class="meaning">{in_html(entry.low)} … {in_html(entry.high)}</span></td></tr>'
    )


def _cell(record: dict[str, Any], path: str, *, mark: str, wide: bool) -> str:
    value = value_at(record["summary"], path)
    span = ' colspan="2"' if wide else ""
    if value is None:
        why = in_html(_reason(record, path))
        return (
            f'<td{span} class="none"><abbr title="{why}" aria-label="undefined: {why}">'
            f"{NOTHING}</abbr></td>"
        )
    said = []
    if (ends := _interval(record, path)) is not None:
        said.append(f"{number(ends[0])} – {number(ends[1])}")
    if (floor := _floor(record, path)) is not None:
        said.append(f"floor {number(floor)}")
    extra = "".join(f'<span class="small">{words}</span>' for words in said)
    return f"<td{span}>{mark}<span>{number(value)}</span>{extra}</td>"


def _difference(records: Sequence[dict[str, Any]], path: str, *, wide: bool) -> str:
    first, second = (value_at(record["summary"], path) for record in records)
    span = ' colspan="2"' if wide else ""
    if first is None or second is None:
        return f'<td{span} class="none">{NOTHING}</td>'
    step = second - first
    return f"<td{span}>{'+' if step > 0 else ''}{number(step)}</td>"


def _notes(records: Sequence[dict[str, Any]], *, comparable: bool) -> str:
    notes = []
    spans = [record["intervals"] for record in records if record["intervals"].get("values")]
    if spans:
        notes.append(
            f"Small figures: {number(100 * spans[0]['level'], 0)} % bootstrap intervals "
            f"({number(spans[0]['replicates'])} replicates)."
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
    spans = {p: span for p in values if (span := _interval(records[p], path)) is not None}
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


def _interval(record: dict[str, Any], path: str) -> tuple[float, float] | None:
    """The bootstrap interval of a summary value, if it has one."""
    found = record["intervals"].get("values", {}).get(SUMMARY[path][0])
    return None if found is None else (found["low"], found["high"])


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


def cards(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """A card a measure for the measures that some run has, at most eight."""
    shown = [
        key
        for key, forms in _CARDS.items()
        if any(value_at(r["summary"], _path(key, forms[0])) is not None for r in records)
    ]
    return f'<div class="cards">{"".join(_card(k, records, names) for k in shown[:_MOST])}</div>'


def _card(key: str, records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    entry, forms = GLOSSARY[key], _CARDS[key]
    lines = [
        _line(record, key, forms, name if len(records) > 1 else None)
        for record, name in zip(records, names, strict=True)
    ]
    way = {"lower": " · lower is nearer", "higher": " · higher is better", None: ""}[entry.better]
    many = len(records) > 3  # a line a run, without room for the forms' names
    kind = "card many" if many else "card"
    key_words = f"● {forms[0]}, ○ {forms[1]} · " if many and len(forms) > 1 else ""
    return (
        f'<section class="{kind}"><h3>{in_html(entry.title)}</h3>'
        f'<p class="meaning">{in_html(entry.meaning)}</p>{"".join(lines)}'
        f'<p class="foot">{key_words}ideal {in_html(entry.ideal)}{way}</p></section>'
    )


def _line(record: dict[str, Any], key: str, forms: Sequence[str], name: str | None) -> str:
    """One run's value, its other form beside it, and the bar."""
    values = [value_at(record["summary"], _path(key, form)) for form in forms]
    show = percent if key.startswith("accuracy") or key == "nc4" else number
    head = "" if name is None else f'<span class="run name">{in_html(name)}</span>'
    if values[0] is None:
        return f'<div class="line">{head}<span class="value">{NOTHING}</span></div>'
    unit = f' <span class="form">{forms[0]}</span>' if forms[0] else ""
    other = ""
    if len(forms) > 1 and values[1] is not None:
        other = f'<span class="other">{show(values[1])} <span class="form">{forms[1]}</span></span>'
    kind = "line both" if other else "line"
    return (
        f'<div class="{kind}">{head}<span class="value">{show(values[0])}{unit}</span>{other}'
        f"{_bar(record, key, forms, values)}</div>"
    )


def _bar(
    record: dict[str, Any], key: str, forms: Sequence[str], values: Sequence[float | None]
) -> str:
    """A track from the least to the largest value possible: filled dot the first form, ring the
    other, a wall at the floor. Nothing for measures without an upper end."""
    top = _ceiling(record, key)
    if top is None or top <= 0:
        return ""
    floor = _floor(record, _path(key, forms[0]))
    marks = "" if floor is None else f'<i class="wall" style="width:{_place(floor, top)}"></i>'
    for kind, value in reversed(list(zip(("dot", "ring"), values, strict=False))):
        if value is not None:
            marks += f'<i class="{kind}" style="left:{_place(value, top)}"></i>'
    return f'<span class="bar" aria-hidden="true">{marks}</span>'


def _ceiling(record: dict[str, Any], key: str) -> float | None:
    bounds = record["bounds"]
    if key.startswith("etf_distance."):
        found = bounds["etf_distance"][key.partition(".")[2]]
        return found.get("ceiling", found.get("ceiling_raw"))
    if key in ("delta_lcd", "delta_mid"):
        return bounds[key]["ceiling"]
    fixed = {"accuracy.top1": 1.0, "nc4": 1.0, "modality_gap": 2.0}
    if key == "effective_rank.text":
        return float(bounds["effective_rank"]["ceiling"])
    return fixed.get(key)


def _path(key: str, form: str) -> str:
    return f"{key}.{form}" if form else key


def _place(value: float, top: float) -> str:
    return f"{100 * min(1.0, max(0.0, value / top)):.2f}%"
