"""The simplex view as a whole: which classes, both forms, what the caption must say.

K classes, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from ncscope.errors import ShapeError
from ncscope.figures.axes import EXACT
from ncscope.figures.matrices import cluster_order
from ncscope.figures.points import Points, chosen_classes
from ncscope.figures.projection import Basis, View, fit_basis, project
from ncscope.figures.simplex_traces import FEW, few_classes, many_classes, sampled_rows
from ncscope.figures.style import Words, base_layout, form_buttons, mark_form
from ncscope.metrics.rows import pairwise_cosines
from ncscope.text import number, percent

Parts = tuple[list[dict[str, Any]], dict[str, Any]]
CAMERA = {"eye": {"x": 0.9, "y": 0.99, "z": 0.43}, "projection": {"type": "perspective"}}
_SIDES = (("text", "the text"), ("means", "the class means"), ("images", "the images"))


def simplex_parts(
    points: Points, *, classes: Sequence[int] | Literal["all"] | None, centred: bool,
    max_points: int, seed: int, basis: Basis | None, limits: Mapping[str, float] | None, title: str,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.simplex`."""
    drawn = drawn_classes(points, classes)
    basis = shared_basis([points], drawn) if basis is None else basis
    width = points.vectors.shape[1]
    if basis.centred.shape[0] != width:
        raise ShapeError(
            f"`basis` has axes of width {basis.centred.shape[0]}; the features have D = {width}. "
            f"Were they made by one backbone?"
        )
    views = {
        form: project(
            points, basis, drawn, centred=form == "centred", max_points=max_points, seed=seed
        )
        for form in ("centred", "raw")
    }
    sampled = sampled_rows(points, drawn, max_points=max_points, seed=seed)
    traces: list[dict[str, Any]] = []
    shades = shades_of(points, drawn) if len(drawn) > FEW else []
    for form, view in views.items():
        parts = (
            few_classes(points, view, drawn, sampled)
            if len(drawn) <= FEW
            else many_classes(points, view, drawn, sampled, shades)
        )
        traces += mark_form(parts, form, shown=(form == "centred") == centred)
    taken = 0 if sampled is None else len(sampled)
    caption = _caption(points, drawn, views, basis, taken=taken, seed=seed)
    edges = {form: view_limit(view) for form, view in views.items()} | dict(limits or {})
    ranges = {form: scene_ranges(edge) for form, edge in edges.items()}
    shown = "centred" if centred else "raw"
    layout = base_layout(title, caption, top=16, meta={"layouts": ranges})
    layout["margin"] |= {"l": 0, "r": 0, "b": 0}
    layout["scene"] = scene_layout(edges[shown])
    layout["legend"] |= {"x": 0.01, "y": 0.0, "yanchor": "bottom"}
    layout["updatemenus"] = form_buttons(traces, shown, layouts=ranges)
    return traces, layout


def drawn_classes(points: Points, classes: Sequence[int] | Literal["all"] | None) -> list[int]:
    """Indices of the classes that `classes` stands for (see `simplex`)."""
    if classes == "all":
        return chosen_classes(points, None, most=len(points.names))
    if isinstance(classes, str):
        raise ShapeError(f'`classes` must be indices, "all" or None; got {classes!r}')
    return chosen_classes(points, classes, most=FEW)


def shared_basis(runs: Sequence[Points], classes: Sequence[int]) -> Basis:
    """Axes fitted to the chosen class vectors of several runs of one width at once.

    For one run this is its own basis. For several, each run's vectors are centred on their own
    mean first, so that axes show differences between classes and not between runs.
    """
    rows, others = [], []
    for points in runs:
        vectors = points.vectors[list(classes)]
        rows.append(vectors)
        if points.text is not None and points.means is not None:
            others.append(points.means[list(classes)])
    if len(runs) == 1:
        return fit_basis(rows[0], others=others[0] if others else None, classes=classes)
    stacked = fit_basis(torch.cat([r - r.mean(dim=0) for r in rows]), classes=classes)
    raw = fit_basis(torch.cat(rows), others=torch.cat(others) if others else None)
    return Basis(stacked.centred, raw.raw, tuple(classes))


def view_limit(view: View) -> float:
    """Half the side of the cube around everything in a view, however it is turned."""
    parts = [p for p in (view.text, view.means, view.samples, view.frame) if p is not None]
    reach = max((float(p.nan_to_num().norm(dim=1).max()) for p in parts if len(p)), default=0.0)
    return 1.02 * reach if reach > 0 else 1.0


def shades_of(points: Points, drawn: Sequence[int]) -> list[float]:
    """A place in [0, 1] for each class, alike classes near one another."""
    order = cluster_order(pairwise_cosines(points.vectors[list(drawn)], centred=True))
    places = {position: rank for rank, position in enumerate(order)}
    return [places[position] / max(1, len(order) - 1) for position in range(len(order))]


def _caption(
    points: Points, drawn: Sequence[int], views: dict[str, View], basis: Basis, *, taken: int,
    seed: int,
) -> list[Words]:  # fmt: skip
    """What is shown, what is left out, and how to read the marks."""
    size, known = len(points.names), set(drawn)
    whole = size == len(drawn)
    which = f"{number(len(drawn))} of {number(size)} classes."
    if whole:
        which = "Both classes." if size == 2 else f"All {number(size)} classes."
    caption: list[Words] = [(None, which)]
    exact = len(drawn) <= EXACT and views["centred"].shares.get(
        "text", views["centred"].shares.get("means", 0.0)
    ) > 1 - 1e-9  # fmt: skip
    own = "true lengths and angles" if exact else "principal axes"
    caption.append(("centred", f"Centred ({own}): {_shares(views['centred'])}."))
    words = f"Raw (from the origin, principal axes): {_shares(views['raw'])}."
    caption.append(("raw", words))
    if points.image is not None and points.label is not None and taken:
        there = sum(int(points.counts[index]) for index in known)
        if taken < there:
            words = f"{number(taken)} of {number(there)} images drawn, evenly over classes"
            caption.append((None, f"{words} (seed {seed})."))
    if len(drawn) > FEW:
        caption.append((None, "Alike classes have like colours."))
    if tuple(basis.classes) != tuple(drawn):
        caption.append((None, "Axes fitted to other classes."))
    return caption


def _shares(view: View) -> str:
    parts = [f"{percent(view.shares[k])} of {words}" for k, words in _SIDES if k in view.shares]
    return "shows " + ", ".join(parts)


def scene_ranges(edge: float) -> dict[str, Any]:
    """The change of layout that makes `edge` half the side of the drawn cube."""
    return {f"scene.{name}axis.range": [-edge, edge] for name in "xyz"}


def scene_layout(edge: float) -> dict[str, Any]:
    """A cube without axes, seen from where all views are first seen."""
    hidden = {
        "visible": False, "showspikes": False, "showgrid": False, "zeroline": False,
        "range": [-edge, edge], "autorange": False,
    }  # fmt: skip
    return {
        "xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "cube",
        "camera": CAMERA, "bgcolor": "rgba(0,0,0,0)", "dragmode": "orbit",
        "domain": {"x": [0, 1], "y": [0, 1]},
    }  # fmt: skip
