"""A run's log: one JSON object a line, cut back to the last saved state when a run goes on."""

import json
import math
import os
from pathlib import Path
from typing import Any


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
        with path.open(encoding="utf-8") as file:
            self.events = [json.loads(line) for line in file]

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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
