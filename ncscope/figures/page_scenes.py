"""The simplex views of a page: four classes exactly, all classes, and motions over a training."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from ncscope.diagnosis.training import Training, Trajectory
from ncscope.errors import NcscopeError
from ncscope.figures.order import few_of_all, shades
from ncscope.figures.plot import Plot, plot_of
from ncscope.figures.points import Points, spread_classes
from ncscope.figures.projection import EXACT
from ncscope.figures.scene import common_limits, drawn_classes, shared_basis, simplex_parts
from ncscope.figures.training import curve_parts, motion_limits, motion_parts


def scenes(
    points: Sequence[Points], names: Sequence[str], ranks: Mapping[str, int], *, shared: bool,
    first: int = 0,
) -> list[Plot]:  # fmt: skip
    """Up to four classes exactly; all of them on principal axes where there are more.

    Args:
        ranks: order and colours of the classes, of all runs.
        shared: whether all runs have the same classes in the same order, and one width.
        first: the run whose list the four classes are spaced through.
    """
    most = 2000 if len(points) <= 2 else 800
    exact = few_of_all(points, first)
    limits = common_limits(points, exact, [None] * len(points), max_points=most)
    many = any(len(one.names) > EXACT for one in points)
    plots = []
    for place, (one, classes, name) in enumerate(zip(points, exact, names, strict=True)):
        title = "All classes" if len(one.names) <= EXACT else f"{len(classes)} classes"
        parts = simplex_parts(one, classes=classes, max_points=most, limits=limits, title=title)
        tab = f"{len(exact[first])} classes" if many else None
        plots.append(plot_of(parts, name, "scene", place=place, tab=tab))
    return plots + _overviews(points, names, ranks, most, shared=shared) if many else plots


def _overviews(
    points: Sequence[Points], names: Sequence[str], ranks: Mapping[str, int], most: int, *,
    shared: bool,
) -> list[Plot]:  # fmt: skip
    """All classes of every run; on axes fitted to all runs together where they can be."""
    drawn = [drawn_classes(one, "all") for one in points]
    together = shared and len(points) > 1 and all(classes == drawn[0] for classes in drawn)
    basis = shared_basis(points, drawn[0]) if together else None
    limits = None
    if together:
        limits = common_limits(points, drawn, [basis] * len(points), max_points=most)
    plots = []
    for place, (one, name) in enumerate(zip(points, names, strict=True)):
        parts = simplex_parts(
            one, classes="all", max_points=most, basis=basis, limits=limits, title="All classes",
            shades=shades(one, drawn[place], ranks),
        )  # fmt: skip
        plots.append(plot_of(parts, name, "scene", place=place, tab="All classes"))
    return plots


def training_plots(trainings: Sequence[Training | None], names: Sequence[str]) -> list[Plot]:
    """Motion and curves of each run that has them, shown while the run is chosen."""
    several = len(names) > 1
    plots = _motions(
        [
            (one.trajectory, place)
            for place, one in enumerate(trainings)
            if one is not None and one.trajectory is not None and len(one.trajectory.names) > 1
        ],
        names,
    )
    for place, one in enumerate(trainings):
        if one is not None and one.log is not None:
            with suppress(NcscopeError):  # a log of other things is no reason to have no page
                parts = curve_parts(one.log, title="Curves")
                plots.append(plot_of(parts, names[place], "curves", place=place, chosen=several))
    return plots


def _motions(moved: Sequence[tuple[Trajectory, int]], names: Sequence[str]) -> list[Plot]:
    """The simplex view over the steps of each run, all at one scale."""
    chosen = [spread_classes(len(one.names), EXACT) for one, _ in moved]
    each = [motion_limits(one, classes=own) for (one, _), own in zip(moved, chosen, strict=True)]
    limits = {form: max(own[form] for own in each) for form in ("centred", "raw")} if each else {}
    plots = []
    for (one, place), classes in zip(moved, chosen, strict=True):
        title = f"{len(classes)} classes over the training"
        parts, frames = motion_parts(one, classes=classes, limits=limits, title=title)
        plots.append(plot_of(
            parts, names[place], "scene", frames=frames, place=place, chosen=len(names) > 1
        ))  # fmt: skip
    return plots
