"""The figures of a training run: the simplex view over its evaluations, and curves.

Each reads a run's folder, or what was read from one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ncscope.diagnosis.training import Trajectory, read_trajectory
from ncscope.diagnosis.training_log import TrainingLog, read_log
from ncscope.figures import curves
from ncscope.figures import training as motion
from ncscope.figures.figures import Classes, Figure, figure_of


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
    parts, frames = motion.motion_parts(
        trajectory, classes=classes, centred=centred, axes=axes, limits=limits, title=title
    )
    figure = figure_of(parts)
    figure.frames = frames
    return figure


def training_curves(run: TrainingLog | str | Path, *, title: str = "Training") -> Figure:
    """Losses by step, and accuracy and measures of each split by evaluation, in panels.

    Args:
        run: a run's folder, its `log.jsonl`, or a log that was read.

    Raises:
        DataError: no log there, a damaged one, or one with nothing to draw.
    """
    log = run if isinstance(run, TrainingLog) else read_log(run)
    return figure_of(curves.curve_parts(log, title=title))
