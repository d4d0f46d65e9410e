"""A grid of tuning runs, several at a time: what is done is skipped, what was cut off resumed.

Any number of processes, on any number of machines that share the folder, may work on one grid.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from ncscope.errors import DataError, NcscopeError
from ncscope.experiments.children import Children
from ncscope.experiments.lock import BEAT, STALE
from ncscope.experiments.ready import spec_path
from ncscope.experiments.spec import Planned, read_spec
from ncscope.experiments.sweep_batch import tasks_of
from ncscope.experiments.sweep_run import (
    COMMAND,
    State,
    do_run,
    is_done,
    is_elsewhere,
    lock_of,
    log_of,
)
from ncscope.experiments.sweep_worker import Worker

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
    folder: Path
    command: Sequence[str]
    jobs: int
    stale: float


def sweep(
    spec: str | Path,
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
        spec: the name of a ready grid, or a TOML file, see `ncscope.experiments.spec`.
        root: what `{root}` in the grid stands for.
        jobs: runs, or tasks of runs that train together, at a time; each gets its share of the
            processor's cores.
        together: train the runs of one text prompt on one task in one pass. Their numbers are those
            of single runs up to rounding; they have no log.jsonl.
        command: what is called with a single run's arguments and `--out`.
        progress: called with each run as it ends, from several threads, and once with one that
            another process does.
        stale: seconds without a sign of life after which another machine's run is taken over.
        poll: seconds between looks at the runs of others.

    Raises:
        DataError: a grid that cannot be read, or a folder that cannot be made.
    """
    if jobs < 1:
        raise DataError(f"`jobs` is {jobs}; expected 1 or more")
    planned, folder = read_spec(spec_path(spec), root=root), Path(out)
    make_folders(folder)
    how = _How(folder, command, jobs, stale)
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


def make_folders(folder: Path) -> None:
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
    """Tasks of many runs first, as they come; each worker is for one of `jobs` threads."""
    children, workers = Children(), SimpleQueue[Worker]()
    many = any(len(task) > 1 for task in tasks)
    made = [
        Worker(how.folder, jobs=how.jobs, stale=how.stale, children=children)
        for _ in range(how.jobs * many)
    ]
    for worker in made:
        workers.put(worker)

    def work(task: Task) -> list[Swept]:
        todo = [run for run in task if not is_done(run, how.folder)]
        found: dict[str, State | None] = {}
        if len(todo) > 1:
            worker = workers.get()
            try:
                found = dict(zip([run.name for run in todo], worker.do(todo), strict=True))
            finally:
                workers.put(worker)
        return [_ended(run, found.get(run.name), how, children, tell) for run in task]

    try:
        with ThreadPoolExecutor(how.jobs) as pool:
            futures = [pool.submit(work, task) for task in tasks]
            try:
                wait([f for f, task in zip(futures, tasks, strict=True) if len(task) > 1])
                for worker in made:
                    worker.close()  # their memory is wanted for the runs that are left
                ended = [one for future in futures for one in future.result()]
            except BaseException:  # Ctrl-C, or what no run can be blamed for
                children.stop()
                for future in futures:
                    future.cancel()
                raise
    finally:
        for worker in made:
            worker.close()
    return {one.run.name: one for one in ended}


def _ended(
    run: Planned, state: State | None, how: _How, children: Children,
    tell: Callable[[Swept], object],
) -> Swept:  # fmt: skip
    """A run with its state, done by itself where it has none."""
    why = ""
    if state is None:
        try:
            state = do_run(
                run, how.folder, command=how.command, jobs=how.jobs, stale=how.stale,
                children=children,
            )  # fmt: skip
        except (OSError, NcscopeError) as error:  # the others may be luckier
            state, why = "failed", str(error)
    if state == "was done":  # its lock, left by a kill after the numbers were written, has no use
        lock_of(run, how.folder).unlink(missing_ok=True)
    swept = Swept(run, state, log_of(run, how.folder), why)
    tell(swept)
    return swept
