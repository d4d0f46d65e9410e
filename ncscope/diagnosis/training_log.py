"""What a training run wrote while it ran: losses by step, measures by evaluation.

A run's folder has `log.jsonl`, one JSON object a line: `{"event": "step", "epoch", "step", "loss",
"ce", "lcd", "mid", "lr", ...}` and `{"event": "eval", "epoch", "step", "base": {"accuracy",
"delta_lcd": {"raw", "centred"}, ...}, "new": {...}}`. Lines of other events are passed over.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.errors import DataError
from ncscope.text import short

LOG_NAME = "log.jsonl"


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
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
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
    return abs(value) < float("inf")  # NaN is not
