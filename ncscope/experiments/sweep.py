"""A grid of tuning runs, several at a time: what is done is skipped, what was cut off resumed.

Any number of processes, on any number of machines that share the folder, may work on one grid.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ncscope.errors import DataError
from ncscope.experiments.lock import STALE, acquire
from ncscope.experiments.spec import Planned, read_spec

State = Literal["done", "was done", "elsewhere", "failed"]
COMMAND = (sys.executable, "-m", "ncscope_cli.main", "tune")


@dataclass(frozen=True)
class Swept:
    """What became of one run: done now or before, under way in another process, or failed."""

    run: Planned
    state: State
    log: Path


def sweep(
    spec: str | Path,
    *,
    out: str | Path,
    jobs: int = 1,
    command: Sequence[str] = COMMAND,
    progress: Callable[[Swept], object] | None = None,
    stale: float = STALE,
) -> list[Swept]:
    """Do every run of a grid that is not done yet, each in a folder of `out` by its name.

    A failed run does not stop the others; its words are in `out`/logs, and it is tried again the
    next time.

    Args:
        spec: a TOML file, see `ncscope.experiments.spec`.
        jobs: runs at a time; each gets its share of the processor's cores.
        command: what is called with the run's arguments and `--out`.
        progress: called with each run as it ends, from several threads.
        stale: seconds without a sign of life after which another machine's run is taken over.

    Raises:
        DataError: a grid that cannot be read, or a folder that cannot be made.
    """
    if jobs < 1:
        raise DataError(f"`jobs` is {jobs}; expected 1 or more")
    planned, folder = read_spec(spec), Path(out)
    try:
        for part in ("logs", "locks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made a folder ({error.strerror})") from None

    def work(run: Planned) -> Swept:
        ended = Swept(run, _do(run, folder, command, jobs, stale), _log(run, folder))
        if progress is not None:
            progress(ended)
        return ended

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, run) for run in planned]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()  # after Ctrl-C: those that have not begun


def is_done(run: Planned, folder: Path) -> bool:
    """Whether the run has written its numbers, which it does last."""
    return (folder / run.name / "metrics.json").exists()


def _do(run: Planned, folder: Path, command: Sequence[str], jobs: int, stale: float) -> State:
    if is_done(run, folder):
        return "was done"
    lock = acquire(folder / "locks" / run.name, stale=stale)
    if lock is None:
        return "was done" if is_done(run, folder) else "elsewhere"
    with lock:
        if is_done(run, folder):  # by another process, between the look and the lock
            return "was done"
        words = [*command, *run.arguments(), *_going_on(folder / run.name)]
        with _log(run, folder).open("ab") as log:
            child = subprocess.Popen(
                [*words, "--out", str(folder / run.name), "--quiet"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(jobs),
            )  # fmt: skip
            lock.works_in(child.pid)
            status = child.wait()
        return "done" if status == 0 and is_done(run, folder) else "failed"


def _going_on(folder: Path) -> list[str]:
    """`--resume` where a state was kept; a folder without one is moved aside, not lost."""
    if (folder / "state.safetensors").exists():
        return ["--resume"]
    if folder.exists():
        count = 1
        while (aside := folder.with_name(f"{folder.name}.unfinished{count}")).exists():
            count += 1
        folder.rename(aside)
    return []


def _environment(jobs: int) -> dict[str, str]:
    """Threads for each run, unless the user has said how many."""
    share = max(1, (os.cpu_count() or 1) // jobs)
    return {"OMP_NUM_THREADS": str(share), **os.environ}


def _log(run: Planned, folder: Path) -> Path:
    return folder / "logs" / f"{run.name}.txt"
