"""The figures over many runs, from plain tables: rows that map a column's name to its value."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.figures import gradient_bars as gradients
from ncscope.figures import study as scatter
from ncscope.figures import surface
from ncscope.figures.figures import Figure, figure_of
from ncscope.metrics.pull_push import PullPush


def measure_scatter(
    rows: Sequence[Mapping[str, Any]], *, x: str, y: str = "accuracy", group: str | None = None,
    label: str | None = None, level: float = 0.95, title: str = "Measure against accuracy",
) -> Figure:  # fmt: skip
    """One column against another, a point a row, with the least-squares line, the interval of its
    mean, and Pearson's r (the paper's Figure 2).

    Args:
        x, y: columns of numbers; rows without both are left out, and counted in the caption.
        group: column that gives the colour and the legend.
        label: column that hover cards show.
        level: of both intervals. They take rows as independent: runs that share a data set or a
            seed are not, and `ncscope compare` says what remains then.

    Raises:
        DataError: no row has both numbers, or a level outside 0..1.
    """
    return figure_of(scatter.scatter_parts(
        rows, x=x, y=y, group=group, label=label, level=level, title=title
    ))  # fmt: skip


def sensitivity_surface(
    rows: Sequence[Mapping[str, Any]], *, x: str = "lcd_weight", y: str = "mid_weight",
    z: str = "accuracy", title: str = "Sensitivity to the weights",
) -> Figure:  # fmt: skip
    """A result over a grid of two weights as a surface (the paper's Figure 5).

    Rows with the same weights are averaged; combinations that were not run are holes. Values lie
    in their order, not to scale, as weights often go through powers of ten and 0.

    Raises:
        DataError: no row has all three numbers, or one of the weights does not vary.
    """
    return figure_of(surface.surface_parts(rows, x=x, y=y, z=z, title=title))


def gradient_bars(
    parts: PullPush, names: Sequence[str], counts: Sequence[int], *,
    title: str = "Pull and push at the text features",
) -> Figure:  # fmt: skip
    """What cross-entropy does to each class's text feature, from head to tail classes.

    Args:
        parts: `ncscope.metrics.pull_push` of training images.
        names: K class names.
        counts: K numbers of training images.

    Raises:
        ShapeError: names or counts that do not fit.
    """
    return figure_of(gradients.gradient_parts(parts, names, counts, title=title))
