"""The progress of a tuning run on stderr: a bar of steps with the parts of the loss."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ncscope_cli.terminal import bar, say_beside

_NOT_PARTS = ("event", "epoch", "step", "steps", "grad", "lr")


@contextmanager
def tune_progress(*, quiet: bool) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Give a listener of log events that draws a bar, or None where there is to be none."""
    if quiet:
        yield None
        return
    with bar("tune", "step") as shown:

        def show(event: dict[str, Any]) -> None:
            if event["event"] == "step":
                shown.total = event["steps"]
                parts = {k: v for k, v in event.items() if k not in _NOT_PARTS and v is not None}
                shown.set_postfix({k: f"{v:.3g}" for k, v in parts.items()}, refresh=False)
            else:
                say_beside(shown, evaluation_line(event))
            shown.update(event["step"] - shown.n)

        yield show


def evaluation_line(event: dict[str, Any]) -> str:
    """One evaluation in one line."""
    parts = []
    for name, found in event.items():
        if isinstance(found, dict):
            accuracy, lcd, mid = found["accuracy"], found["delta_lcd"], found["delta_mid"]
            parts.append(
                f"{name} {100 * accuracy:.1f} % (delta_lcd {lcd['raw']:.3f} raw, "
                f"{lcd['centred']:.3f} centred; delta_mid {mid['raw']:.3f}, {mid['centred']:.3f})"
            )
    return f"step {event['step']}: " + "; ".join(parts)
