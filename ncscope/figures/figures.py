"""The interactive figures, one function each: of one run, of its training, of many runs.

K classes, N samples, D width. Backgrounds are transparent and colours fit light and dark grounds.
`layout.meta` has the caption as plain sentences and, where it depends on the ground, the colour
scale for a dark one; traces of the two forms are marked `meta: "raw"` or `"centred"`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import plotly.graph_objects as go
from torch import Tensor

from ncscope.diagnosis.training import TrainingLog, Trajectory, read_log, read_trajectory
from ncscope.features.bundle import Features
from ncscope.figures import bars, distributions, dumbbells, heat, moves, scene, study, training
from ncscope.figures.points import Points, points_of
from ncscope.figures.projection import Basis
from ncscope.metrics.objective import PullPush

Figure = go.Figure
Classes = Sequence[int | str] | Literal["all"] | None


def simplex(
    features: Features | Points, *, classes: Classes = None, centred: bool = True,
    max_points: int = 2000, seed: int = 0, basis: Basis | None = None,
    limits: Mapping[str, float] | None = None, title: str = "Simplex view",
    shades: Sequence[float] | None = None,
) -> Figure:  # fmt: skip
    """Class vectors in three dimensions: text arrows, image means, images, the ideal simplex.

    Exact for up to four classes once centred; otherwise the principal three dimensions, with the
    share they show written on the figure (ncscope.figures.projection).

    Args:
        classes: names or indices of the classes to draw; `"all"`; None: all where K <= 12, else
            four evenly spaced through the class list.
        centred: which view is shown first; buttons change it.
        max_points: most images drawn, evenly over the classes, chosen by `seed`.
        basis: axes of another run, to draw both in one space. Same D.
        limits: half the side of the drawn cube, by form (`"centred"`, `"raw"`); None fits each
            form to its data, so that the two have different scales.
        shades: of many classes, in [0, 1] on the colour scale, one a class drawn; None: alike
            classes of these features get like colours.

    Raises:
        ShapeError: classes that are not there, or a basis of another width.
    """
    points = _points(features)
    return figure_of(scene.simplex_parts(
        points, classes=classes, centred=centred, max_points=max_points, seed=seed, basis=basis,
        limits=limits, title=title, shades=shades,
    ))  # fmt: skip


def simplex_runs(
    runs: Mapping[str, Features | Points], *, classes: Classes = None, centred: bool = True,
    max_points: int = 800, seed: int = 0, title: str = "Simplex view",
) -> Figure:  # fmt: skip
    """Several runs' simplex views side by side: same classes, scale and camera (Figure 1).

    Args:
        runs: name of each run -> its features; same classes in the same order, same D.
        classes, centred, seed: as for `simplex`.
        max_points: most images drawn of each run.

    Raises:
        ShapeError: no run, or runs that differ in classes or width.
    """
    points = {name: _points(features) for name, features in runs.items()}
    return figure_of(scene.side_by_side_parts(
        points, classes=classes, centred=centred, max_points=max_points, seed=seed, title=title
    ))  # fmt: skip


def cosine_heatmap(
    matrix: Tensor, names: Sequence[str], *, title: str = "Cosines", centred: Tensor | None = None,
    order: Sequence[int] | Literal["cluster"] | None = None, own_pairs: bool = False,
    most: int = 200, less: str | None = None,
) -> Figure:  # fmt: skip
    """Heat map of a (K, K) matrix of cosines, coloured from -1 to 1 whatever the values are.

    Args:
        matrix: cosines; rows are named first in hover cards.
        centred: the same cosines of centred vectors; adds buttons that switch.
        order: of the classes: as given (None), a list, or `"cluster"`, alike ones side by side.
        own_pairs: rows and columns are different things (text, images), so that the diagonal
            is a finding and counts in block means.
        most: above this K, cells are means of blocks of classes; said in the caption.
        less: the matrix is a difference, and this says of what, "less zero-shot": colours reach as
            far as its values.

    Raises:
        ShapeError: not square, or names or order that do not fit.
    """
    return figure_of(heat.heat_parts(
        matrix, names, title=title, centred=centred, order=order, own_pairs=own_pairs, most=most,
        less=less,
    ))  # fmt: skip


def angle_histogram(
    cosines: Mapping[str, Tensor], num_classes: int, *, title: str = "Angles between classes",
    centred: Mapping[str, Tensor] | None = None, edges: Sequence[float] | None = None,
) -> Figure:  # fmt: skip
    """Distribution of the angles between class vectors, with the simplex angle marked.

    Args:
        cosines: name of each series -> its (K, K) cosines; pairs i < j are counted.
        num_classes: K, which sets the ideal angle, arccos(-1/(K-1)).
        centred: the same series for centred vectors; adds buttons that switch.
        edges: of the bins, in degrees, to draw several figures on one axis; None fits them.
    """
    return figure_of(distributions.angle_parts(
        cosines, num_classes, title=title, centred=centred, edges=edges
    ))  # fmt: skip


def per_class_bars(
    record: Mapping[str, Any], *, measure: str = "accuracy", title: str | None = None
) -> Figure:
    """One bar a class, from the `per_class` rows of a run's record.

    Most frequent class first where training counts are known and differ, coloured by head,
    medium and tail; otherwise from the largest value to the smallest. Classes without a value
    have no bar.

    Raises:
        DataError: no such column, or no class has a value in it.
    """
    return figure_of(bars.bar_parts(record, measure=measure, title=title))


def class_changes(
    records: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None, *, most: int = 10,
    title: str = "Classes that changed most",
) -> Figure:  # fmt: skip
    """Accuracy, Δ LCD and Δ MID of single classes, each run beside the reference (dumbbells).

    The reference is the run `zero-shot`, else the first; of one run what it was compared with.
    Classes are matched by name, chosen by their largest change, and listed from the largest loss of
    accuracy to the largest gain.

    Args:
        records: runs as metrics.json has them.
        names: of the runs; None takes their sources.
        most: classes drawn.

    Raises:
        DataError: no reference, or no class that two runs have.
    """
    return figure_of(dumbbells.change_parts(records, names, most=most, title=title))


def group_accuracy(
    records: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None, *,
    measure: str = "accuracy", title: str = "Head, medium and tail",
) -> Figure:  # fmt: skip
    """Bars of one measure for head, medium and tail classes, one colour a run.

    Args:
        records: runs as metrics.json has them; those without groups are left out.
        names: of the runs; None takes their sources.

    Raises:
        DataError: no run has head, medium and tail, or none has a value of the measure.
    """
    return figure_of(bars.group_parts(records, names, measure=measure, title=title))


def modality_gap(features: Features | Points, *, title: str = "Modality gap") -> Figure:
    """Text features and images along the line through their two centres, raw.

    The distance of the centres is the measure `modality_gap`; every class counts once.

    Raises:
        ShapeError: text or labelled images are missing, or the centres coincide.
    """
    points = _points(features)
    return figure_of(distributions.gap_parts(points, title=title))


def simplex_motion(
    run: Trajectory | str | Path, *, classes: Classes = None, centred: bool = True,
    axes: Literal["last", "all"] = "last", limits: Mapping[str, float] | None = None,
    title: str = "Simplex view over training",
) -> Figure:  # fmt: skip
    """The simplex view at every evaluation of a training run, on fixed axes, with a slider.

    Args:
        run: a run's folder, its `trajectory.safetensors`, or one that was read.
        classes, centred: as for `simplex`.
        axes: fitted to the last step, whose picture is then that of `simplex`, or to all steps.
        limits: half the side of the drawn cube, by form, to draw runs at one scale.

    Raises:
        DataError: no trajectory there, or a damaged one.
    """
    trajectory = run if isinstance(run, Trajectory) else read_trajectory(run)
    parts, frames = training.motion_parts(
        trajectory, classes=classes, centred=centred, axes=axes, limits=limits, title=title
    )
    return figure_of(parts, frames)


def training_curves(run: TrainingLog | str | Path, *, title: str = "Training") -> Figure:
    """Losses by step, and accuracy and measures of each split by evaluation, in panels.

    Args:
        run: a run's folder, its `log.jsonl`, or a log that was read.

    Raises:
        DataError: no log there, a damaged one, or one with nothing to draw.
    """
    log = run if isinstance(run, TrainingLog) else read_log(run)
    return figure_of(training.curve_parts(log, title=title))


def move_curves(record: Mapping[str, Any], *, title: str = "What if") -> Figure:
    """Accuracy over the steps of each move of a run's `interventions`, with paired intervals.

    Raises:
        DataError: the run has no interventions.
    """
    return figure_of(moves.move_parts(record, title=title))


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
    return figure_of(study.scatter_parts(
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
    return figure_of(study.surface_parts(rows, x=x, y=y, z=z, title=title))


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
    return figure_of(study.gradient_parts(parts, names, counts, title=title))


def _points(features: Features | Points) -> Points:
    return features if isinstance(features, Points) else points_of(features)


def figure_of(parts: scene.Parts, frames: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """A figure of traces, a layout and frames given as plain dictionaries."""
    traces, layout = parts
    figure = go.Figure(data=traces, layout={"template": "none", **layout})
    if frames:
        figure.frames = frames
    return figure
