"""The part of a page that shows gains over the baseline: a figure a row and tau (Figure 4)."""

import math
from collections.abc import Sequence

from ncscope.comparison.gains import gains
from ncscope.comparison.gains_svg import COLOURS, gains_svg
from ncscope.comparison.points import at_tau, base_to_new_points, taus
from ncscope.comparison.rows import Labelled
from ncscope.text import in_html


def gains_html(rows: Sequence[Labelled], baseline: str | None) -> str:
    """Heading, key and figures, all at one scale; empty without a baseline or without pairs."""
    if baseline is None:
        return ""
    found = []
    for tau in taus(rows):
        points = base_to_new_points(at_tau(rows, tau))
        mine = gains(points, baseline, tuple(COLOURS))
        for label in dict.fromkeys(gain.label for gain in mine):
            found.append((label, tau, [gain for gain in mine if gain.label == label]))
    if not found:
        return ""
    limit = _round(max(100 * abs(gain.mean) for _, _, some in found for gain in some))
    key = "".join(f'<li><i style="background:{colour}"></i>{name} classes</li>'
                  for name, colour in COLOURS.items())  # fmt: skip
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
