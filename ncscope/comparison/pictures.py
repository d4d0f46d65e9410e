"""Figures 4 and 5 as still pictures: gains over a baseline, and accuracy over both weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.comparison.averages import complete_data, over_data
from ncscope.comparison.paired import pairs, t_interval
from ncscope.comparison.rows import (
    Labelled,
    Point,
    at_tau,
    base_to_new_points,
    data_of,
    labels_of,
    setting_words,
    taus,
)
from ncscope.diagnosis.outcome import short_names
from ncscope.figures import style as palette
from ncscope.text import in_html

_COLOURS = {"base": palette.CLASSES[0], "new": palette.CLASSES[1]}
_WIDE, _LEFT, _RIGHT, _TOP, _FOOT = 340, 96, 14, 6, 34
_BAR, _ROW = 8, 26
_LONGEST = 15  # signs of a name beside its bars
_COLUMNS = {"base": "base", "new": "new", "h": "H of averages"}
# Settings that rows of one grid of weights differ in
_APART = ("lcd_weight", "mid_weight", "regulariser")
_Weights = tuple[float, float]


@dataclass(frozen=True)
class Gain:
    """Mean of n paired differences on one data set, shares; positive is better than the baseline.

    `low` and `high` are the 95 % t interval of the mean over seeds; None with one pair.
    """

    label: str
    column: str
    data: str
    mean: float
    low: float | None
    high: float | None
    n: int


def gains(points: Sequence[Point], baseline: str, columns: Sequence[str]) -> list[Gain]:
    """By row, then by data set in the field's order, then by column; only what has pairs.

    Args:
        points: of one tau, since bars of several would be averaged.
    """
    found = []
    order = data_of(points)
    for label in labels_of(points):
        if label == baseline:
            continue
        by_column = {column: pairs(points, label, baseline, column)[:2] for column in columns}
        for data in order:
            for column, (differences, names) in by_column.items():
                own = [d for d, name in zip(differences, names, strict=True) if name == data]
                if own:
                    found.append(_gain(label, column, data, own))
    return found


def _gain(label: str, column: str, data: str, differences: Sequence[float]) -> Gain:
    values = np.asarray(differences)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Gain(label, column, data, mean, None, None, n)
    return Gain(label, column, data, mean, *t_interval(values), n)


def gains_html(rows: Sequence[Labelled], baseline: str | None) -> str:
    """Heading, key and figures, all at one scale; empty without a baseline or without pairs."""
    if baseline is None:
        return ""
    found = []
    for tau in taus(rows):
        points = base_to_new_points(at_tau(rows, tau))
        mine = gains(points, baseline, tuple(_COLOURS))
        for label in dict.fromkeys(gain.label for gain in mine):
            found.append((label, tau, [gain for gain in mine if gain.label == label]))
    if not found:
        return ""
    limit = _round(max(100 * abs(gain.mean) for _, _, some in found for gain in some))
    key = "".join(f'<li><i style="background:{colour}"></i>{name} classes</li>'
                  for name, colour in _COLOURS.items())  # fmt: skip
    figures = "".join(
        f"<figure><figcaption>{in_html(label)}{'' if tau is None else f', tau = {tau:g}'}"
        f"</figcaption>{gains_svg(some, limit=limit)}</figure>"
        for label, tau, some in found
    )
    return (
        f"<h2>Gains over {in_html(baseline)}</h2><p>Points of accuracy, the same data set, tau and "
        "seed in both. A line is the 95 % t interval of the mean over seeds, wide where they are "
        f'few; it is cut at the edge.</p><ul class="key">{key}</ul>'
        f'<div class="pairs gains">{figures}</div>'
    )


def _round(largest: float) -> float:
    """The scale's end: 1, 2 or 5 times a power of ten, with room for the lines."""
    wanted = max(1.5 * largest, 1e-3)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= wanted * (1 - 1e-9))


def gains_svg(found: Sequence[Gain], *, limit: float) -> str:
    """An <svg> of one row's gains in points; a title at each bar has its numbers.

    Args:
        limit: largest size shown, in points, so that figures side by side share a scale; what
            reaches further is cut at the edge.
    """
    names = short_names(list(dict.fromkeys(gain.data for gain in found)))
    high = _TOP + _ROW * len(names) + _FOOT
    foot = high - _FOOT
    parts = []
    for tick in (-limit, -limit / 2, 0.0, limit / 2, limit):
        x = _across(tick, limit)
        words = f"{tick:+g}".replace("-", "−") if tick else "0"
        at = f'x="{x:.1f}" y="{foot + 14}"'
        parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{foot}"/>'
                     f'<text {at} text-anchor="middle">{words}</text>')  # fmt: skip
    for place, (data, name) in enumerate(names.items()):
        top = _TOP + place * _ROW + 4
        shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        parts.append(f'<text x="{_LEFT - 6}" y="{top + 13}" text-anchor="end">'
                     f"{in_html(shown)}</text>")  # fmt: skip
        for line, column in enumerate(_COLOURS):
            for gain in found:
                if gain.data == data and gain.column == column:
                    parts.append(_bar(gain, top + line * (_BAR + 1), limit))
    parts.append(f'<text x="{(_WIDE + _LEFT) / 2}" y="{high - 4}" text-anchor="middle">'
                 "points</text>")  # fmt: skip
    label = in_html(f"gains on {len(names)} data sets")
    return (f'<svg viewBox="0 0 {_WIDE} {high}" role="img" aria-label="{label}">'
            f"{''.join(parts)}</svg>")  # fmt: skip


