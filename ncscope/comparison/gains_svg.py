"""Figure 4 as a still picture: a pair of bars a data set, base and new, with their intervals."""

from collections.abc import Sequence

from ncscope.comparison.gains import Gain
from ncscope.diagnosis.outcome import short_names
from ncscope.figures import palette
from ncscope.text import in_html

COLOURS = {"base": palette.CLASSES[0], "new": palette.CLASSES[1]}
_WIDE, _LEFT, _RIGHT, _TOP, _FOOT = 340, 96, 14, 6, 34
_BAR, _ROW = 8, 26
_LONGEST = 15  # signs of a name beside its bars


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
        for line, column in enumerate(COLOURS):
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
                   f'stroke="{palette.INK}" stroke-width="1.4"/>')  # fmt: skip
    return (
        f'<g><title>{in_html(said.replace("-", "−"))}</title><rect x="{min(zero, end):.1f}" '
        f'y="{top}" width="{abs(end - zero):.1f}" height="{_BAR}" '
        f'fill="{COLOURS[gain.column]}"/>{whisker}</g>'
    )


def _across(points: float, limit: float) -> float:
    share = (max(-limit, min(limit, points)) / limit + 1) / 2
    return _LEFT + share * (_WIDE - _LEFT - _RIGHT)
