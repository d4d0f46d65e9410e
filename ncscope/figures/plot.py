"""One figure of a page: what plotly draws, and what the page says about it in its own words."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure of a page: JSON for plotly, without title and buttons, which the page has."""

    run: str
    title: str
    caption: tuple[tuple[str | None, str], ...]  # with the form a sentence speaks of
    kind: str  # "scene", "square", "square named", "wide" or "curves": how much room it gets
    json: dict[str, Any]
    figure: Any  # the `plotly.graph_objects.Figure` itself, with its title and buttons


def plot_of(figure: Any, run: str, kind: str) -> Plot:
    """A figure as a page has it: title, caption and buttons are the page's own."""
    content = json.loads(figure.to_json(validate=False))
    layout = content["layout"]
    meta = layout["meta"]
    for part in ("title", "updatemenus", "template", "sliders", "height"):
        layout.pop(part, None)
    layout["margin"] |= {"t": 8}
    if kind.startswith("square"):
        layout["margin"] |= {"l": 4, "r": 4, "t": 4, "b": 4}
    for frame in content.get("frames", []):  # the page has its own slider, and words beside it
        frame.pop("layout", None)
        layout.pop("annotations", None)
        layout["margin"] |= {"b": 0}
    caption = tuple((form, words) for form, words in meta.pop("caption"))
    return Plot(run, meta.pop("title"), caption, kind, content, figure)
