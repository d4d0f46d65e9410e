"""A run's log: one JSON object a line, and for TensorBoard and Weights & Biases where installed.

It is cut back to the last saved state when a run goes on.
"""

import importlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncscope.errors import DataError
from ncscope.opening import read_bytes


class Log:
    """Appends events to a file, or keeps them in memory only; `events` holds those of this run."""

    def __init__(self, path: Path | None, *, keep_bytes: int | None = None) -> None:
        """`keep_bytes` None begins anew; a number keeps that much of what is there."""
        self.path = path
        self.events: list[dict[str, Any]] = []
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if keep_bytes is None or not path.exists():
            path.write_text("", encoding="utf-8")
            return
        os.truncate(path, min(keep_bytes, path.stat().st_size))
        self.events = _events(path)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path is not None else 0

    def write(self, event: dict[str, Any]) -> None:
        """Add one event; a number that is no number becomes null."""
        event = _finite(event)
        self.events.append(event)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
                file.flush()


def _events(path: Path) -> list[dict[str, Any]]:
    """What a log holds.

    Raises:
        DataError: a line that is no JSON object.
    """
    found = []
    for place, line in enumerate(read_bytes(path).splitlines(), start=1):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            found.append(None)
        if not isinstance(found[-1], dict):
            raise DataError(
                f"{path}: line {place} is damaged; expected a JSON object; remove the run's folder "
                f"to begin again"
            )
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def tensorboard(
    folder: Path | None, *, wanted: bool
) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Give a listener that writes events below `folder/tensorboard`, or None if not wanted.

    Raises:
        DataError: no folder, or TensorBoard is not installed.
    """
    if not wanted:
        yield None
        return
    if folder is None:
        raise DataError("TensorBoard's files need a folder; give --out DIR")
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DataError(
            "TensorBoard is not installed; install it: pip install tensorboard"
        ) from None
    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def write(event: dict[str, Any]) -> None:
            for name, value in scalars(event).items():
                writer.add_scalar(name, value, event["step"])

        yield write


@contextmanager
def weights_and_biases(
    project: str | None, config: Mapping[str, Any]
) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Give a listener that sends events to a project, or None where none is named.

    Raises:
        DataError: Weights & Biases is not installed.
    """
    if project is None:
        yield None
        return
    try:
        wandb: Any = importlib.import_module("wandb")
    except ImportError:
        raise DataError(
            "Weights & Biases is not installed; install it: pip install wandb"
        ) from None
    run = wandb.init(project=project, config=dict(config))
    try:
        yield lambda event: run.log(scalars(event), step=event["step"])
    finally:
        run.finish()


def scalars(event: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of an event by slash-joined names: `base/delta_lcd/raw`."""
    found: dict[str, float] = {}
    for key, value in event.items():
        if isinstance(value, dict):
            found |= scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key not in ("epoch", "step", "steps"):
            found[f"{prefix}{key}"] = float(value)
    return found
