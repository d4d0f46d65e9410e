"""Figure 2 as a still picture: a measure across, an accuracy up, a mark a data set, and the line.

n runs in G data sets. The point under the pointer says in a title what run it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ncscope.comparison.association import Scatter
from ncscope.comparison.correlation import FEWEST, REPLICATES, is_constant
from ncscope.comparison.paired import group_weights
from ncscope.figures import style as palette
from ncscope.text import in_html, number

_SHAPES = {
    "circle": "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0Z",
    "diamond": "M0 -4.6L4.6 0L0 4.6L-4.6 0Z",
    "square": "M-3.1 -3.1H3.1V3.1H-3.1Z",
    "cross": "M-1.3 -4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z",
}
_WIDE, _HIGH = 340, 250
_LEFT, _RIGHT, _TOP, _FOOT = 46, 10, 10, 38


@dataclass(frozen=True)
class Mark:
    """A colour and the name of a shape."""

    colour: str
    shape: str

    def svg(self, x: float, y: float, said: str = "") -> str:
        """The mark at a place of a picture; `said` is shown under the pointer."""
        title = f"<title>{in_html(said)}</title>" if said else ""
        return (
            f'<path d="{_SHAPES[self.shape]}" transform="translate({x:.1f} {y:.1f})" '
            f'fill="{self.colour}" fill-opacity=".8">{title}</path>'
        )


def marks_of(names: Iterable[str]) -> dict[str, Mark]:
    """A mark for each name, all different up to 32 of them."""
    return {
        name: Mark(palette.class_colour(place), palette.class_symbol(place))
        for place, name in enumerate(names)
    }


@dataclass(frozen=True, eq=False)
class Line:
    """`middle` at the places `across`, each (P,); `low` and `high` a 95 % band or None."""

    across: np.ndarray
    middle: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


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
        lines = [(fitted(first, second, families, seed=seed), "var(--ink)")]
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
    return (f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{label}">'
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


def standardised(values: Sequence[float], groups: Sequence[str]) -> np.ndarray:
    """(n,) values in standard deviations from the mean of their data set.

    NaN for a data set of fewer than three runs, or one in which the value does not differ.
    """
    column, names = np.asarray(values, dtype=np.float64), np.array(groups)
    found = np.full(len(column), np.nan)
    for name in dict.fromkeys(groups):
        own = column[names == name]
        if len(own) >= FEWEST and not is_constant(own):
            found[names == name] = (own - own.mean()) / own.std()
    return found


def fitted(first: np.ndarray, second: np.ndarray, groups: Sequence[str], *, seed: int = 0,
           places: int = 25) -> Line | None:  # fmt: skip
    """The least-squares line through finite points, and a band from data sets drawn anew.

    None with fewer than three points, or where the first column does not differ; no band for one
    data set.
    """
    kept = np.isfinite(first) & np.isfinite(second)
    first, second = first[kept], second[kept]
    if len(first) < FEWEST or is_constant(first):
        return None
    names = [group for group, keep in zip(groups, kept, strict=True) if keep]
    order = list(dict.fromkeys(names))
    across = np.linspace(first.min(), first.max(), places)
    middle = _lines(first, second, np.ones((1, len(first))), across)[0]
    if len(order) < 2:
        return Line(across, middle, None, None)
    member = np.array([order.index(name) for name in names])
    weights = group_weights(len(order), replicates=REPLICATES, seed=seed)[:, member]
    low, high = np.nanquantile(_lines(first, second, weights, across), [0.025, 0.975], axis=0)
    return Line(across, middle, low, high)


def _lines(first: np.ndarray, second: np.ndarray, weights: np.ndarray, across: np.ndarray
           ) -> np.ndarray:  # fmt: skip
    """(R, P) heights at `across` of the lines fitted with each of R weightings."""
    total = weights.sum(axis=1, keepdims=True)
    mean_first = weights @ first[:, None] / total
    mean_second = weights @ second[:, None] / total
    off = first - mean_first
    slope = (weights * off * (second - mean_second)).sum(axis=1, keepdims=True) / (
        weights * off**2
    ).sum(axis=1, keepdims=True)
    return mean_second + slope * (across - mean_first)


class _Frame:
    """Data coordinates to the picture's."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._x, self._y = _span(first), _span(second)

    def at(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self._x, self._y
        return (_LEFT + (x - x0) / (x1 - x0) * (_WIDE - _LEFT - _RIGHT),
                _HIGH - _FOOT - (y - y0) / (y1 - y0) * (_HIGH - _TOP - _FOOT))  # fmt: skip

    def axes(self, across: str, up: str) -> str:
        (x0, x1), (y0, y1) = self._x, self._y
        parts = []
        for tick in _ticks(y0, y1):
            x, y = self.at(x0, tick)
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDE - _RIGHT}"/>')
            parts.append(f'<text x="{x - 5:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
        for tick in _ticks(x0, x1):
            x, y = self.at(tick, y0)
            at = f'x="{x:.1f}" y="{y + 14:.1f}"'
            parts.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{_HIGH - _FOOT}"/>')
            parts.append(f'<text {at} text-anchor="middle">{tick:g}</text>')
        middle = (_WIDE + _LEFT) / 2
        half = (_HIGH - _FOOT + _TOP) / 2
        parts.append(f'<text x="{middle}" y="{_HIGH - 6}" text-anchor="middle">{in_html(across)}'
                     f'</text><text transform="translate(11 {half}) rotate(-90)" '
                     f'text-anchor="middle">{in_html(up)}</text>')  # fmt: skip
        return "".join(parts).replace("-0<", "0<")

    def line(self, line: Line, colour: str) -> str:
        band = ""
        if line.low is not None and line.high is not None:
            there = self._path(line.across, line.high)
            back = self._path(line.across[::-1], line.low[::-1])
            band = f'<path d="M{there}L{back}Z" fill="{colour}" fill-opacity=".16"/>'
        return (f'{band}<path d="M{self._path(*self._shown(line))}" fill="none" '
                f'stroke="{colour}" stroke-width="1.6"/>')  # fmt: skip

    def _shown(self, line: Line) -> tuple[np.ndarray, np.ndarray]:
        """A straight line as far as the panel shows it."""
        xs, ys = line.across, line.middle
        slope = (ys[-1] - ys[0]) / (xs[-1] - xs[0])
        if slope == 0:
            return xs, ys
        ends = np.sort(xs[0] + (np.array(self._y) - ys[0]) / slope)
        xs = np.clip(xs, *ends)
        return xs, ys[0] + slope * (xs - line.across[0])

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
