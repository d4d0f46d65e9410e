"""The figures of a page that look at pairs of classes: cosine maps and differences, angles, gaps.

K classes.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from ncscope.diagnosis.notes import MOST_PAIRED
from ncscope.errors import ShapeError
from ncscope.figures.distributions import angle_edges, angle_parts, gap_parts
from ncscope.figures.heat import heat_parts
from ncscope.figures.order import in_ranks
from ncscope.figures.plot import Plot, plot_of
from ncscope.figures.points import Points
from ncscope.figures.projection import finite_rows
from ncscope.metrics.rows import pairwise_cosines

_NAMED = 24  # more names than this do not fit beside a small heat map
_CELLS = 3_000_000  # bytes of heat-map cells a page may have, over all runs
_PAIRS = ("Text × text", "Text × class means", "Class means × class means")
_FORMS = ("raw", "centred")
Forms = dict[str, Tensor]


def heatmaps(
    points: Sequence[Points], names: Sequence[str], ranks: Mapping[str, int], *, shared: bool,
    first: int = 0,
) -> list[Plot]:  # fmt: skip
    """Three maps a run, classes in one order; of several runs also each less the first one.

    Of several the first run's maps are always there, beside those of the run that is chosen.
    """
    several = len(points) > 1
    count = len(points) * (2 if several and shared else 1)
    side = min(200, int((_CELLS / (count * 3 * 2 * 5.4)) ** 0.5))
    plots = []
    for title in _PAIRS:
        lead = _both(points[first], title)
        for place in sorted(range(len(points)), key=lambda place: place != first):
            one = points[place]
            found = lead if place == first else _both(one, title)
            if found is None:
                continue
            tab = title if several else None
            order, chosen = in_ranks(one, ranks), several and place != first
            plots.append(_map(found, one, title, order, side)(names[place], place, chosen, tab))
            if shared and place != first and lead is not None:
                change = {form: found[form] - lead[form] for form in found}
                plot = _map(
                    change, one, f"{title}: difference", order, side, f"less {names[first]}"
                )
                plots.append(plot(names[place], place, True, tab))
    return plots


def _both(points: Points, title: str) -> Forms | None:
    """Cosines raw and centred of a pair of sides; None where a side is missing or is too large."""
    one, other = title.split(" × ")
    sides = {"text": points.text, "class means": points.means}
    rows, columns = sides[one.lower()], sides[other]
    if rows is None or columns is None or len(points.names) > MOST_PAIRED:
        return None
    return {form: _cosines(rows, columns, centred=form == "centred") for form in _FORMS}


def _map(
    values: Forms, points: Points, title: str, order: list[int], side: int,
    less: str | None = None,
):  # fmt: skip
    """A function of the run's name, place, whether it must be chosen, and tab, to its plot."""
    traces, layout = heat_parts(
        values["raw"], points.names, title=title, order=order, centred=values["centred"],
        own_pairs=title.startswith("Text × class"), most=side, less=less,
    )  # fmt: skip
    if less is None:
        traces = [trace | {"showscale": False} for trace in traces]  # one scale for all is above
    named = len(points.names) <= _NAMED
    layout["xaxis"] |= {"showticklabels": False}  # they would repeat the rows' names
    layout["yaxis"] |= {"showticklabels": named}
    kind = "square named" if named else "square"

    def made(name: str, place: int, chosen: bool, tab: str | None) -> Plot:
        return plot_of((traces, layout), name, kind, place=place, chosen=chosen, tab=tab)

    return made


def histograms(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    """Angles on one axis: of one run both sides in a figure; of several a figure a side."""
    kept = [(one, name) for one, name in zip(points, names, strict=True)
            if len(one.names) <= MOST_PAIRED]  # fmt: skip
    found = [
        {
            side: {form: _cosines(rows, rows, centred=form == "centred") for form in _FORMS}
            for side, rows in (("text", one.text), ("class means", one.means))
            if rows is not None
        }
        for one, _ in kept
    ]
    if not found:
        return []
    sizes = {len(one.names) for one, _ in kept}
    edges = angle_edges([m for own in found for forms in own.values() for m in forms.values()],
                        sizes)  # fmt: skip
    if len(points) == 1:
        return [_histogram(found[0], sizes, edges, "Distribution over pairs", names[0], place=0)]
    plots = []
    for side in ("text", "class means"):
        series = {name: own[side] for own, (_, name) in zip(found, kept, strict=True)
                  if side in own}  # fmt: skip
        if series:
            plots.append(_histogram(series, sizes, edges, f"Pairs of {side}", "", place=None))
    return plots


def _histogram(
    series: Mapping[str, Forms], sizes: set[int], edges: Sequence[float], title: str, run: str, *,
    place: int | None,
) -> Plot:  # fmt: skip
    raw, centred = ({name: forms[form] for name, forms in series.items()} for form in _FORMS)
    parts = angle_parts(raw, max(sizes), centred=centred, title=title, edges=edges)
    return plot_of(parts, run, "wide", place=place)


def _cosines(rows: Tensor, columns: Tensor, *, centred: bool) -> Tensor:
    """(K, K) cosines over the classes that both sides have; NaN for the others."""
    there = (rows.isfinite().all(dim=1) & columns.isfinite().all(dim=1)).nonzero().flatten()
    found = torch.full((len(rows), len(rows)), float("nan"), dtype=torch.float64)
    kept = pairwise_cosines(finite_rows(rows[there]), finite_rows(columns[there]), centred=centred)
    found[there[:, None], there] = kept
    return found


def gaps(points: Sequence[Points], names: Sequence[str]) -> list[Plot]:
    """The line through both centres, of the runs that have two."""
    plots = []
    for place, (one, name) in enumerate(zip(points, names, strict=True)):
        if one.text is not None and one.means is not None:
            with suppress(ShapeError):  # one centre: no gap to draw
                parts = gap_parts(one, title="Modality gap")
                plots.append(plot_of(parts, name, "wide", place=place, chosen=len(points) > 1))
    return plots
