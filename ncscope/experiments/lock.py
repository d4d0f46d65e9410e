"""A lock file, so that of several processes, on several machines, one does a run.

The file is made only where there is none and says whose it is; its owner touches it while it works.
A lock whose process is gone, or that nobody touched for long, is taken over.
"""

import contextlib
import json
import os
import secrets
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from ncscope.experiments.alive import began, is_alive, machine

BEAT = 10.0  # seconds between touches
STALE = 120.0  # seconds without one after which a lock on another machine is taken over


class RunLock:
    """A held lock. Leave it by `release`, or as a context manager."""

    def __init__(self, path: Path, token: str, *, beat: float) -> None:
        self._path, self._token = path, token
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

    def works_in(self, pid: int) -> None:
        """Note a child process: the lock is not abandoned while that one lives."""
        if _holder(self._path).get("token") == self._token:
            _written(self._path, self._token, child=pid).replace(self._path)

    def release(self) -> None:
        """Stop touching the file and remove it, if it is still ours."""
        self._stop.set()
        self._thread.join()
        if _holder(self._path).get("token") == self._token:
            self._path.unlink(missing_ok=True)

    def _beat(self, beat: float) -> None:
        while not self._stop.wait(beat):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return
            except OSError:
                continue  # a file server that is away for a moment


def acquire(path: Path, *, beat: float = BEAT, stale: float = STALE) -> RunLock | None:
    """The lock of that file, or None where another living process holds it.

    An abandoned file is moved aside first. Only one of several that try can move it; what it moved
    is looked at again, and put back if it is not what was found abandoned.
    """
    token = secrets.token_hex(8)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _create(path, token):
        found = _look(path)
        if found is None or not _abandoned(found, path, token, stale):
            return None
        if not _move_aside(path, token, found) or not _create(path, token):
            return None
    return RunLock(path, token, beat=beat)


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


def _look(path: Path) -> tuple[bytes, int] | None:
    """What a lock holds and when it was touched; None where it is gone or cannot be read."""
    try:
        return path.read_bytes(), path.stat().st_mtime_ns
    except OSError:
        return None


def _move_aside(path: Path, token: str, found: tuple[bytes, int]) -> bool:
    """Whether the lock that was found is out of the way, and nobody else moved it."""
    aside = path.with_name(f".{path.name}.{token}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    same = _look(aside) == found
    if not same:  # a rival was faster, and this is its lock
        with contextlib.suppress(OSError):  # there is one again, or no links on this disk
            os.link(aside, path)
    aside.unlink(missing_ok=True)
    return same


def _abandoned(found: tuple[bytes, int], path: Path, token: str, stale: float) -> bool:
    """Whether the owner and its child are gone from this machine, or gave no sign for long."""
    holder = _words(found[0])
    owners = [
        (holder[name], holder.get(f"{name}_began"))
        for name in ("pid", "child") if isinstance(holder.get(name), int)
    ]  # fmt: skip
    if holder.get("host") == machine() and owners:
        return not any(is_alive(pid, since) for pid, since in owners)
    probe = path.with_name(f".{path.name}.{token}")
    try:
        probe.touch()  # its time is by the clock that the lock's is by, which may be a server's
        return (probe.stat().st_mtime_ns - found[1]) / 1e9 > stale
    finally:
        probe.unlink(missing_ok=True)


def _written(path: Path, token: str, *, child: int | None = None) -> Path:
    """A file beside the lock with what a lock of this process says."""
    owner = {
        "token": token, "host": machine(), "pid": os.getpid(), "pid_began": began(os.getpid()),
        "child": child, "child_began": None if child is None else began(child),
    }  # fmt: skip
    partial = path.with_name(f".{path.name}.{token}")
    partial.write_text(json.dumps(owner), encoding="utf-8")
    return partial


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