def _bar(gain: Gain, top: float, limit: float) -> str:
    zero, end = _across(0.0, limit), _across(100 * gain.mean, limit)
    said = f"{gain.data}, {gain.column}: {100 * gain.mean:+.2f} points, n = {gain.n}"
    whisker = ""
    if gain.low is not None and gain.high is not None:
        said += f", 95 % {100 * gain.low:+.2f} to {100 * gain.high:+.2f}"
        ends = [_across(100 * value, limit) for value in (gain.low, gain.high)]
        whisker = (f'<path d="M{ends[0]:.1f} {top + _BAR / 2}H{ends[1]:.1f}" '
                   f'class="whisker" stroke-width="1.4"/>')  # fmt: skip
    return (
        f'<g><title>{in_html(said.replace("-", "−"))}</title><rect x="{min(zero, end):.1f}" '
        f'y="{top}" width="{abs(end - zero):.1f}" height="{_BAR}" '
        f'fill="{_COLOURS[gain.column]}"/>{whisker}</g>'
    )


def _across(points: float, limit: float) -> float:
    share = (max(-limit, min(limit, points)) / limit + 1) / 2
    return _LEFT + share * (_WIDE - _LEFT - _RIGHT)


def weights_html(rows: Sequence[Labelled]) -> str:
    """A grid a method, tau and accuracy; empty where no method has such a grid."""
    figures = []
    for tau in taus(rows):
        grids: dict[tuple[object, ...], list[Labelled]] = {}
        for row in at_tau(rows, tau):
            grids.setdefault((_method(row), *_others(row)), []).append(row)
        for (name, *_), here in grids.items():
            found = _runs(here)
            if _is_grid(list(found.values())):
                when = "" if tau is None else f", tau = {tau:g}"
                points = base_to_new_points(row for row in here if row.label in found)
                title = f"{name}{_told(here[0], rows)}{when}"
                figures += [_grid(points, found, column, title) for column in _COLUMNS]
    if not any(figures):
        return ""
    return (
        "<h2>Sensitivity to the weights</h2><p>Per cent, means over the data sets that every "
        "pair of weights was run on; weights in their order, not to scale. A frame is the highest "
        "mean: of many, the highest is high by chance, too.</p>"
        f'<div class="pairs">{"".join(figures)}</div>'
    )


def _runs(rows: Sequence[Labelled]) -> dict[str, _Weights]:
    """Weights by row."""
    found: dict[str, _Weights] = {}
    for row in rows:
        settings = row.outcome.settings
        first, second = settings.get("lcd_weight"), settings.get("mid_weight")
        if isinstance(first, float) and isinstance(second, float):
            found.setdefault(row.label, (first, second))
    return found


def _is_grid(pairs: Sequence[_Weights]) -> bool:
    """Two values or more of each weight, and more pairs than a line or a diagonal has."""
    sizes = [len({pair[k] for pair in pairs}) for k in (0, 1)]
    return min(sizes, default=0) > 1 and len(pairs) > max(sizes)


def _method(row: Labelled) -> str:
    """Runs with and without the terms are one method here."""
    return row.outcome.name.removesuffix("+npt")


def _others(row: Labelled) -> tuple[str, ...]:
    """The other settings: rows that differ in one are of two grids. `regulariser` is none at 0."""
    return tuple(str(value) for key, value in row.outcome.settings.items() if key not in _APART)


def _told(row: Labelled, rows: Sequence[Labelled]) -> str:
    """The other settings in which rows of its method differ."""
    mine = [one.outcome.settings for one in rows if _method(one) == _method(row)]
    found = [
        setting_words(key, value)
        for key, value in row.outcome.settings.items()
        if key not in _APART and any(str(s.get(key)) != str(value) for s in mine)
    ]
    return f" ({', '.join(found)})" if found else ""


def _grid(points: Sequence[Point], found: dict[str, _Weights], column: str, title: str) -> str:
    whole = complete_data(points, tuple(_COLUMNS))
    means: dict[_Weights, float] = {}
    for label, weights in found.items():
        mean = over_data([p for p in points if p.label == label], whole, column)
        if mean is not None:
            means[weights] = mean.value
    if not means:
        return ""
    across, up = (sorted({weights[k] for weights in means}) for k in (0, 1))
    heads = "".join(f'<th scope="col">{value:g}</th>' for value in across)
    body = "".join(
        f'<tr><th scope="row">{second:g}</th>'
        + "".join(_cell(means, (first, second)) for first in across)
        + "</tr>"
        for second in reversed(up)
    )
    said = f"{title}: {_COLUMNS[column]}, {len(whole)} data sets"
    return (
        f'<figure><figcaption>{in_html(said)}</figcaption><div class="wide still">'
        '<table class="heat">'
        f'<thead><tr><th scope="col">w2 \\ w1</th>{heads}</tr></thead><tbody>{body}</tbody>'
        "</table></div></figure>"
    )


def _cell(means: dict[_Weights, float], weights: _Weights) -> str:
    value = means.get(weights)
    if value is None:
        return "<td>–</td>"
    low, high = min(means.values()), max(means.values())
    share = 0.5 if high - low < 1e-9 else (value - low) / (high - low)
    ground = _colour(share)
    ink = max(("#000000", "#ffffff"), key=lambda colour: palette.contrast(colour, ground))
    best = ' class="best"' if value == high and high > low else ""
    return f'<td{best} style="background:{ground};color:{ink}">{100 * value:.2f}</td>'


def _colour(share: float) -> str:
    """A colour of `palette.MANY` between its stops."""
    for (low, first), (high, second) in zip(palette.MANY, palette.MANY[1:], strict=False):
        if share <= high:
            part = (share - low) / (high - low)
            pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
            return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in pairs)
    return palette.MANY[-1][1]
