"""The runs of a grid that are to be done now, by threads that each have processes and GPUs."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from ncscope.errors import NcscopeError
from ncscope.grids.children import Children
from ncscope.grids.run import State, do_run, is_done, lock_of, log_of
from ncscope.grids.spec import Planned
from ncscope.grids.sweep_worker import Worker

Task = Sequence[Planned]  # runs that train together, or one


@dataclass(frozen=True)
class Swept:
    """What became of one run: done now or before, failed, or under way in another process."""

    run: Planned
    state: State
    log: Path
    why: str = ""  # it failed, where its log cannot say so


@dataclass(frozen=True, eq=False)
class How:
    """Where runs go, and what does them."""

    folder: Path
    command: Sequence[str]
    gpus: Sequence[str | None]  # what each of so many runs at a time sees; None: all there is
    stale: float

    @property
    def jobs(self) -> int:
        """Runs at a time."""
        return len(self.gpus)


@dataclass(frozen=True, eq=False)
class _Seat:
    """What one thread has for its runs."""

    worker: Worker
    gpus: str | None


def work(tasks: Sequence[Task], how: How, tell: Callable[[Swept], object]) -> dict[str, Swept]:
    """What became of each run. Tasks of many runs come first."""
    children, free = Children(), SimpleQueue[_Seat]()
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
    return {one.run.name: one for one in ended}


def _ended(
    run: Planned, state: State | None, how: How, seat: _Seat, children: Children,
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
