"""Colours of the figures, readable on light and dark grounds and with colour-blind eyes."""

import math

# Okabe and Ito's order of hues, each moved to a lightness that stands out on white and on black.
CLASSES = (
    "#2f7fc1", "#e08a00", "#149b74", "#c4609a", "#cf4f1b", "#49aee0", "#8b74d6", "#a08618",
)  # fmt: skip
SYMBOLS = ("circle", "square", "diamond", "cross")

TEXT_SIDE = "#2f7fc1"
IMAGE_SIDE = "#e08a00"
INK = "#7b818c"  # words and lines: contrast about 4 on white and on black
FAINT = "rgba(128,134,146,0.35)"

# Viridis without its ends, which vanish on black and on white; for more classes than hues.
MANY = (
    (0.0, "#5a4ba3"), (0.25, "#3f79a8"), (0.5, "#2a9d8f"), (0.75, "#63b34c"), (1.0, "#c9a227"),
)  # fmt: skip

# Blue through neutral to red, for -1 to 1; the neutral middle follows the ground.
DIVERGING_LIGHT = (
    (0.0, "#14508c"), (0.25, "#6ba3d0"), (0.5, "#f1f1ee"), (0.75, "#e58b68"), (1.0, "#96211f"),
)  # fmt: skip
DIVERGING_DARK = (
    (0.0, "#9cc9f0"), (0.25, "#3f7cb5"), (0.5, "#2a2d33"), (0.75, "#bd5a38"), (1.0, "#f7b79c"),
)  # fmt: skip


def class_colour(position: int) -> str:
    """Colour of the class drawn at this position; they repeat after eight, with another symbol."""
    return CLASSES[position % len(CLASSES)]


def class_symbol(position: int) -> str:
    """Marker of the class drawn at this position."""
    return SYMBOLS[position // len(CLASSES) % len(SYMBOLS)]


def scale(stops: tuple[tuple[float, str], ...]) -> list[list[object]]:
    """A colour scale in plotly's form."""
    return [[place, colour] for place, colour in stops]


def contrast(colour: str, other: str) -> float:
    """Contrast ratio of two #rrggbb colours, 1 to 21 (WCAG 2)."""
    lights = sorted((_luminance(colour), _luminance(other)), reverse=True)
    return (lights[0] + 0.05) / (lights[1] + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
