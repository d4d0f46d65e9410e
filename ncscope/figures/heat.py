"""Heat maps of cosines between classes, from -1 to 1, legible at any K: many classes share a cell.

K classes, B <= K rows of cells.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ncscope.errors import ShapeError
from ncscope.figures import style as palette
from ncscope.figures.points import cluster_order
from ncscope.figures.scene import Parts
from ncscope.figures.style import TICKS, Words, axis, base_layout, form_buttons, mark_form
from ncscope.text import in_plot, number

_VALUED = 12  # rows up to which the values fit into the cells


def heat_parts(
    matrix: Tensor, names: Sequence[str], *, title: str, centred: Tensor | None,
    order: Sequence[int] | Literal["cluster"] | None, own_pairs: bool, most: int,
    less: str | None = None,
) -> Parts:  # fmt: skip
    """Traces and layout of `ncscope.figures.figures.cosine_heatmap`."""
    if len(names) != len(matrix):
        raise ShapeError(f"`names` has {len(names)} entries for a matrix of {len(matrix)} rows")
    if isinstance(order, str) and order != "cluster":
        raise ShapeError(f'`order` must be indices, "cluster" or None; got {order!r}')
    if order == "cluster":
        settled = cluster_order(matrix)
    else:
        settled = list(range(len(names))) if order is None else list(order)
    forms = {"raw": matrix} if centred is None else {"centred": centred, "raw": matrix}
    shown = next(iter(forms))
    traces: list[dict[str, Any]] = []
    drawn = None
    for form, values in forms.items():
        drawn = cells(values, settled, most=most, own_pairs=own_pairs)
        reach = 1.0 if less is None else _reach(drawn.values)
        traces += mark_form([_heatmap(drawn, names, reach)], form, shown=form == shown)
    assert drawn is not None
    caption = _caption(len(names), drawn, own_pairs=own_pairs, clustered=order == "cluster")
    if less is not None:
        caption[0] = (None, f"Cosines {less}: red higher, blue lower; the scale is its own.")
    grounds = {"light": palette.DIVERGING_LIGHT, "dark": palette.DIVERGING_DARK}
    scales = {ground: palette.scale(stops) for ground, stops in grounds.items()}
    layout = base_layout(title, caption, meta=scales, top=8)
    labels = _labels(drawn, names)
    few = len(drawn.groups) <= TICKS and not drawn.binned
    plain = {
        **axis(), "type": "category", "showgrid": False, "showticklabels": few,
        "tickvals": list(range(len(labels))), "constrain": "domain",
        "ticktext": [in_plot(names[group[0]], 16) for group in drawn.groups],
    }  # fmt: skip
    layout["xaxis"] = {**plain, "tickangle": -60}
    layout["yaxis"] = {**plain, "autorange": "reversed", "scaleanchor": "x",
                       "constraintoward": "top"}  # fmt: skip
    layout["updatemenus"] = form_buttons(traces, shown)
    layout["meta"]["rows"] = drawn.groups
    return traces, layout


@dataclass(frozen=True, eq=False)
class Cells:
    """A matrix for a heat map: (B, B) values and the classes, in order, of each row and column.

    `binned` tells whether a cell is the mean of a block of class pairs.
    """

    values: Tensor
    groups: list[list[int]]

    @property
    def binned(self) -> bool:
        return any(len(group) > 1 for group in self.groups)


def cells(matrix: Tensor, order: list[int], *, most: int, own_pairs: bool) -> Cells:
    """Reorder a (K, K) matrix, and where K > `most` replace blocks by their mean.

    Args:
        own_pairs: whether the diagonal counts in a block's mean. It says nothing where rows and
            columns are the same vectors (always 1), and much where they are text and images.

    Raises:
        ShapeError: not square, or the order is not of its classes.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"`matrix` must be (K, K); got {tuple(matrix.shape)}")
    if sorted(order) != list(range(len(matrix))):
        raise ShapeError(f"`order` must hold each of 0..{len(matrix) - 1} once")
    sorted_matrix = matrix.detach().cpu().double()[order][:, order]
    count = min(len(order), most)
    edges = np.linspace(0, len(order), count + 1).round().astype(int)
    groups = [order[start:stop] for start, stop in pairwise(edges)]
    if count == len(order):
        return Cells(sorted_matrix, groups)
    weights = sorted_matrix.isfinite().double()
    if not own_pairs:
        weights.fill_diagonal_(0)
    members = torch.zeros(count, len(order), dtype=torch.float64)
    for row, (start, stop) in enumerate(pairwise(edges)):
        members[row, start:stop] = 1
    sums = members @ (sorted_matrix.nan_to_num() * weights) @ members.T
    return Cells(sums / (members @ weights @ members.T), groups)


def _reach(values: Tensor) -> float:
    """The largest size of a value, which a difference's colours reach to."""
    known = values[values.isfinite()]
    return max(0.01, float(known.abs().max())) if known.numel() else 1.0


def _heatmap(drawn: Cells, names: Sequence[str], reach: float) -> dict[str, Any]:
    labels = _labels(drawn, names)
    words = "mean cosine" if drawn.binned else "cosine"
    fits = len(drawn.groups) <= _VALUED
    return {
        "type": "heatmap", "z": np.round(drawn.values.numpy(), 3).astype(np.float32),
        "x": labels, "y": labels, "zmin": -reach, "zmax": reach,
        "zmid": 0,
        "colorscale": palette.scale(palette.DIVERGING_LIGHT), "hoverongaps": False,
        "hovertemplate": "%{y}<br>%{x}<br>" + words + " %{z:.3f}<extra></extra>",
        "colorbar": {
            "title": {"text": words, "side": "right"}, "thickness": 10, "outlinewidth": 0,
            "tickvals": [round(reach * step, 3) for step in (-1, -0.5, 0, 0.5, 1)], "len": 0.9,
            "ticks": "",
        },
        **({"texttemplate": "%{z:.2f}", "textfont": {"size": 9}} if fits else {}),
    }  # fmt: skip


def _labels(drawn: Cells, names: Sequence[str]) -> list[str]:
    """What hover cards call each row: a name, or the ends of a block; all different."""
    found = []
    for group in drawn.groups:
        words = in_plot(names[group[0]], 60)
        if len(group) > 1:
            words += f" … {in_plot(names[group[-1]], 60)} ({len(group)} classes)"
        found.append(words)
    times = Counter(found)
    # plotly draws categories of one name as one: tell them apart by the class's number
    return [
        f"{words} [{group[0]}]" if times[words] > 1 else words
        for words, group in zip(found, drawn.groups, strict=True)
    ]


def _caption(size: int, drawn: Cells, *, own_pairs: bool, clustered: bool) -> list[Words]:
    ideal = number(-1 / (size - 1), 3 if size < 200 else 4).rstrip("0").rstrip(".")
    if own_pairs:
        words = (
            f"Rows: text, columns: class means. A simplex shared by both has 1 on the diagonal and "
            f"{ideal} elsewhere."
        )
    else:
        words = f"A simplex ETF has {ideal} everywhere off the diagonal."
    caption: list[Words] = [(None, words)]
    if drawn.binned:
        inside = "" if own_pairs else ", a class with itself left out"
        sizes = sorted({len(group) for group in drawn.groups})
        span = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        words = (
            f"{number(size)} classes in {len(drawn.groups)} blocks of {span}: a cell is the mean "
            f"over a block of class pairs{inside}."
        )
        caption.append((None, words))
    if clustered:
        caption.append((None, "Classes are ordered so that alike ones are neighbours."))
    return caption
