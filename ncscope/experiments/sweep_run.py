"""One run of a grid: done by a process of its own, under its lock, from where it was cut off."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ncscope.experiments.lock import acquire
from ncscope.experiments.spec import Planned

State = Literal["done", "was done", "elsewhere", "failed"]
_TUNE = ("-m", "ncscope_cli.main", "tune")
_PER_NODE = "--nproc-per-node"
_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", _PER_NODE)
COMMAND = (sys.executable, *_TUNE)


def command_on(gpus: int) -> tuple[str, ...]:
    """What does one run: a process, or where there are several GPUs, one for each."""
    return COMMAND if gpus < 2 else (sys.executable, *_TORCHRUN, str(gpus), *_TUNE)


def is_done(run: Planned, folder: Path) -> bool:
    """Whether the run has written its numbers, which it does last."""
    return (folder / run.name / "metrics.json").exists()


def log_of(run: Planned, folder: Path) -> Path:
    """Where a run's words go."""
    return folder / "logs" / f"{run.name}.txt"


def lock_of(run: Planned, folder: Path) -> Path:
    """The file that says that somebody does the run."""
    return folder / "locks" / run.name


def has_state(run: Planned, folder: Path) -> bool:
    """Whether there is something to go on from."""
    return (folder / run.name / "state.safetensors").exists()


def do_run(run: Planned, folder: Path, *, command: Sequence[str], jobs: int, stale: float) -> State:
    """Do it unless it is done or another does it; `jobs` at a time share the cores."""
    if is_done(run, folder):
        return "was done"
    lock = acquire(lock_of(run, folder), stale=stale)
    if lock is None:
        return "was done" if is_done(run, folder) else "elsewhere"
    with lock:
        if is_done(run, folder):  # by another process, between the look and the lock
            return "was done"
        words = [*command, *run.arguments(), *_going_on(run, folder)]
        with log_of(run, folder).open("ab") as log:
            child = subprocess.Popen(
                [*words, "--out", str(folder / run.name), "--quiet"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment(jobs * _processes(command)),
            )  # fmt: skip
            lock.works_in(child.pid)
            status = child.wait()
        return "done" if status == 0 and is_done(run, folder) else "failed"


def set_aside(folder: Path) -> None:
    """Move a folder whose run cannot go on out of the way, where it holds a log; none is lost."""
    if (folder / "log.jsonl").exists():
        count = 1
        while (aside := folder.with_name(f"{folder.name}.unfinished{count}")).exists():
            count += 1
        folder.rename(aside)


def environment(processes: int) -> dict[str, str]:
    """Threads for each of several processes, unless the user has said how many.

    They share the cores that this process may use, which on a cluster are fewer than there are.
    """
    may_use = getattr(os, "sched_getaffinity", None)  # of Linux
    cores = len(may_use(0)) if may_use else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // processes)), **os.environ}


def _processes(command: Sequence[str]) -> int:
    """How many processes one run has."""
    return int(command[command.index(_PER_NODE) + 1]) if _PER_NODE in command else 1


def _going_on(run: Planned, folder: Path) -> list[str]:
    """`--resume` where a state was kept."""
    if has_state(run, folder):
        return ["--resume"]
    set_aside(folder / run.name)
    return []
