"""Each headline number among what it could be: a strip a measure, runs as dots, landmarks as ticks.

K classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.landmarks import MEANING, landmarks
from ncscope.diagnosis.summary import SUMMARY
from ncscope.diagnosis.tables import entry_of, value_at
from ncscope.diagnosis.verdict import alarm
from ncscope.figures.style import class_colour
from ncscope.text import in_html, number, percent

_ROOM = 1.06  # of the axis, beyond the last thing on it
_LETTER = 0.72  # of the strip's width, in per cent, that a letter of a label takes
_LEVELS = 2  # lines of labels
_NEAR = 1.1  # per cent: dots nearer than this are stacked


def place_strip(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """A strip for each headline measure that some run has; where texts are one vector raw first."""
    paths = [p for p in MEANING if any(value_at(r["summary"], p) is not None for r in records)]
    if any(alarm(record) for record in records):
        paths.sort(key=lambda path: path != "delta_lcd.raw")
    strips = "".join(_strip(path, records, names) for path in paths)
    return f'<div class="places">{_key(names)}{strips}</div>' if strips else ""


def swatch(place: int) -> str:
    """The colour of a run, beside its name."""
    return f'<i class="swatch" style="background:{class_colour(place)}" aria-hidden="true"></i>'


def get_csv(name: str, *, chosen: bool = False) -> str:
    """A button that saves a table: one of all runs, or that of the run chosen."""
    of = ' data-chosen=""' if chosen else ""
    return f'<span class="get"><button type="button" data-csv="{name}"{of}>CSV</button></span>'


def _key(names: Sequence[str]) -> str:
    if len(names) == 1:
        return ""
    items = "".join(
        f'<li>{swatch(place)}<span class="name">{in_html(name)}</span></li>'
        for place, name in enumerate(names)
    )
    return f'<ul class="key">{items}</ul>'


def _strip(path: str, records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    entry, form = entry_of(path)
    show = percent if path.startswith("accuracy") else number
    values = {
        place: value
        for place, record in enumerate(records)
        if (value := value_at(record["summary"], path)) is not None
    }
    marks = landmarks(path, records[next(iter(values))])
    spans = {p: span for p in values if (span := interval_of(records[p], path)) is not None}
    ends = [high for _, high in spans.values()]
    top = _ROOM * max(*values.values(), *marks.values(), *ends, 1e-9)
    said = "; ".join(
        [f"{names[place]} {show(value)}" for place, value in values.items()]
        + [f"for comparison {name} {show(value)}" for name, value in marks.items()]
    )
    single = f'<span class="value">{show(values[0])}</span>' if len(records) == 1 else ""
    title = f'{in_html(entry.title)} <span class="form">{form}</span>'
    return (
        f'<div class="place"><div class="what"><h3>{title}{single}</h3>'
        f'<p class="meaning">{in_html(MEANING[path])}</p></div>'
        f'<div class="track" role="img" aria-label="{in_html(said)}"><i class="line"></i>'
        f"{_ticks(marks, top, show)}{_dots(values, spans, names, top, show)}"
        f"</div><p class='listed' aria-hidden='true'>{_listed(marks, show)}</p></div>"
    )


def _ticks(marks: Mapping[str, float], top: float, show: Any) -> str:
    """Ticks, and their labels in two lines, left out where neither has room."""
    found, taken = "", [-1.0] * _LEVELS
    for name, value in sorted([("", 0.0), *marks.items()], key=lambda one: one[1]):
        place = 100 * value / top
        found += f'<i class="tick" style="left:{place:.2f}%" title="{in_html(name)}"></i>'
        words = f"{name} {show(value)}" if name else "0"
        half = _LETTER * len(words) / 2
        centre = min(max(place, half), 100 - half)
        level = next((at for at, edge in enumerate(taken) if centre - half > edge), None)
        if level is not None:
            taken[level] = centre + half + _LETTER
            style = f"left:{centre:.2f}%"
            found += f'<span class="label l{level}" style="{style}">{in_html(words)}</span>'
    return found


def _dots(
    values: Mapping[int, float], spans: Mapping[int, tuple[float, float]], names: Sequence[str],
    top: float, show: Any,
) -> str:  # fmt: skip
    """A dot a run over its interval; dots that would hide one another are stacked."""
    found, last, height = "", -99.0, 0
    for place, value in sorted(values.items(), key=lambda one: one[1]):
        at, colour = 100 * value / top, class_colour(place)
        height = height + 1 if at - last < _NEAR else 0
        last = at
        if place in spans:
            low, high = (100 * max(0.0, end) / top for end in spans[place])
            style = f"left:{low:.2f}%;width:{high - low:.2f}%;background:{colour}"
            found += f'<i class="span" style="{style};bottom:{_bottom(height, 4)}"></i>'
        style = f"left:{at:.2f}%;background:{colour};bottom:{_bottom(height, 0)}"
        words = in_html(f"{names[place]}: {show(value)}")
        found += f'<i class="dot" style="{style}" title="{words}"></i>'
    return found


def _bottom(height: int, more: int) -> str:
    return f"{25 + 5 * min(height, 6) + more}px"


def _listed(marks: Mapping[str, float], show: Any) -> str:
    """The landmarks as words, for windows too narrow for labels."""
    return in_html(" · ".join(f"{name} {show(value)}" for name, value in marks.items()))


def interval_of(record: dict[str, Any], path: str) -> tuple[float, float] | None:
    """The bootstrap interval of a summary value, if it has one."""
    found = record["intervals"].get("values", {}).get(SUMMARY[path][0])
    return None if found is None else (found["low"], found["high"])
