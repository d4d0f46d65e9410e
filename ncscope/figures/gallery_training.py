"""The training of a page's runs: the simplex view over the steps, and curves.

K classes.
"""

from collections.abc import Sequence

from ncscope.diagnosis.report_training import Training
from ncscope.diagnosis.training import Trajectory
from ncscope.errors import NcscopeError
from ncscope.figures import run_figures
from ncscope.figures.axes import EXACT
from ncscope.figures.plot import Plot, plot_of
from ncscope.figures.points import spread_classes
from ncscope.figures.training import motion_limits


def training_plots(trainings: Sequence[Training | None], names: Sequence[str]) -> list[Plot]:
    """Motions of all runs first, side by side, then their curves; nothing for runs without."""
    plots = _motions(
        [
            (one.trajectory, name)
            for one, name in zip(trainings, names, strict=True)
            if one is not None and one.trajectory is not None and len(one.trajectory.names) > 1
        ]
    )
    for one, name in zip(trainings, names, strict=True):
        if one is not None and one.log is not None:
            try:
                figure = run_figures.training_curves(one.log, title="Curves")
            except NcscopeError:  # a log of other things is no reason to have no page
                continue
            plots.append(plot_of(figure, name, "curves"))
    return plots


def _motions(moved: Sequence[tuple[Trajectory, str]]) -> list[Plot]:
    """The simplex view over the steps of each run, all at one scale."""
    chosen = [spread_classes(len(one.names), EXACT) for one, _ in moved]
    each = [motion_limits(one, classes=own) for (one, _), own in zip(moved, chosen, strict=True)]
    limits = {form: max(own[form] for own in each) for form in ("centred", "raw")} if each else {}
    plots = []
    for (one, name), classes in zip(moved, chosen, strict=True):
        title = f"{len(classes)} classes over the training"
        figure = run_figures.simplex_motion(one, classes=classes, limits=limits, title=title)
        plots.append(plot_of(figure, name, "scene"))
    return plots
