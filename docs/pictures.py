"""The drawings of measures.md, with the numbers that ncscope gives for what is drawn.

Three classes in two dimensions, where a simplex is three arrows at 120°. Run in `docs/`:
`python pictures.py` writes img/measure-*.svg.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import ncscope

COLOURS = ("#2c6fb3", "#c9722c", "#3a8f5c")
SIDE, RADIUS = 200, 70
IMAGES = 24  # of a class


@dataclass(frozen=True)
class Panel:
    """Directions in degrees of three texts and of three classes' images, and how far these spread.

    `spread` is a class's, in radians along the circle.
    """

    title: str
    text: Sequence[float]
    image: Sequence[float] = ()
    spread: Sequence[float] = (0.08, 0.08, 0.08)


SIMPLEX = (90, 210, 330)
PICTURES: dict[str, tuple[list[str], list[Panel]]] = {
    "simplex": (
        ["etf_distance.text.raw", "delta_lcd.raw", "delta_lcd.centred"],
        [
            Panel("a simplex", SIMPLEX),
            Panel("a common cone", (60, 90, 120)),
            Panel("two classes nearly alike", (90, 205, 235)),
        ],
    ),
    "match": (
        ["delta_mid.raw", "delta_mid.centred", "modality_gap", "nc3"],
        [
            Panel("the same simplex", SIMPLEX, SIMPLEX),
            Panel("turned by 60°", SIMPLEX, (150, 270, 30)),
            Panel("a gap between the sides", (60, 90, 120), (300, 270, 240)),
        ],
    ),
    "scatter": (
        ["nc1", "cdnv"],
        [
            Panel("collapsed images", SIMPLEX, SIMPLEX, (0.03, 0.03, 0.03)),
            Panel("spread images", SIMPLEX, SIMPLEX, (0.45, 0.45, 0.45)),
            Panel("means close together", SIMPLEX, (60, 90, 120), (0.12, 0.12, 0.12)),
        ],
    ),
    "shape": (
        ["nc2.equinorm.image", "nc2.equiangular.image", "effective_rank.image", "nc4"],
        [
            Panel("equal lengths and angles", SIMPLEX, SIMPLEX),
            Panel("one class spread, so its mean is short", SIMPLEX, SIMPLEX, (0.05, 0.05, 1.1)),
            Panel("nearly on one line", (90, 262, 278), (90, 262, 278)),
        ],
    ),
}
NAMES = {
    "etf_distance.text.raw": "ETF distance", "delta_lcd.raw": "Δ LCD", "nc3": "NC3", "nc1": "NC1",
    "delta_lcd.centred": "Δ LCD, centred", "delta_mid.raw": "Δ MID", "cdnv": "CDNV", "nc4": "NC4",
    "delta_mid.centred": "Δ MID, centred", "modality_gap": "modality gap",
    "nc2.equinorm.image": "NC2 equinorm", "nc2.equiangular.image": "NC2 equiangular",
    "effective_rank.image": "effective rank",
}  # fmt: skip


def features(panel: Panel) -> ncscope.Features:
    """What a panel draws, as features."""
    text = torch.tensor([on_circle(math.radians(a)) for a in panel.text])
    if not panel.image:
        return ncscope.Features(text=text)
    steps = torch.linspace(-1.6, 1.6, IMAGES)
    rows = [
        on_circle(math.radians(a) + float(step) * spread)
        for a, spread in zip(panel.image, panel.spread, strict=True)
        for step in steps
    ]
    label = torch.arange(3).repeat_interleave(IMAGES)
    return ncscope.Features(torch.tensor(rows), label, text)


def on_circle(angle: float) -> tuple[float, float]:
    return math.cos(angle), math.sin(angle)


def drawn(panel: Panel, measures: Sequence[str], left: int) -> str:
    """The panel at a place, with its title above and its numbers below."""
    made = features(panel)
    x, y = left + SIDE / 2, 34 + SIDE / 2
    parts = [f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="none" stroke="#d5d9dd"/>']
    if made.image is not None and made.label is not None:
        for (across, up), k in zip(made.image.tolist(), made.label.tolist(), strict=True):
            at = f'cx="{x + RADIUS * across:.1f}" cy="{y - RADIUS * up:.1f}"'
            parts.append(f'<circle {at} r="3.2" fill="{COLOURS[k]}" fill-opacity=".45"/>')
    assert made.text is not None
    for (across, up), colour in zip(made.text.tolist(), COLOURS, strict=True):
        end = f'x2="{x + 0.94 * RADIUS * across:.1f}" y2="{y - 0.94 * RADIUS * up:.1f}"'
        parts.append(f'<line x1="{x}" y1="{y}" {end} stroke="{colour}" stroke-width="3"/>')
    summary = ncscope.analyze(made, bootstrap=0).summary
    lines = [panel.title, *(f"{NAMES[name]} {value(summary, name)}" for name in measures)]
    places = [22, *(SIDE + 32 + 17 * i for i in range(len(measures)))]
    for line, place in zip(lines, places, strict=True):
        parts.append(f'<text x="{x}" y="{place}" text-anchor="middle">{line}</text>')
    return "".join(parts)


def value(summary: dict[str, Any], name: str) -> str:
    """A number of the summary by its dotted name, in three decimals."""
    found: Any = summary
    for key in name.split("."):
        found = found[key]
    return "undefined" if found is None else f"{abs(round(float(found), 3)):.3f}"  # no −0


def picture(name: str) -> str:
    """A drawing as SVG."""
    measures, panels = PICTURES[name]
    wide, high = (SIDE + 60) * len(panels), SIDE + 40 + 17 * len(measures)
    inside = "".join(drawn(p, measures, 30 + i * (SIDE + 60)) for i, p in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" font-size="13" '
        f'font-family="sans-serif" fill="#2b3035"><rect width="{wide}" height="{high}" rx="8" '
        f'fill="#fff"/>{inside}</svg>\n'
    )


if __name__ == "__main__":
    for one in PICTURES:
        path = Path(__file__).parent / "img" / f"measure-{one}.svg"
        path.write_text(picture(one), encoding="utf-8")
        print(path.name)
