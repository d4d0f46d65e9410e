"""One figure as a page has it: without title and buttons, which are the page's own."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ncscope.figures.scene import Parts

_KINDS = {"float32": "f4", "float64": "f8", "int32": "i4", "uint8": "u1"}  # plotly's short names


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure of a page. Runs are numbered in the page's order."""

    run: str  # its run's name; "" for a figure of all runs
    title: str
    caption: tuple[tuple[str | None, str], ...]  # with the form a sentence speaks of
    kind: str  # "scene", "square", "square named", "wide", "curves", "tall": how much room it gets
    json: dict[str, Any]
    parts: Parts  # traces and layout, with title and buttons
    frames: Sequence[Mapping[str, Any]] = ()
    place: int | None = None  # of its run
    chosen: bool = False  # shown only while its run is the one chosen
    tab: str | None = None  # of the section's tabs, the one that shows it

    @cached_property
    def figure(self) -> Any:
        """The `plotly.graph_objects.Figure` itself, with its title and buttons: it takes longer to
        make than all that the page needs of it."""
        from ncscope.figures.figures import figure_of

        return figure_of(self.parts, self.frames)


def plot_of(
    parts: Parts, run: str, kind: str, *, frames: Sequence[Mapping[str, Any]] = (),
    place: int | None = None, chosen: bool = False, tab: str | None = None,
) -> Plot:  # fmt: skip
    """The figure without what the page says itself: title, caption, buttons and sliders."""
    traces, given = parts
    content = {"data": plain(traces), "layout": plain(given)}
    layout = content["layout"]
    meta = layout["meta"]
    for part in ("title", "updatemenus", "template", "sliders", "height"):
        layout.pop(part, None)
    layout["margin"] |= {"t": 8}
    if kind.startswith("square"):
        layout["margin"] |= {"l": 4, "r": 4, "t": 4, "b": 4}
    if frames:  # the page has its own slider, and words beside it
        content["frames"] = [
            {name: part for name, part in plain(frame).items() if name != "layout"}
            for frame in frames
        ]
        layout.pop("annotations", None)
        layout["margin"] |= {"b": 0}
    caption = tuple((form, words) for form, words in meta.pop("caption"))
    title = meta.pop("title")
    return Plot(run, title, caption, kind, content, parts, frames, place, chosen, tab)


def plain(value: Any) -> Any:
    """A copy as JSON has it, and as plotly's script reads it: arrays of numbers in base64."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        kind = _KINDS.get(value.dtype.name)
        if kind is None or value.ndim == 0:
            return plain(value.tolist())
        packed = base64.b64encode(value.tobytes()).decode("ascii")
        shape = {"shape": ", ".join(map(str, value.shape))} if value.ndim > 1 else {}
        return {"dtype": kind, "bdata": packed, **shape}
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
