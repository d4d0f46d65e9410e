"""The training of a page's runs: the simplex view over the steps, and curves.

K classes.
"""

from collections.abc import Sequence

from ncscope.errors import NcscopeError
from ncscope.report import run_figures
from ncscope.report.axes import EXACT
from ncscope.report.plot import Plot, plot_of
from ncscope.report.points import spread_classes
from ncscope.report.training import Training


def training_plots(trainings: Sequence[Training | None], names: Sequence[str]) -> list[Plot]:
    """Motions of all runs first, side by side, then their curves; nothing for runs without."""
    plots = []
    for one, name in zip(trainings, names, strict=True):
        if one is not None and one.trajectory is not None and len(one.trajectory.names) > 1:
            classes = spread_classes(len(one.trajectory.names), EXACT)
            title = f"{len(classes)} classes over the training"
            figure = run_figures.simplex_motion(one.trajectory, classes=classes, title=title)
            plots.append(plot_of(figure, name, "scene"))
    for one, name in zip(trainings, names, strict=True):
        if one is not None and one.log is not None:
            try:
                figure = run_figures.training_curves(one.log, title="Curves")
            except NcscopeError:  # a log of other things is no reason to have no page
                continue
            plots.append(plot_of(figure, name, "curves"))
    return plots
