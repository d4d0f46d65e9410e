"""One figure as a page has it: without title and buttons, which are the page's own."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure of a page. Runs are numbered in the page's order."""

    run: str  # its run's name; "" for a figure of all runs
    title: str
    caption: tuple[tuple[str | None, str], ...]  # with the form a sentence speaks of
    kind: str  # "scene", "square", "square named", "wide", "curves", "tall": how much room it gets
    json: dict[str, Any]
    figure: Any  # the `plotly.graph_objects.Figure` itself, with its title and buttons
    place: int | None = None  # of its run
    chosen: bool = False  # shown only while its run is the one chosen
    tab: str | None = None  # of the section's tabs, the one that shows it


def plot_of(
    figure: Any, run: str, kind: str, *, place: int | None = None, chosen: bool = False,
    tab: str | None = None,
) -> Plot:  # fmt: skip
    """The figure without what the page says itself: title, caption, buttons and sliders."""
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
    title = meta.pop("title")
    return Plot(run, title, caption, kind, content, figure, place, chosen, tab)
