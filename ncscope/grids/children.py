"""The processes that a sweep starts: none once it is to end, and then all of them are ended."""

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

_PATIENCE = 40.0  # seconds to end in: torchrun gives its processes 30


class StoppedError(Exception):
    """The sweep is to end: nothing new begins. It stays between the threads of a sweep."""


class Children:
    """Those that run now; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[Any]] = set()
        self._stopped = False

    def start(self, words: Sequence[str], **how: Any) -> subprocess.Popen[Any]:
        """As `subprocess.Popen`.

        Raises:
            StoppedError: the sweep is to end.
            OSError: no process can be started.
        """
        with self._lock:
            self.check()
            child = subprocess.Popen(words, **how)
            self._running.add(child)
        return child

    def wait(self, child: subprocess.Popen[Any]) -> int:
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
