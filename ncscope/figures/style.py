"""What all figures share: transparent grounds, quiet axes, captions, raw and centred buttons."""

import textwrap
from collections.abc import Sequence
from typing import Any

from ncscope.figures import palette
from ncscope.text import in_plot

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
CLEAR = "rgba(0,0,0,0)"
Words = tuple[str | None, str]


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
        "font": {"family": FONT, "color": palette.INK, "size": 12},
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
    return {
        "title": {"text": title}, "gridcolor": palette.FAINT, "linecolor": palette.FAINT,
        "zeroline": False, "ticks": "", "automargin": True,
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
        "bordercolor": palette.FAINT, "font": {"size": 12},
    }]  # fmt: skip
