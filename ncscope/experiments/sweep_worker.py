"""A process that trains runs together, started when it is first needed, and asked task by task."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ncscope.experiments.spec import Planned
from ncscope.experiments.sweep_run import State, environment


class Worker:
    """Holds one child process. It ends when its input does, so also when this process is killed."""

    def __init__(self, folder: Path, *, jobs: int, stale: float) -> None:
        self._folder, self._jobs, self._stale = folder, jobs, stale
        self._child: subprocess.Popen[str] | None = None

    def do(self, runs: Sequence[Planned]) -> list[State | None]:
        """The state of each run; None for those to be done by themselves, as all are where the
        process breaks."""
        child = self._child = self._child or self._start()
        question = json.dumps([[run.name, dict(run.options)] for run in runs])
        try:
            child.stdin.write(question + "\n")  # pyright: ignore[reportOptionalMemberAccess]
            child.stdin.flush()  # pyright: ignore[reportOptionalMemberAccess]
            answer: Any = child.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            return [None] * len(runs)
        return json.loads(answer)

    def close(self) -> None:
        """Let the process end."""
        child, self._child = self._child, None
        if child is not None:
            try:
                child.communicate()
            except BrokenPipeError:
                child.wait()

    def _start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "ncscope.experiments.sweep_batch"]
        with (self._folder / "logs" / "together.txt").open("ab") as log:
            return subprocess.Popen(
                [*words, str(self._folder), str(self._stale)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, env=environment(self._jobs), text=True,
            )  # fmt: skip
