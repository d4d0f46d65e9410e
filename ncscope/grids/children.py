"""The processes that a sweep starts, and what makes them end with it.

`python -m ncscope.grids.children tune ...` is `ncscope tune ...`, and `... torchrun` is torchrun;
they are started by a sweep. A sweep that is killed can tell nobody, and processes of torchrun are
not among its own: so each looks every second whether the sweep and its own parent still live.

Of a failure torchrun says nothing: its processes have said what was wrong, and its own words would
bury theirs under its stack.
"""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ncscope.tuning.lock import began, is_alive

TUNE = (sys.executable, "-m", "ncscope.grids.children", "tune")
_VARIABLE = "NCSCOPE_SWEEP"
_EVERY = 1.0  # seconds
_PATIENCE = 40.0  # seconds to end in: torchrun gives its processes 30


def of_this_sweep() -> dict[str, str]:
    """What tells the processes that this one starts that it is their sweep."""
    return {_VARIABLE: f"{os.getpid()} {began(os.getpid()) or ''}"}


def end_with_sweep() -> None:
    """End this process when its sweep or its parent has ended, also if that was before."""
    sweep, _, since = os.environ.get(_VARIABLE, "").partition(" ")
    if not sweep:
        return
    parent, noted = os.getppid(), int(since) if since else None

    def look() -> None:
        if os.getppid() != parent or not is_alive(int(sweep), noted):
            print("ncscope: the sweep has ended, and this run of it does", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)

    def watch() -> None:
        while True:
            time.sleep(_EVERY)
            look()

    look()
    threading.Thread(target=watch, daemon=True).start()


class StoppedError(Exception):
    """The sweep is to end: nothing new begins. It stays between the threads of a sweep."""


class Child(Protocol):
    """As much of a `subprocess.Popen` as a sweep wants."""

    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Children:
    """Those that run now; for several threads.

    Args:
        fork: what makes a child of the words and arguments of `Popen`, or None where it cannot.
    """

    def __init__(
        self, fork: Callable[[Sequence[str], dict[str, Any]], Child | None] | None = None
    ) -> None:
        self._lock, self._fork = threading.Lock(), fork
        self._running: set[Child] = set()
        self._stopped = False

    def start(self, words: Sequence[str], **how: Any) -> Any:
        """As `subprocess.Popen`, which it is unless it was forked.

        Raises:
            StoppedError: the sweep is to end.
            OSError: no process can be started.
        """
        with self._lock:
            self.check()
            forked = self._fork(words, how) if self._fork else None
            child = forked or subprocess.Popen(words, **how)
            self._running.add(child)
        return child

    def wait(self, child: Child) -> int:
        """Its exit status, once it has ended.

        Raises:
            StoppedError: the sweep is to end, and so did the process.
        """
        status = child.wait()
        with self._lock:
            self._running.discard(child)
            self.check()
        return status

    def stop(self) -> None:
        """End all, and start no more."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for child in running:
            child.terminate()
        end = time.monotonic() + _PATIENCE
        for child in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, end - time.monotonic()))
            child.kill()  # nothing, where it has ended

    def check(self) -> None:
        """Raise StoppedError where the sweep is to end."""
        if self._stopped:
            raise StoppedError


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does; for the main thread, which alone may say so."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _torchrun(words: Sequence[str]) -> None:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    try:
        main(list(words))
    except ChildFailedError:
        sys.exit(1)


if __name__ == "__main__":
    end_with_sweep()
    if sys.argv[1:2] == ["torchrun"]:
        _torchrun(sys.argv[2:])
    else:
        runpy.run_module("ncscope_cli.main", run_name="__main__", alter_sys=True)
