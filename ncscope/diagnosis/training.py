"""How class vectors moved in training: text features and class means of a run, step by step.

T steps, K classes, D width. A run's folder has `trajectory.safetensors`: `text` (T, K, D),
`image_mean` (T, K, D) of means of unit rows, `step` (T,), and `classnames` as JSON in the metadata.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ncscope.errors import DataError

TRAJECTORY_NAME = "trajectory.safetensors"


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
        with safe_open(path, framework="pt") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}
            listed = (file.metadata() or {}).get("classnames")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: no trajectory can be read ({error})") from None
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
