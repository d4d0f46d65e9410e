"""A lock file a run, so that of several processes, on several machines, one does it.

The file is made only where there is none and says whose it is; its owner touches it while it works.
A lock whose process is gone, or that nobody touched for long, is taken over. A process number alone
says little, since containers begin at small ones and they are used again: with it goes when the
process began.

Beside them, for moments and for logs, locks of the system: they belong to an open file, and to
every process that inherited it. Some file servers have none: there nothing is locked, and what they
guard is left to chance.
"""

import _thread
import contextlib
import fcntl
import functools
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ncscope.errors import DataError

BEAT = 10.0  # seconds between touches
STALE = 120.0  # seconds without one after which a lock on another machine is taken over


class RunLock:
    """A held lock. Leave it by `release`, or as a context manager."""

    def __init__(self, path: Path, token: str, *, beat: float) -> None:
        self._path, self._token = path, token
        self._lost: Callable[[], object] = lambda: None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(beat,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.release()

    def when_lost(self, end: Callable[[], object]) -> None:
        """What to call where another takes over, as from a machine that slept: it ends the work."""
        self._lost = end

    def release(self) -> None:
        """Stop touching the file and remove it, if it is still ours."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError), alone(_guard(self._path)):
            if _holder(self._path).get("token") == self._token:
                self._path.unlink(missing_ok=True)

    def _beat(self, beat: float) -> None:
        """A file that is not there, or cannot be touched, may be so for a moment only."""
        while not self._stop.wait(beat):
            if _holder(self._path).get("token", self._token) != self._token:
                self._lost()
                return
            with contextlib.suppress(OSError):
                os.utime(self._path)


def acquire(path: Path, *, beat: float = BEAT, stale: float = STALE) -> RunLock | None:
    """The lock of that file, or None where another living process holds it.

    Raises:
        DataError: the folder of the locks cannot be written.
    """
    token = secrets.token_hex(8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _create(path, token) and not _take_over(path, token, stale):
            return None
    except OSError as error:
        raise DataError(
            f"{path}: no lock can be made ({error.strerror}); expected a folder to write in"
        ) from None
    return RunLock(path, token, beat=beat)


def is_held(path: Path, *, stale: float = STALE) -> bool:
    """Whether `acquire` would find another's lock."""
    found = _look(path)
    try:
        return found is not None and not _abandoned(found, path, secrets.token_hex(8), stale)
    except OSError:  # a file server that is away for a moment
        return True


def _create(path: Path, token: str) -> bool:
    """Make the file, words and all at once, unless there is one: killed here, nobody holds it."""
    partial = _written(path, token)
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except OSError:  # no links on this disk: the words come a moment after the file
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            partial.replace(path)
            return True
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def _take_over(path: Path, token: str, stale: float) -> bool:
    """Put our words into an abandoned file, which is there all the time.

    Who takes over or gives back does so alone: the file that was found abandoned is still that one.
    """
    found = _look(path)
    if found is None or not _abandoned(found, path, token, stale):
        return False
    with alone(_guard(path)):
        if _look(path) != found:  # a rival was faster, or the owner is back
            return False
        _written(path, token).replace(path)
    return True


def _abandoned(found: tuple[bytes, int], path: Path, token: str, stale: float) -> bool:
    """Whether the owner is gone from this machine, or gave no sign for long."""
    holder = _words(found[0])
    pid = holder.get("pid")
    if holder.get("host") == machine() and isinstance(pid, int):
        return not is_alive(pid, holder.get("pid_began"))
    probe = path.with_name(f".{path.name}.{token}")
    try:
        probe.touch()  # its time is by the clock that the lock's is by, which may be a server's
        return (probe.stat().st_mtime_ns - found[1]) / 1e9 > stale
    finally:
        probe.unlink(missing_ok=True)


def _written(path: Path, token: str) -> Path:
    """A file beside the lock with what a lock of this process says."""
    pid = os.getpid()
    owner = {"token": token, "host": machine(), "pid": pid, "pid_began": began(pid)}
    partial = path.with_name(f".{path.name}.{token}")
    partial.write_text(json.dumps(owner), encoding="utf-8")
    return partial


def _look(path: Path) -> tuple[bytes, int] | None:
    """What a lock holds and when it was touched; None where it is gone or cannot be read."""
    try:
        return path.read_bytes(), path.stat().st_mtime_ns
    except OSError:
        return None


def _holder(path: Path) -> dict[str, Any]:
    """What the lock says; empty where it is gone or was just made and has no words yet."""
    found = _look(path)
    return {} if found is None else _words(found[0])


def _words(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _guard(path: Path) -> Path:
    return path.with_name(".guard")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time, for moments; the file is made where there is none, and goes again.

    Who waited for a file that is gone by then has nothing: it begins again with the one there is.
    """
    while True:
        with path.open("ab") as file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_there(file, path):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_there(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Have a run's folder for as long as it is written to.

    A run that a sweep does is under the sweep's lock as well, which it takes over after `STALE`
    seconds of silence: this one is free a little earlier.

    Raises:
        DataError: another living process has it, or has taken it over since.
    """
    lock = acquire(folder / "run.lock", stale=STALE - 2 * BEAT)
    if lock is None:
        raise DataError(
            f"{folder}: another process is training into it; expected a folder that nobody writes "
            f"to: wait for it to end, or name another --out"
        )
    lost: list[bool] = []

    def end() -> None:
        lost.append(True)
        _thread.interrupt_main()

    lock.when_lost(end)
    with lock:
        try:
            yield
        except KeyboardInterrupt:
            if not lost:
                raise
            raise DataError(
                f"{folder}: another process has taken the run over while this one gave no sign"
            ) from None


def open_alone(path: Path) -> BinaryIO | None:
    """The file to append to; None where another process, or what one started, has it so.

    Raises:
        OSError: it cannot be opened.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        pass
    return file


def is_open(path: Path) -> bool:
    """Whether somebody has the file by `open_alone`."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or no such locks
        return False
    return False


@functools.cache
def machine() -> str:
    """Host name; with it, where the system tells, what differs after a start and in a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()} {boot} {space}"


def began(pid: int) -> int | None:
    """When a process of this machine began, in the system's ticks; None where it does not tell."""
    words = _stat(pid)
    return int(words[19]) if len(words) > 19 else None


def is_alive(pid: int, since: object) -> bool:
    """Whether the process that began then still runs; one that has ended unnoticed does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    words = _stat(pid)
    return words[:1] != ["Z"] and (since is None or not words or began(pid) == since)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty where there is no such file."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return words.rpartition(")")[2].split()
