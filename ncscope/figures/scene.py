"""The simplex view as a whole: which classes, both forms, the caption; several runs side by side.

K classes, D width. Side by side, each run has axes of its own for up to four classes, turned to the
same ideal simplex, so that each picture is exact; more share axes fitted to all runs together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ncscope.diagnosis.notes import MOST_PAIRED
from ncscope.errors import ShapeError
from ncscope.figures.points import Points, chosen_classes, cluster_order
from ncscope.figures.projection import EXACT, Basis, View, fit_basis, project
from ncscope.figures.simplex_traces import FEW, few_classes, many_classes, sampled_rows
from ncscope.figures.style import CLEAR, Words, base_layout, form_buttons, mark_form
from ncscope.metrics.rows import centre_rows, pairwise_cosines
from ncscope.text import in_plot, number, percent

Parts = tuple[list[dict[str, Any]], dict[str, Any]]
CORNER = {"x": 0.01, "y": 0.0, "yanchor": "bottom"}  # where the legend stands
CAMERA = {"eye": {"x": 0.9, "y": 0.99, "z": 0.43}, "projection": {"type": "perspective"}}
_SIDES = (("text", "the text"), ("means", "the class means"), ("images", "the images"))
_GAP = 0.01  # of the width, between runs


def simplex_parts(
    points: Points, *, classes: Sequence[int | str] | Literal["all"] | None, max_points: int,
    limits: Mapping[str, float] | None, title: str, centred: bool = True, seed: int = 0,
    basis: Basis | None = None, shades: Sequence[float] | None = None,
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
    views = both_views(points, basis, drawn, max_points=max_points, seed=seed)
    sampled = sampled_rows(points, drawn, max_points=max_points, seed=seed)
    shown = "centred" if centred else "raw"
    shades = shades_of(points, drawn) if shades is None else shades
    traces = view_traces(points, views, drawn, sampled, shades, shown)
    taken = 0 if sampled is None else len(sampled)
    caption = _caption(points, drawn, views, basis, taken=taken, seed=seed)
    edges = {form: view_limit(view) for form, view in views.items()} | dict(limits or {})
    ranges = {form: scene_ranges(edge) for form, edge in edges.items()}
    layout = base_layout(title, caption, top=16, meta={"layouts": ranges})
    layout["margin"] |= {"l": 0, "r": 0, "b": 0}
    layout["scene"] = scene_layout(edges[shown])
    layout["legend"] |= CORNER
    layout["updatemenus"] = form_buttons(traces, shown, layouts=ranges)
    return traces, layout


def _caption(
    points: Points, drawn: Sequence[int], views: dict[str, View], basis: Basis, *, taken: int,
    seed: int,
) -> list[Words]:  # fmt: skip
    """What is shown, what is left out, and how to read the marks."""
    size = len(points.names)
    which = f"{number(len(drawn))} of {number(size)} classes."
    if size == len(drawn):
        which = "Both classes." if size == 2 else f"All {number(size)} classes."
    caption: list[Words] = [(None, which)]
    exact = len(drawn) <= EXACT and views["centred"].shares.get(
        "text", views["centred"].shares.get("means", 0.0)
    ) > 1 - 1e-9  # fmt: skip
    own = "true lengths and angles" if exact else "principal axes"
    caption.append(("centred", f"Centred ({own}): {_shares(views['centred'])}."))
    caption.append(("raw", f"Raw (from the origin, principal axes): {_shares(views['raw'])}."))
    if points.image is not None and points.label is not None and taken:
        there = sum(int(points.counts[index]) for index in drawn)
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


def side_by_side_parts(
    runs: Mapping[str, Points], *, classes: Sequence[int | str] | Literal["all"] | None,
    centred: bool, max_points: int, seed: int, title: str,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.simplex_runs`."""
    points = list(runs.values())
    drawn = _shared_classes(runs, classes)
    basis = None if len(drawn) <= EXACT else shared_basis(points, drawn)
    limits = common_limits(
        points, [drawn] * len(points), [basis] * len(points), max_points=max_points, seed=seed
    )
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
    runs: Mapping[str, Points], classes: Sequence[int | str] | Literal["all"] | None
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


def drawn_classes(
    points: Points, classes: Sequence[int | str] | Literal["all"] | None
) -> list[int]:
    """Indices of the classes that `classes` stands for (see `simplex`)."""
    if classes == "all":
        return chosen_classes(points, None, most=len(points.names))
    if isinstance(classes, str):
        raise ShapeError(f'`classes` must be names, indices, "all" or None; got {classes!r}')
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


def both_views(
    points: Points, basis: Basis, drawn: Sequence[int], *, max_points: int = 2000, seed: int = 0
) -> dict[str, View]:
    """`project` in either form."""
    return {
        form: project(
            points, basis, drawn, centred=form == "centred", max_points=max_points, seed=seed
        )
        for form in ("centred", "raw")
    }


def view_traces(
    points: Points, views: Mapping[str, View], drawn: Sequence[int], sampled: Tensor | None,
    shades: Sequence[float], shown: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """Traces of both forms, one of them `shown`; `sampled` and `shades` as for `many_classes`."""
    traces = []
    for form, view in views.items():
        parts = (
            few_classes(points, view, drawn, sampled)
            if len(drawn) <= FEW
            else many_classes(points, view, drawn, sampled, shades)
        )
        traces += mark_form(parts, form, shown=form == shown)
    return traces


def shades_of(points: Points, drawn: Sequence[int]) -> list[float]:
    """A place in [0, 1] for each class, alike ones near one another; none for a few classes.

    Of more classes than a tree of all pairs is made of, the order along the widest direction.
    """
    if len(drawn) <= FEW:
        return []
    vectors = points.vectors[list(drawn)]
    if len(drawn) <= MOST_PAIRED:
        order = cluster_order(pairwise_cosines(vectors, centred=True))
    else:
        rows = centre_rows(vectors.double()).nan_to_num()
        widest = torch.linalg.eigh(rows.T @ rows).eigenvectors[:, -1]
        order = (rows @ widest).argsort(stable=True).tolist()
    places = {position: rank for rank, position in enumerate(order)}
    return [places[position] / max(1, len(order) - 1) for position in range(len(order))]


def view_limit(view: View) -> float:
    """Half the side of the cube around everything in a view, however it is turned."""
    parts = [p for p in (view.text, view.means, view.samples, view.frame) if p is not None]
    reach = max((float(p.nan_to_num().norm(dim=1).max()) for p in parts if len(p)), default=0.0)
    return 1.02 * reach if reach > 0 else 1.0


def common_limits(
    points: Sequence[Points], drawn: Sequence[Sequence[int]], bases: Sequence[Basis | None], *,
    max_points: int, seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Half the side of the cube that holds every run's view, by form; no basis: a run's own."""
    found = {"centred": 0.0, "raw": 0.0}
    for one, classes, given in zip(points, drawn, bases, strict=True):
        basis = shared_basis([one], classes) if given is None else given
        views = both_views(one, basis, classes, max_points=max_points, seed=seed)
        found = {form: max(edge, view_limit(views[form])) for form, edge in found.items()}
    return found


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
        "camera": CAMERA, "bgcolor": CLEAR, "dragmode": "orbit",
        "domain": {"x": [0, 1], "y": [0, 1]},
    }  # fmt: skip
