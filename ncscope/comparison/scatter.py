"""Figure 2 as a still picture: a measure across, an accuracy up, a mark a data set.

Scripts are not needed; the point under the pointer says in a title what run it is.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ncscope.comparison.association import Scatter
from ncscope.comparison.marks_svg import Mark
from ncscope.comparison.regression import Line, fitted, standardised
from ncscope.figures import palette
from ncscope.text import in_html, number

WIDE, HIGH = 340, 250
_LEFT, _RIGHT, _TOP, _FOOT = 46, 10, 10, 38


def scatter_svg(
    scatter: Scatter, marks: Mapping[str, Mark], *, across: str, up: str, z_scored: bool,
    seed: int = 0,
) -> str:  # fmt: skip
    """An <svg> of the runs; as they are with each data set's own line, or standardised with one.

    Args:
        marks: of each data set.
        across, up: what the axes are called.
        z_scored: both columns in standard deviations within their data set, one line for all and
            its band; else raw numbers, accuracy in percent, a line a data set.
        seed: of the band.
    """
    if z_scored:
        first = standardised(scatter.values, scatter.groups)
        second = standardised(scatter.accuracy, scatter.groups)
        families = [group.partition("@")[0] for group in scatter.groups]
        lines = [(fitted(first, second, families, seed=seed), palette.INK)]
        across, up = f"{across} (z)", f"{up} (z)"
    else:
        first, second = np.array(scatter.values), 100 * np.array(scatter.accuracy)
        lines, up = _own_lines(first, second, scatter.groups, marks), f"{up} (%)"
    kept = np.isfinite(first) & np.isfinite(second)
    if not kept.any():
        return '<p class="note">Too few runs a data set, or none that differ.</p>'
    frame = _Frame(first[kept], second[kept])
    parts = [
        frame.axes(across, up),
        *(frame.line(line, colour) for line, colour in lines if line is not None),
    ]
    for place in np.flatnonzero(kept):
        group, accuracy = scatter.groups[place], 100 * scatter.accuracy[place]
        said = (
            f"{scatter.labels[place]}, {group}: {number(scatter.values[place])}, {accuracy:.2f} %"
        )
        parts.append(marks[group].svg(*frame.at(first[place], second[place]), said))
    label = in_html(f"{up} against {across}, {int(kept.sum())} points")
    return (f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{label}">'
            f"{''.join(parts)}</svg>")  # fmt: skip


def _own_lines(
    first: np.ndarray, second: np.ndarray, groups: Sequence[str], marks: Mapping[str, Mark]
) -> list[tuple[Line | None, str]]:
    member = np.array(groups)
    return [
        (fitted(first[member == name], second[member == name], [name] * int(sum(member == name))),
         mark.colour)
        for name, mark in marks.items() if name in groups
    ]  # fmt: skip


class _Frame:
    """Data coordinates to the picture's."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._x, self._y = _span(first), _span(second)

    def at(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self._x, self._y
        return (_LEFT + (x - x0) / (x1 - x0) * (WIDE - _LEFT - _RIGHT),
                HIGH - _FOOT - (y - y0) / (y1 - y0) * (HIGH - _TOP - _FOOT))  # fmt: skip

    def axes(self, across: str, up: str) -> str:
        (x0, x1), (y0, y1) = self._x, self._y
        parts = []
        for tick in _ticks(y0, y1):
            x, y = self.at(x0, tick)
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDE - _RIGHT}"/>')
            parts.append(f'<text x="{x - 5:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        for tick in _ticks(x0, x1):
            x, y = self.at(tick, y0)
            at = f'x="{x:.1f}" y="{y + 14:.1f}"'
            parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{HIGH - _FOOT}"/>')
            parts.append(f'<text {at} text-anchor="middle">{tick:g}</text>')
        middle = (WIDE + _LEFT) / 2
        half = (HIGH - _FOOT + _TOP) / 2
        parts.append(f'<text x="{middle}" y="{HIGH - 6}" text-anchor="middle">{in_html(across)}'
                     f'</text><text transform="translate(11 {half}) rotate(-90)" '
                     f'text-anchor="middle">{in_html(up)}</text>')  # fmt: skip
        return "".join(parts).replace("-0<", "0<")

    def line(self, line: Line, colour: str) -> str:
        band = ""
        if line.low is not None and line.high is not None:
            there = self._path(line.across, line.high)
            back = self._path(line.across[::-1], line.low[::-1])
            band = f'<path d="M{there}L{back}Z" fill="{colour}" fill-opacity=".16"/>'
        return (f'{band}<path d="M{self._path(line.across, line.middle)}" fill="none" '
                f'stroke="{colour}" stroke-width="1.6"/>')  # fmt: skip

    def _path(self, xs: np.ndarray, ys: np.ndarray) -> str:
        low, high = self._y
        spots = (self.at(x, y) for x, y in zip(xs, np.clip(ys, low, high), strict=True))
        return "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """About four round numbers in a range."""
    raw = (high - low) / 4
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda k: abs(k * power - raw))
    return [round(k * step, 12) for k in range(int(np.ceil(low / step)), int(high // step) + 1)]
