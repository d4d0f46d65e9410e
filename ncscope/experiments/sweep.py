"""A grid of tuning runs, several at a time: what is done is skipped, what was cut off resumed.

Any number of processes, on any number of machines that share the folder, may work on one grid.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from ncscope.errors import DataError
from ncscope.experiments.lock import STALE
from ncscope.experiments.ready import spec_path
from ncscope.experiments.spec import Planned, read_spec
from ncscope.experiments.sweep_batch import tasks_of
from ncscope.experiments.sweep_run import COMMAND, State, do_run, is_done, lock_of, log_of
from ncscope.experiments.sweep_worker import Worker


@dataclass(frozen=True)
class Swept:
    """What became of one run: done now or before, under way in another process, or failed."""

    run: Planned
    state: State
    log: Path


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
) -> list[Swept]:
    """Do every run of a grid that is not done yet, each in a folder of `out` by its name.

    A failed run does not stop the others; its words are in `out`/logs, and it is tried again the
    next time.

    Args:
        spec: the name of a ready grid, or a TOML file, see `ncscope.experiments.spec`.
        root: what `{root}` in the grid stands for.
        jobs: runs, or tasks of runs that train together, at a time; each gets its share of the
            processor's cores.
        together: train the runs of one text prompt on one task in one pass. Their numbers are those
            of single runs up to rounding; they have no log.jsonl.
        command: what is called with a single run's arguments and `--out`.
        progress: called with each run as it ends, from several threads.
        stale: seconds without a sign of life after which another machine's run is taken over.

    Raises:
        DataError: a grid that cannot be read, or a folder that cannot be made.
    """
    if jobs < 1:
        raise DataError(f"`jobs` is {jobs}; expected 1 or more")
    planned, folder = read_spec(spec_path(spec), root=root), Path(out)
    try:
        for part in ("logs", "locks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made a folder ({error.strerror})") from None
    how = _How(folder, command, jobs, stale)
    tasks = tasks_of(planned) if together else []
    shared = {run.name for task in tasks for run in task}
    tasks += [[run] for run in planned if run.name not in shared]
    states = _work(tasks, how, progress or (lambda _: None), many=len(shared) > 0)
    return [states[run.name] for run in planned]


def _work(
    tasks: Sequence[Sequence[Planned]], how: _How, tell: Callable[[Swept], object], *, many: bool
) -> dict[str, Swept]:
    """Tasks of many runs first, as they come; each worker is for one of `jobs` threads."""
    workers: SimpleQueue[Worker] = SimpleQueue()
    made = [Worker(how.folder, jobs=how.jobs, stale=how.stale) for _ in range(how.jobs * many)]
    for worker in made:
        workers.put(worker)

    def work(task: Sequence[Planned]) -> list[Swept]:
        todo = [run for run in task if not is_done(run, how.folder)]
        found: dict[str, State | None] = {}
        if len(todo) > 1:
            worker = workers.get()
            states = worker.do(todo)
            found = {run.name: state for run, state in zip(todo, states, strict=True)}
            workers.put(worker)
        return [_ended(run, found.get(run.name), how, tell) for run in task]

    with ThreadPoolExecutor(how.jobs) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            wait([f for f, task in zip(futures, tasks, strict=True) if len(task) > 1])
            for worker in made:
                worker.close()  # their memory is wanted for the runs that are left
            ended = [one for future in futures for one in future.result()]
        finally:
            for future in futures:
                future.cancel()  # after Ctrl-C: those that have not begun
            for worker in made:
                worker.close()
    return {one.run.name: one for one in ended}


def _ended(run: Planned, state: State | None, how: _How, tell: Callable[[Swept], object]) -> Swept:
    """A run with its state, done by itself where it has none."""
    if state is None:
        state = do_run(run, how.folder, command=how.command, jobs=how.jobs, stale=how.stale)
    if state == "was done":  # its lock, left by a kill after the numbers were written, has no use
        lock_of(run, how.folder).unlink(missing_ok=True)
    swept = Swept(run, state, log_of(run, how.folder))
    tell(swept)
    return swept
