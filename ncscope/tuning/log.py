"""A run's log for TensorBoard, and for Weights & Biases where that is installed."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncscope.errors import DataError


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
