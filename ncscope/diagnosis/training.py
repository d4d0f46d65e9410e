"""The training behind a source, where its folder still has what the run wrote: log and trajectory.

A run's folder has `log.jsonl`, one JSON object a line: `{"event": "step", "epoch", "step", "loss",
"ce", "lcd", "mid", "lr", ...}` and `{"event": "eval", "epoch", "step", "base": {"accuracy",
"delta_lcd": {"raw", "centred"}, ...}, "new": {...}}`; lines of other events are passed over. And it
has `trajectory.safetensors`: `text` (T, K, D), `image_mean` (T, K, D) of means of unit rows, `step`
(T,), and `classnames` as JSON in the metadata, for T steps, K classes and width D.

A run's folder has `log.jsonl`, one JSON object a line: `{"event": "step", "epoch", "step", "loss",
"ce", "lcd", "mid", "lr", ...}` and `{"event": "eval", "epoch", "step", "base": {"accuracy",
"delta_lcd": {"raw", "centred"}, ...}, "new": {...}}`. Lines of other events are passed over.

T steps, K classes, D width. A run's folder has `trajectory.safetensors`: `text` (T, K, D),
`image_mean` (T, K, D) of means of unit rows, `step` (T,), and `classnames` as JSON in the metadata.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ncscope.errors import DataError
from ncscope.opening import read_text, require_regular
from ncscope.text import short

LOG_NAME = "log.jsonl"
TRAJECTORY_NAME = "trajectory.safetensors"


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """Lines of a log by event, each in order of its steps."""

    steps: tuple[dict[str, Any], ...]
    evaluations: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()


def read_log(path: str | Path) -> TrainingLog:
    """Read a run's folder or its log. A run that was resumed may have a step twice: the last holds.

    Raises:
        DataError: no log there, no line of either event, or a line before the last that is no
            JSON object with a step. A broken last line, of a run that was stopped, is a note.
    """
    path = Path(path)
    path = path / LOG_NAME if path.is_dir() else path
    try:
        lines = read_text(path, errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path}: no training log can be read ({error.strerror})") from None
    found: dict[str, dict[float, dict[str, Any]]] = {"step": {}, "eval": {}}
    notes = []
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        event = _event(line)
        if event is None and place == len(lines):
            notes.append(f"{path.name}: the last line is broken off and was left out")
        elif event is None:
            raise DataError(
                f"{path}: line {place} is no JSON object with an `event` and a `step`: "
                f"{short(line, 60)}"
            )
        elif event["event"] in found:
            found[event["event"]][float(event["step"])] = event
    if not any(found.values()):
        raise DataError(f"{path}: holds no `step` or `eval` events; is it a training log?")
    steps, evaluations = (
        tuple(rows[step] for step in sorted(rows)) for rows in (found["step"], found["eval"])
    )
    return TrainingLog(steps, evaluations, tuple(notes))


def series(rows: tuple[dict[str, Any], ...], *path: str) -> tuple[list[float], list[float]]:
    """Steps and values at a path of keys, of the rows that have a finite number there."""
    steps, values = [], []
    for row in rows:
        value: Any = row
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and _finite(value):
            steps.append(float(row["step"]))
            values.append(float(value))
    return steps, values


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    step = event.get("step")
    there = isinstance(step, int | float) and not isinstance(step, bool) and _finite(step)
    return event if there or event["event"] not in ("step", "eval") else None


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the range of floats
        return False


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Class vectors of one run at T steps, ascending; `means` is None where there are no images."""

    names: tuple[str, ...]
    steps: tuple[int, ...]
    text: Tensor  # (T, K, D) as the tower gives them
    means: Tensor | None  # (T, K, D) means of unit rows; NaN for a class without images


def read_trajectory(path: str | Path) -> Trajectory:
    """Read a run's folder or its trajectory file.

    Raises:
        DataError: nothing there, damaged, or arrays that do not fit together.
    """
    path = Path(path)
    path = path / TRAJECTORY_NAME if path.is_dir() else path
    try:
        require_regular(path)
        with safe_open(path, framework="pt") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}
            listed = (file.metadata() or {}).get("classnames")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: no trajectory can be read ({short(error, 160)})") from None
    try:
        return _trajectory(held, listed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def thinned(trajectory: Trajectory, most: int) -> Trajectory:
    """At most this many steps, evenly spaced, the first and the last among them."""
    count = len(trajectory.steps)
    if count <= most:
        return trajectory
    kept = [round(place * (count - 1) / (most - 1)) for place in range(most)]
    means = None if trajectory.means is None else trajectory.means[kept]
    steps = tuple(trajectory.steps[place] for place in kept)
    return Trajectory(trajectory.names, steps, trajectory.text[kept], means)


def _trajectory(held: dict[str, Tensor], listed: str | None) -> Trajectory:
    text, means, step = held.get("text"), held.get("image_mean"), held.get("step")
    if text is None or text.ndim != 3 or not text.is_floating_point():
        found = "nothing" if text is None else f"{tuple(text.shape)} {text.dtype}"
        raise DataError(f"`text` must be floating, (T, K, D); got {found}")
    if not bool(text.isfinite().all()):
        raise DataError("`text` holds NaN or infinity")
    if bool((text == 0).all(dim=2).any()):
        raise DataError("`text` holds zero rows, which have no direction")
    if means is not None and means.shape != text.shape:
        raise DataError(f"`image_mean` is {tuple(means.shape)}; expected {tuple(text.shape)}")
    if step is None or step.shape != text.shape[:1] or not len(text):
        found = "nothing" if step is None else tuple(step.shape)
        raise DataError(f"`step` must be (T,) with T = {len(text)} above 0; got {found}")
    order = step.argsort()
    names = _names(listed, text.shape[1])
    steps = tuple(int(value) for value in step[order].tolist())
    return Trajectory(names, steps, text[order], None if means is None else _kept(means[order]))


def _kept(means: Tensor) -> Tensor:
    """NaN for the classes that have no images, at some step: zeros or NaN in the file."""
    missing = (~means.isfinite()).any(dim=2) | (means == 0).all(dim=2)
    return means.masked_fill(missing.any(dim=0)[None, :, None], float("nan"))


def _names(listed: str | None, size: int) -> tuple[str, ...]:
    if listed is None:
        return tuple(f"class {k}" for k in range(size))
    try:
        names = json.loads(listed)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError("`classnames` in the metadata must be a JSON list of names")
    if len(names) != size:
        raise DataError(f"`classnames` has {len(names)} names for {size} classes")
    return tuple(names)


@dataclass(frozen=True, eq=False)
class Training:
    """A run's log and trajectory, as far as there are; `notes` says what could not be read."""

    log: TrainingLog | None
    trajectory: Trajectory | None
    notes: tuple[str, ...] = ()


def read_training(source: str | Path) -> Training | None:
    """What lies in a run's folder, or beside a file of it; None where neither file is there.

    A damaged file is a note: it must not cost the measures.
    """
    path = Path(source)
    folder = path if path.is_dir() else path.parent if path.is_file() else None
    if folder is None:
        return None
    notes: list[str] = []
    log = trajectory = None
    if (folder / LOG_NAME).is_file():
        try:
            log = read_log(folder)
            notes += log.notes
        except DataError as error:
            notes.append(str(error))
    if (folder / TRAJECTORY_NAME).is_file():
        try:
            trajectory = read_trajectory(folder)
        except DataError as error:
            notes.append(str(error))
    if log is None and trajectory is None and not notes:
        return None
    return Training(log, trajectory, tuple(notes))
