"""A grid of tuning runs, several at a time: what is done is skipped, what was cut off resumed.

Threads take the runs that are to be done now; each has processes and GPUs of its own. Any number of
processes, on any number of machines that share the folder, may work on one grid.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ncscope.errors import DataError, NcscopeError
from ncscope.grids.batch import tasks_of
from ncscope.grids.children import Children, StoppedError
from ncscope.grids.forking import Parent
from ncscope.grids.run import (
    COMMAND,
    State,
    do_run,
    environment,
    how_it_ended,
    is_done,
    is_elsewhere,
    lock_of,
    log_of,
    processes_of,
    shares,
    visible_gpus,
)
from ncscope.grids.spec import Planned, read_spec, spec_path
from ncscope.tuning.lock import BEAT, STALE

Task = Sequence[Planned]  # runs that train together, or one


@dataclass(frozen=True)
class Swept:
    """What became of one run: done now or before, failed, or under way in another process."""

    run: Planned
    state: State
    log: Path
    why: str = ""  # it failed, where its log cannot say so


@dataclass(frozen=True, eq=False)
class _How:
    """Where runs go, and what does them."""

    folder: Path
    command: Sequence[str]
    gpus: Sequence[str | None]  # what each of so many runs at a time sees; None: all there is
    stale: float

    @property
    def jobs(self) -> int:
        """Runs at a time."""
        return len(self.gpus)


def sweep(
    spec: str | Path | Sequence[Planned],
    *,
    out: str | Path,
    root: str | Path | None = None,
    jobs: int = 1,
    together: bool = True,
    command: Sequence[str] = COMMAND,
    progress: Callable[[Swept], object] | None = None,
    stale: float = STALE,
    poll: float = BEAT,
) -> list[Swept]:
    """Do every run of a grid that is not done yet, each in a folder of `out` by its name.

    A failed run does not stop the others; its words are in `out`/logs, and it is tried again the
    next time. Runs that other processes do are waited for, and taken over where those end.

    Args:
        spec: the name of a ready grid, or a TOML file, see `ncscope.grids.spec`; or the runs
            of one, as `read_spec` gives them.
        root: what `{root}` in the grid stands for.
        jobs: runs, or tasks of runs that train together, at a time; each gets its share of the
            processor's cores, and of several GPUs its own.
        together: train the runs of one text prompt on one task in one pass. Their numbers are those
            of single runs up to rounding; they have no log.jsonl.
        command: what is called with a single run's arguments and `--out`.
        progress: called with each run as it ends, from several threads, and once with one that
            another process does.
        stale: seconds without a sign of life after which another machine's run is taken over.
        poll: seconds between looks at the runs of others.

    Raises:
        DataError: a grid that cannot be read, a folder that cannot be made, or fewer GPUs than one
            run is to have.
    """
    if jobs < 1:
        raise DataError(f"`jobs` is {jobs}; expected 1 or more")
    named = isinstance(spec, str | Path)
    planned = read_spec(spec_path(spec), root=root) if named else list(spec)
    folder = Path(out)
    each = processes_of(command)
    gpus = shares(visible_gpus() if jobs * each > 1 else [], jobs=jobs, each=each)
    _make_folders(folder)
    how = _How(folder, command, gpus, stale)
    tasks = tasks_of(planned) if together else []
    shared = {run.name for task in tasks for run in task}
    tasks += [[run] for run in planned if run.name not in shared]
    tell = progress or (lambda _: None)
    ended = _work(tasks, how, tell)
    while others := [run for run in planned if ended[run.name].state == "elsewhere"]:
        free = {run.name for run in others if not is_elsewhere(run, folder, stale=stale)}
        left = [[run for run in task if run.name in free] for task in tasks]
        found = _work([task for task in left if task], how, lambda one: _unless_told(one, tell))
        ended.update(found)
        if all(one.state == "elsewhere" for one in found.values()):
            time.sleep(poll)
    return [ended[run.name] for run in planned]


def _make_folders(folder: Path) -> None:
    """Those of a grid, or say here, rather than with every run, that there can be none.

    Raises:
        DataError: one cannot be made, or not be written in.
    """
    for part in (folder, folder / "logs", folder / "locks"):
        try:
            part.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=part):
                pass
        except OSError as error:
            what = "cannot be written in" if part.is_dir() else "cannot be made a folder"
            raise DataError(f"{part}: {what} ({error.strerror}); name another --out") from None


def _unless_told(swept: Swept, tell: Callable[[Swept], object]) -> None:
    if swept.state != "elsewhere":
        tell(swept)


def _work(tasks: Sequence[Task], how: _How, tell: Callable[[Swept], object]) -> dict[str, Swept]:
    """What became of each run. Tasks of many runs come first."""
    parent = Parent(environment(how.jobs)) if sum(len(task) == 1 for task in tasks) > 1 else None
    children, free = Children(parent and parent.fork), SimpleQueue[_Seat]()
    seats = [
        _Seat(
            Worker(how.folder, jobs=how.jobs, stale=how.stale, children=children, gpus=gpus), gpus
        )
        for gpus in how.gpus
    ]
    for seat in seats:
        free.put(seat)

    def do(task: Task) -> list[Swept]:
        seat = free.get()
        try:
            todo = [run for run in task if not is_done(run, how.folder)]
            found: dict[str, State | None] = {}
            if len(todo) > 1:
                found = dict(zip([run.name for run in todo], seat.worker.do(todo), strict=True))
            return [_ended(run, found.get(run.name), how, seat, children, tell) for run in task]
        finally:
            free.put(seat)

    try:
        with ThreadPoolExecutor(how.jobs) as pool:
            futures = [pool.submit(do, task) for task in tasks]
            try:
                wait([f for f, task in zip(futures, tasks, strict=True) if len(task) > 1])
                for seat in seats:
                    seat.worker.close()  # their memory is wanted for the runs that are left
                ended = [one for future in futures for one in future.result()]
            except BaseException:  # Ctrl-C, or what no run can be blamed for
                children.stop()
                for future in futures:
                    future.cancel()
                raise
    finally:
        for seat in seats:
            seat.worker.close()
        if parent is not None:
            parent.close()
    return {one.run.name: one for one in ended}


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


@dataclass(frozen=True, eq=False)
class _Seat:
    """What one thread has for its runs."""

    worker: Worker
    gpus: str | None


def _ended(
    run: Planned, state: State | None, how: _How, seat: _Seat, children: Children,
    tell: Callable[[Swept], object],
) -> Swept:  # fmt: skip
    """A run with its state, done by itself where it has none."""
    why = ""
    if state is None:
        try:
            state = do_run(
                run, how.folder, command=how.command, jobs=how.jobs, stale=how.stale,
                children=children, gpus=seat.gpus,
            )  # fmt: skip
        except (OSError, NcscopeError) as error:  # the others may be luckier
            state, why = "failed", str(error)
    if state == "was done":  # its lock, left by a kill after the numbers were written, has no use
        lock_of(run, how.folder).unlink(missing_ok=True)
    swept = Swept(run, state, log_of(run, how.folder), why)
    tell(swept)
    return swept
