"""The simplex views of a page: which classes, on which axes, and one scale for all runs.

K classes.
"""

from collections.abc import Sequence

from ncscope.figures import figures
from ncscope.figures.axes import EXACT
from ncscope.figures.plot import Plot, plot_of
from ncscope.figures.points import Points, spread_classes
from ncscope.figures.projection import Basis, project
from ncscope.figures.scene import drawn_classes, shared_basis, view_limit


def scenes(points: Sequence[Points], names: Sequence[str], *, shared: bool) -> list[Plot]:
    """Up to four classes exactly; all of them on principal axes where there are more."""
    most = 2000 if len(points) <= 2 else 800
    plots = []
    exact = [_evenly(one) for one in points]
    if shared:
        exact = [exact[0] if _all_drawable(one, exact[0]) else own
                 for one, own in zip(points, exact, strict=True)]  # fmt: skip
    limits = _limits(points, exact, [None] * len(points), most)
    for one, classes, name in zip(points, exact, names, strict=True):
        size = len(one.names)
        title = "All classes" if size <= EXACT else f"{len(classes)} classes"
        figure = figures.simplex(one, classes=classes, max_points=most, limits=limits, title=title)
        plots.append(plot_of(figure, name, "scene"))
    if any(len(one.names) > EXACT for one in points):
        plots += _overviews(points, names, most, shared=shared)
    return plots


def _overviews(
    points: Sequence[Points], names: Sequence[str], most: int, *, shared: bool
) -> list[Plot]:
    """All classes of every run; on axes fitted to all runs together where they can be."""
    drawn = [drawn_classes(one, "all") for one in points]
    together = shared and len(points) > 1 and all(classes == drawn[0] for classes in drawn)
    basis = shared_basis(points, drawn[0]) if together else None
    limits = _limits(points, drawn, [basis] * len(points), most) if together else None
    plots = []
    for one, name in zip(points, names, strict=True):
        figure = figures.simplex(
            one, classes="all", max_points=most, basis=basis, limits=limits, title="All classes"
        )
        plots.append(plot_of(figure, name, "scene"))
    return plots


def _evenly(points: Points) -> list[int]:
    """Up to four drawable classes, evenly spaced through the class list."""
    drawable = drawn_classes(points, "all")
    return [drawable[place] for place in spread_classes(len(drawable), EXACT)]


def _all_drawable(points: Points, classes: Sequence[int]) -> bool:
    return bool(points.vectors[list(classes)].isfinite().all())


def _limits(
    points: Sequence[Points], drawn: Sequence[Sequence[int]], bases: Sequence[Basis | None],
    most: int,
) -> dict[str, float]:  # fmt: skip
    """Half the side of the cube that holds every run's view, by form: one scale for all runs."""
    found = {"centred": 0.0, "raw": 0.0}
    for one, classes, given in zip(points, drawn, bases, strict=True):
        basis = shared_basis([one], classes) if given is None else given
        for form in found:
            view = project(one, basis, classes, centred=form == "centred", max_points=most)
            found[form] = max(found[form], view_limit(view))
    return found
