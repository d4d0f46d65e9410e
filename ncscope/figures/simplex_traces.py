"""The simplex view as plotly traces (plain dictionaries): arrows, class means, images, the frame.

N samples, K classes drawn, n images drawn. Up to `FEW` classes have a colour and a legend entry
each; more share a colour scale that runs along an order in which alike classes are neighbours.
`customdata` has the index of each point's class and the row of its image, -1 where it is none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ncscope.figures import style as palette
from ncscope.figures.points import Points, stratified_rows
from ncscope.figures.projection import View
from ncscope.text import in_plot

FEW = 12
_HOVER = "%{text}<extra></extra>"


def few_classes(
    points: Points, view: View, classes: Sequence[int], sampled: Tensor | None
) -> list[dict[str, Any]]:
    """Traces a class: text arrow, class mean, images; one legend entry, which hides all three."""
    traces = _frame(view)
    labels = None if sampled is None or points.label is None else points.label.cpu()[sampled]
    for place, index in enumerate(classes):
        if view.samples is not None and sampled is not None and labels is not None:
            mine = (labels == index).nonzero().flatten()
            traces.append(_images(points, index, place, view.samples[mine], sampled[mine].tolist()))
        vectors = _vectors(points, view, index, place)
        if vectors:
            vectors[0]["showlegend"] = True
        traces += vectors
    return traces


def many_classes(
    points: Points, view: View, classes: Sequence[int], sampled: Tensor | None,
    shades: Sequence[float],
) -> list[dict[str, Any]]:  # fmt: skip
    """One trace a modality; `shades` (K,) in [0, 1] places each class on the colour scale."""
    names = [in_plot(points.names[index], 80) for index in classes]
    traces = _frame(view)
    if view.samples is not None and sampled is not None and points.label is not None:
        where = {index: place for place, index in enumerate(classes)}
        places = [where[label] for label in points.label.cpu()[sampled].tolist()]
        traces.append(_cloud(
            "images", view.samples, [f"image of {names[p]}" for p in places],
            [shades[p] for p in places], {"size": 1.8, "opacity": 0.4},
            [[classes[p], row] for p, row in zip(places, sampled.tolist(), strict=True)],
        ))  # fmt: skip
    size = 4 if len(classes) <= 100 else 2.5
    sides = (
        ("class means", "class mean of", view.means, {"size": size, "symbol": "circle"}),
        ("text", "text of", view.text, {"size": size + 0.5, "symbol": "diamond"}),
    )
    for title, words, rows, look in sides:
        if rows is not None:
            kept = rows.isfinite().all(dim=1).nonzero().flatten().tolist()
            traces.append(_cloud(
                title, rows[kept], [f"{words} {names[p]}" for p in kept],
                [shades[p] for p in kept], {"opacity": 0.9, **look},
                [[classes[p], -1] for p in kept],
            ))  # fmt: skip
    return traces


def sampled_rows(
    points: Points, classes: Sequence[int], *, max_points: int, seed: int
) -> Tensor | None:
    """The rows of the images in a `View` made with the same arguments."""
    if points.image is None or points.label is None or points.means is None:
        return None
    return stratified_rows(points, classes, max_points=max_points, seed=seed)


def _frame(view: View) -> list[dict[str, Any]]:
    """The regular simplex as thin lines (nothing for K > 4) and a mark at the origin."""
    origin = {
        "type": "scatter3d", "x": [0], "y": [0], "z": [0], "mode": "markers", "name": "origin",
        "showlegend": False, "hovertemplate": "origin<extra></extra>",
        "marker": {"size": 4, "color": palette.INK, "symbol": "cross"},
    }  # fmt: skip
    if view.frame is None:
        return [origin]
    corners = view.frame.tolist()
    path: list[list[float | None]] = []
    for end in range(len(corners)):
        for start in range(end):
            path += [corners[start], corners[end], [None, None, None]]
    frame = {
        "type": "scatter3d", "mode": "lines", "name": "ideal simplex", "legendgroup": "frame",
        "x": [p[0] for p in path], "y": [p[1] for p in path], "z": [p[2] for p in path],
        "line": {"color": palette.INK, "width": 2}, "hoverinfo": "skip",
    }  # fmt: skip
    return [origin, frame]


def _images(
    points: Points, index: int, place: int, rows: Tensor, numbers: list[int]
) -> dict[str, Any]:
    name = in_plot(points.names[index], 120)
    return {
        **_class(points, index), **_xyz(rows), "mode": "markers",
        "text": [f"image {row} of {name}" for row in numbers],
        "customdata": [[index, row] for row in numbers],
        "marker": {
            "size": 2.6, "opacity": 0.55, "color": palette.class_colour(place),
            "symbol": palette.class_symbol(place),
        },
    }  # fmt: skip


def _vectors(points: Points, view: View, index: int, place: int) -> list[dict[str, Any]]:
    """The text arrow and the class mean of one class, as far as there are."""
    name, colour = in_plot(points.names[index], 120), palette.class_colour(place)
    found = []
    if view.text is not None and _there(view.text[place]):
        found.append({
            **_class(points, index), **_arrow(view.text[place]), "mode": "lines+markers",
            "text": ["", f"text of {name}"], "customdata": [[index, -1]] * 2,
            "line": {"color": colour, "width": 6},
            "marker": {"size": [0, 7], "color": colour, "symbol": "diamond", "line": {"width": 0}},
        })  # fmt: skip
    if view.means is not None and _there(view.means[place]):
        found.append({
            **_class(points, index), **_xyz(view.means[place : place + 1]), "mode": "markers",
            "text": [f"class mean of {name}"], "customdata": [[index, -1]],
            "marker": {
                "size": 8, "color": colour, "symbol": palette.class_symbol(place),
                "line": {"color": palette.INK, "width": 1.5},
            },
        })  # fmt: skip
    return found


def _class(points: Points, index: int) -> dict[str, Any]:
    """What all traces of a class share: one legend entry hides and shows them together."""
    return {
        "type": "scatter3d", "legendgroup": str(index), "showlegend": False,
        "name": in_plot(points.names[index], 24), "hovertemplate": _HOVER,
    }  # fmt: skip


def _cloud(
    title: str, rows: Tensor, words: list[str], shades: list[float], look: dict[str, Any],
    custom: list[list[int]],
) -> dict[str, Any]:  # fmt: skip
    marker = {
        "color": np.round(np.array(shades, dtype=np.float32), 3),
        "colorscale": palette.scale(palette.MANY), "cmin": 0, "cmax": 1, **look,
    }  # fmt: skip
    return {
        "type": "scatter3d", "mode": "markers", "name": title, "legendgroup": title,
        **_xyz(rows), "text": words, "customdata": custom, "hovertemplate": _HOVER,
        "marker": marker,
    }  # fmt: skip


def _arrow(tip: Tensor) -> dict[str, list[float]]:
    return {axis: [0.0, value] for axis, value in zip("xyz", tip.tolist(), strict=True)}


def _xyz(rows: Tensor) -> dict[str, Any]:
    coordinates = rows.float().numpy()
    return {axis: coordinates[:, place] for place, axis in enumerate("xyz")}


def _there(row: Tensor) -> bool:
    return bool(row.isfinite().all())
