"""Headline cards as HTML: a few numbers, each drawn where it lies between its bounds.

K classes.
"""

from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.summary import GLOSSARY
from ncscope.diagnosis.tables import value_at
from ncscope.page.measures import floor_of
from ncscope.text import NOTHING, in_html, number, percent

# Measure -> its forms, the one to read first in front
_CARDS = {
    "accuracy.top1": ("",), "delta_lcd": ("centred", "raw"), "delta_mid": ("centred", "raw"),
    "etf_distance.text": ("centred", "raw"), "etf_distance.image": ("centred", "raw"),
    "etf_distance.cross": ("centred", "raw"), "nc1": ("",), "nc4": ("",), "modality_gap": ("",),
    "effective_rank.text": ("",),
}  # fmt: skip
_MOST = 8


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
    floor = floor_of(record, _path(key, forms[0]))
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
