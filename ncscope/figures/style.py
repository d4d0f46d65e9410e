"""Colours and layout that all figures share, readable on light and dark grounds.

Transparent grounds, quiet axes, captions, raw and centred buttons; colours for colour-blind eyes.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from ncscope.text import in_plot

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
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
CLEAR = "rgba(0,0,0,0)"
TICKS = 40  # more names than this cannot be read along an axis
ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}  # a legend over the plot
Words = tuple[str | None, str]  # the form that a sentence speaks of, None for both; the sentence


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


def base_layout(
    title: str, caption: Sequence[Words], *, meta: dict[str, Any] | None = None, top: int = 0
) -> dict[str, Any]:
    """Layout with a title, and the caption under it in smaller lines; `top` adds room above.

    A caption is sentences, each with the form it speaks of, or None where it holds for both.
    """
    lines = [line for _, words in caption for line in textwrap.wrap(words, 96)]
    small = "".join(f"<br>{in_plot(line)}" for line in lines)
    return {
        "title": {
            "text": f"{in_plot(title, 90)}<span style='font-size:12px'>{small}</span>",
            "font": {"size": 16}, "x": 0.02, "xanchor": "left", "y": 1, "yanchor": "top",
            "pad": {"t": 20},
        },
        "font": {"family": FONT, "color": INK, "size": 12},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "margin": {"l": 56, "r": 16, "t": 56 + 18 * len(lines) + top, "b": 48},
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "legend": {"bgcolor": CLEAR, "itemsizing": "constant"},
        "uirevision": "keep",  # a change of theme or form leaves camera and zoom alone
        "meta": {"title": title, "caption": list(caption), **(meta or {})},
    }  # fmt: skip


def axis(title: str | None = None) -> dict[str, Any]:
    """A quiet cartesian axis."""
    said = {} if title is None else {"title": {"text": title}}
    return said | {
        "gridcolor": FAINT, "linecolor": FAINT, "zeroline": False, "ticks": "", "automargin": True,
    }  # fmt: skip


def mark_form(traces: list[dict[str, Any]], form: str, *, shown: bool) -> list[dict[str, Any]]:
    """The traces marked as drawn for `raw` or `centred`, visible or not."""
    return [{**trace, "meta": form, "visible": shown} for trace in traces]


def form_buttons(
    traces: Sequence[dict[str, Any]], shown: str, *, layouts: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Buttons that show the traces of one form; none where there is only one.

    `layouts` has the changes to the layout that go with each form.
    """
    forms = [form for form in ("centred", "raw") if any(t.get("meta") == form for t in traces)]
    if len(forms) < 2:
        return []
    buttons = [
        {
            "label": form, "method": "update",
            "args": [
                {"visible": [trace.get("meta") in (None, form) for trace in traces]},
                (layouts or {}).get(form, {}),
            ],
        }
        for form in forms
    ]  # fmt: skip
    return [{
        "type": "buttons", "direction": "right", "buttons": buttons,
        "active": forms.index(shown), "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom",
        "pad": {"b": 4, "r": 10}, "showactive": True, "bgcolor": CLEAR,
        "bordercolor": FAINT, "font": {"size": 12},
    }]  # fmt: skip
