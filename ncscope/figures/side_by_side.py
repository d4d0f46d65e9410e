"""Several runs' simplex views in one figure: same classes, same scale, same camera.

K classes. Up to four classes each run has axes of its own, turned to the same ideal simplex, so
that each picture is exact; more classes share axes that are fitted to all runs together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ncscope.errors import ShapeError
from ncscope.figures.axes import EXACT
from ncscope.figures.points import Points
from ncscope.figures.projection import project
from ncscope.figures.scene import (
    Parts,
    drawn_classes,
    scene_ranges,
    shared_basis,
    simplex_parts,
    view_limit,
)
from ncscope.figures.style import Words, base_layout, form_buttons
from ncscope.text import in_plot

_GAP = 0.01


def side_by_side_parts(
    runs: Mapping[str, Points], *, classes: Sequence[int] | Literal["all"] | None, centred: bool,
    max_points: int, seed: int, title: str,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.simplex_runs`."""
    points = list(runs.values())
    drawn = _shared_classes(runs, classes)
    basis = None if len(drawn) <= EXACT else shared_basis(points, drawn)
    limits = {"centred": 0.0, "raw": 0.0}
    for one in points:
        own = shared_basis([one], drawn) if basis is None else basis
        for form in limits:
            view = project(
                one, own, drawn, centred=form == "centred", max_points=max_points, seed=seed
            )
            limits[form] = max(limits[form], view_limit(view))
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    caption: list[Words] = []
    heads, ranges = [], {form: {} for form in limits}
    for place, (name, one) in enumerate(runs.items()):
        parts, its = simplex_parts(
            one, classes=drawn, centred=centred, max_points=max_points, seed=seed, basis=basis,
            limits=limits, title=title,
        )  # fmt: skip
        scene = "scene" if place == 0 else f"scene{place + 1}"
        column = _column(place, len(runs))
        layout[scene] = {**its["scene"], "domain": {"x": column, "y": [0, 0.94]}}
        traces += [{**t, "scene": scene, **({"showlegend": False} if place else {})} for t in parts]
        for form, edge in limits.items():
            changes = scene_ranges(edge)
            ranges[form] |= {k.replace("scene.", f"{scene}."): v for k, v in changes.items()}
        said = [(form, words) for form, words in its["meta"]["caption"] if form is not None]
        caption += [(form, f"{name}: {words}") for form, words in said]
        heads.append(_head(name, column))
    shown = "centred" if centred else "raw"
    layout |= base_layout(title, [c for c in caption if c[0] == shown], top=16)
    layout["margin"] |= {"l": 0, "r": 0, "b": 0}
    layout["annotations"] = heads
    layout["legend"] |= {"x": 0.5, "xanchor": "center", "y": 0.0, "orientation": "h"}
    layout["updatemenus"] = form_buttons(traces, shown, layouts=ranges)
    return traces, layout


def _shared_classes(
    runs: Mapping[str, Points], classes: Sequence[int] | Literal["all"] | None
) -> list[int]:
    """The classes to draw, which every run must have, in the same order of classes."""
    if not runs:
        raise ShapeError("`runs` is empty; give a name and features for each run")
    first, *others = runs.values()
    for name, one in list(runs.items())[1:]:
        if one.names != first.names or one.vectors.shape != first.vectors.shape:
            raise ShapeError(
                f"run {name!r} has other classes or another width than the first: "
                f"{tuple(one.vectors.shape)} against {tuple(first.vectors.shape)}; runs side by "
                f"side must have the same classes in the same order"
            )
    drawn = drawn_classes(first, classes)
    return [k for k in drawn if all(one.vectors[k].isfinite().all() for one in others)]


def _column(place: int, count: int) -> list[float]:
    width = (1 - _GAP * (count - 1)) / count
    start = place * (width + _GAP)
    return [round(start, 5), round(min(1.0, start + width), 5)]


def _head(name: str, column: Sequence[float]) -> dict[str, Any]:
    return {
        "text": f"<b>{in_plot(name, 40)}</b>", "showarrow": False, "xref": "paper",
        "yref": "paper", "x": (column[0] + column[1]) / 2, "y": 0.99, "xanchor": "center",
        "yanchor": "top", "font": {"size": 14},
    }  # fmt: skip
