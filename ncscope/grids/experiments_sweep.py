"""A grid of tuning runs, several at a time: what is done is skipped, what was cut off resumed.

Any number of processes, on any number of machines that share the folder, may work on one grid.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ncscope.errors import DataError
from ncscope.grids.batch import tasks_of
from ncscope.grids.gpus import shares, visible_gpus
from ncscope.grids.lock import BEAT, STALE
from ncscope.grids.ready import spec_path
from ncscope.grids.run import COMMAND, is_elsewhere, processes_of
from ncscope.grids.spec import Planned, read_spec
from ncscope.grids.sweep import How, Swept, work


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
    make_folders(folder)
    how = How(folder, command, gpus, stale)
    tasks = tasks_of(planned) if together else []
    shared = {run.name for task in tasks for run in task}
    tasks += [[run] for run in planned if run.name not in shared]
    tell = progress or (lambda _: None)
    ended = work(tasks, how, tell)
    while others := [run for run in planned if ended[run.name].state == "elsewhere"]:
        free = {run.name for run in others if not is_elsewhere(run, folder, stale=stale)}
        left = [[run for run in task if run.name in free] for task in tasks]
        found = work([task for task in left if task], how, lambda one: _unless_told(one, tell))
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
