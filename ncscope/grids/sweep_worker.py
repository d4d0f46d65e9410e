"""A process that trains runs together, started when it is first needed, and asked task by task."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ncscope.grids.children import Children, StoppedError
from ncscope.grids.run import State, environment, how_it_ended
from ncscope.grids.spec import Planned


class Worker:
    """Holds one child process. It ends when its input does, so also when this process is killed."""

    def __init__(
        self, folder: Path, *, jobs: int, stale: float, children: Children, gpus: str | None = None
    ) -> None:
        self._folder, self._jobs, self._stale = folder, jobs, stale
        self._children, self._gpus = children, gpus
        self._child: subprocess.Popen[str] | None = None

    def do(self, runs: Sequence[Planned]) -> list[State | None]:
        """The state of each run; None for those to be done by themselves, as all are where the
        process cannot be started or breaks."""
        question = json.dumps([[run.name, dict(run.options)] for run in runs])
        try:
            child = self._child = self._child or self._start()
            child.stdin.write(question + "\n")  # pyright: ignore[reportOptionalMemberAccess]
            child.stdin.flush()  # pyright: ignore[reportOptionalMemberAccess]
            answer: Any = child.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
            found: list[State | None] = json.loads(answer)
        except (OSError, ValueError):  # it is gone, or its words are cut off
            self.close()
            return [None] * len(runs)
        return found

    def close(self) -> None:
        """Let the process end."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(OSError):
            child.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
        with contextlib.suppress(StoppedError):
            status = self._children.wait(child)
            if status != 0:
                with contextlib.suppress(OSError), self._log().open("a") as log:
                    log.write(f"ncscope: the process {how_it_ended(status)}\n")
        child.stdout.close()  # pyright: ignore[reportOptionalMemberAccess]

    def _log(self) -> Path:
        return self._folder / "logs" / "together.txt"

    def _start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "ncscope.grids.batch"]
        with self._log().open("ab") as log:
            return self._children.start(
                [*words, str(self._folder), str(self._stale)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, text=True,
                env=environment(self._jobs, gpus=self._gpus),
            )  # fmt: skip
