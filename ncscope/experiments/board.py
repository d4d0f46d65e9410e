"""A run's log as TensorBoard's event files."""

from collections.abc import Callable, Iterator
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


def scalars(event: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of an event by slash-joined names: `base/delta_lcd/raw`."""
    found: dict[str, float] = {}
    for key, value in event.items():
        if isinstance(value, dict):
            found |= scalars(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and key not in ("epoch", "step", "steps"):
            found[f"{prefix}{key}"] = float(value)
    return found
