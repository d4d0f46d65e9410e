"""One run of a grid: done by a process of its own, under its lock, from where it was cut off.

What it says goes to its log, which is locked as long as a process of it lives: the file is handed
down to all that it starts. So a run whose sweep was killed is not begun again beside itself.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from ncscope.errors import DataError
from ncscope.grids.children import TUNE, Children, of_this_sweep
from ncscope.grids.spec import Planned
from ncscope.opening import read_bytes
from ncscope.tuning.lock import RunLock, acquire, is_held, is_open, open_alone
from ncscope.tuning.state_file import is_whole, kept_states

State = Literal["done", "was done", "elsewhere", "failed"]
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_PER_NODE = "--nproc-per-node"
_TORCHRUN = ("-m", "ncscope.grids.children", "torchrun", "--standalone", _PER_NODE)
COMMAND = TUNE


def is_done(run: Planned, folder: Path) -> bool:
    """Whether the run has written its numbers, which it does last, and they are whole."""
    try:
        return isinstance(json.loads(read_bytes(folder / run.name / "metrics.json")), dict)
    except (OSError, ValueError, RecursionError):
        return False


def log_of(run: Planned, folder: Path) -> Path:
    """Where a run's words go."""
    return folder / "logs" / f"{run.name}.txt"


def lock_of(run: Planned, folder: Path) -> Path:
    """The file that says that somebody does the run."""
    return folder / "locks" / run.name


def has_state(run: Planned, folder: Path) -> bool:
    """Whether there is something to go on from."""
    return bool(kept_states(folder / run.name))


def is_elsewhere(run: Planned, folder: Path, *, stale: float) -> bool:
    """Whether another process has the run, or one that a killed sweep started still does it."""
    return is_held(lock_of(run, folder), stale=stale) or is_open(log_of(run, folder))


def do_run(
    run: Planned, folder: Path, *, command: Sequence[str], jobs: int, stale: float,
    children: Children, gpus: str | None = None,
) -> State:  # fmt: skip
    """Do it unless it is done or another does it; `jobs` at a time share the cores.

    Args:
        gpus: those that it sees, as CUDA_VISIBLE_DEVICES has them; None: all.

    Raises:
        StoppedError: the sweep is to end.
        OSError: its log cannot be written, or no process be started.
    """
    children.check()
    if is_done(run, folder):
        return "was done"
    lock = acquire(lock_of(run, folder), stale=stale)
    if lock is None:
        return "was done" if is_done(run, folder) else "elsewhere"
    with lock:
        if is_done(run, folder):  # by another process, between the look and the lock
            return "was done"
        log = open_alone(log_of(run, folder))
        if log is None:
            return "elsewhere"
        surroundings = environment(jobs * processes_of(command), gpus=gpus)
        with log:
            status = _started(run, folder, log, lock, command, surroundings, children)
            if status and _lost(run, folder):
                aside = set_aside(folder / run.name)
                words = f"ncscope: no state can be read; begun again, what was is in {aside}\n"
                log.write(words.encode(errors="backslashreplace"))
                status = _started(run, folder, log, lock, command, surroundings, children)
            if status == 0 and is_done(run, folder):
                return "done"
            log.write(f"ncscope: the run {how_it_ended(status)}\n".encode())
        return "failed"


def _started(
    run: Planned, folder: Path, log: BinaryIO, lock: RunLock, command: Sequence[str],
    surroundings: dict[str, str], children: Children,
) -> int:  # fmt: skip
    """The exit status of a process that does the run, or goes on with it where a state was kept."""
    resume = ["--resume"] if has_state(run, folder) else []
    if not resume:
        set_aside(folder / run.name)
    words = [*command, *run.arguments(), *resume, "--out", str(folder / run.name), "--quiet"]
    log.flush()
    child = children.start(
        words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=surroundings
    )
    lock.when_lost(child.terminate)
    return children.wait(child)


def _lost(run: Planned, folder: Path) -> bool:
    """Whether states were kept, and none of them can be read."""
    states = kept_states(folder / run.name)
    return bool(states) and not any(is_whole(path) for path in states)


def set_aside(folder: Path) -> Path | None:
    """Move a folder whose run cannot go on out of the way, where it holds any of it; none is lost.

    Returns where it is now.
    """
    if (folder / "log.jsonl").exists() or kept_states(folder):
        count = 1
        while (aside := folder.with_name(f"{folder.name}.unfinished{count}")).exists():
            count += 1
        folder.rename(aside)
        return aside
    return None


def how_it_ended(status: int) -> str:
    """What an exit status says, for a log that may say nothing else."""
    if status >= 0:
        return f"ended with status {status}" + (" and wrote no metrics.json" if not status else "")
    name = signal.Signals(-status).name if -status in set(signal.Signals) else "unknown"
    memory = ", most often for want of memory" if -status == signal.SIGKILL else ""
    return f"was ended by signal {-status} ({name}{memory})"


def command_on(gpus: int) -> tuple[str, ...]:
    """What does one run: a process, or where there are several GPUs, one for each."""
    return COMMAND if gpus < 2 else (sys.executable, *_TORCHRUN, str(gpus), *TUNE[1:])


def processes_of(command: Sequence[str]) -> int:
    """How many processes one run has."""
    return int(command[command.index(_PER_NODE) + 1]) if _PER_NODE in command else 1


def environment(processes: int, *, gpus: str | None = None) -> dict[str, str]:
    """Threads for each of several processes, unless the user has said how many; and whose they are.

    They share the cores that this process may use, which on a cluster are fewer than there are.
    """
    may_use = getattr(os, "sched_getaffinity", None)  # of Linux
    cores = len(may_use(0)) if may_use else os.cpu_count() or 1
    threads = {"OMP_NUM_THREADS": str(max(1, cores // processes))}
    seen = {} if gpus is None else {_VISIBLE: gpus}
    return {**threads, **os.environ, **seen, **of_this_sweep()}


def visible_gpus() -> list[str]:
    """As that variable names them: those in it, else all of the machine; none where unknown.

    torch is not asked: it takes seconds and memory that the runs want.
    """
    said = os.environ.get(_VISIBLE)
    if said is not None:
        names = [part.strip() for part in said.split(",")]
        return [name for name in names if name not in ("", "-1")]
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return [str(index) for index in range(count)]


def shares(gpus: Sequence[str], *, jobs: int, each: int) -> list[str | None]:
    """What each of `jobs` runs at a time sees; None, all of it, where there is nothing to share.

    Runs that are more than there are GPUs for take turns in sharing them.

    Raises:
        DataError: one run wants more than there are.
    """
    if 0 < len(gpus) < each:
        names = ", ".join(gpus)
        raise DataError(f"`gpus` is {each}; expected {len(gpus)} or fewer: {_VISIBLE} are {names}")
    if jobs == 1 or len(gpus) < 2:
        return [None] * jobs
    parts = [gpus[i : i + each] for i in range(0, len(gpus) - each + 1, each)]
    return [",".join(parts[i % len(parts)]) for i in range(jobs)]
