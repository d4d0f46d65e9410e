"""A lock file, so that of several processes, on several machines, one does a run.

The file is made with O_EXCL and holds owner and host; its owner touches it while it works. A lock
whose process is gone, or that nobody touched for long, is taken over.
"""

import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

BEAT = 10.0  # seconds between touches
STALE = 120.0  # seconds without one after which a lock on another machine is taken over
_SETTLE = 0.3  # seconds after a takeover in which a rival's would show


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
            _write(self._path, self._token, child=pid)

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
            except OSError:
                return


def acquire(path: Path, *, beat: float = BEAT, stale: float = STALE) -> RunLock | None:
    """The lock of that file, or None where another living process holds it.

    A takeover replaces the file and looks again a moment later: of several that try, the last one
    written holds it, and the others see that.
    """
    token = secrets.token_hex(8)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        if not _abandoned(path, token, stale):
            return None
        _write(path, token)
        time.sleep(_SETTLE)
        return RunLock(path, token, beat=beat) if _holder(path).get("token") == token else None
    _write(path, token)
    return RunLock(path, token, beat=beat)


def _abandoned(path: Path, token: str, stale: float) -> bool:
    """Whether the owner and its child are gone from this machine, or gave no sign for long."""
    probe = path.with_name(f".{path.name}.{token}")
    try:
        probe.touch()  # its time is by the clock that the lock's is by, which may be a server's
        age = probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return False  # released this moment; who comes next will have it
    finally:
        probe.unlink(missing_ok=True)
    holder = _holder(path)
    owners = [holder[key] for key in ("pid", "child") if isinstance(holder.get(key), int)]
    if holder.get("host") == socket.gethostname() and owners:
        return not any(_alive(pid) for pid in owners)
    return age > stale


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits for a parent to notice: in containers, for ever."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # no such file system, or gone this moment
    return words.rpartition(")")[2].split()[:1] == ["Z"]


def _write(path: Path, token: str, *, child: int | None = None) -> None:
    owner = {"token": token, "pid": os.getpid(), "host": socket.gethostname(), "child": child}
    partial = path.with_name(f".{path.name}.{token}")
    partial.write_text(json.dumps(owner), encoding="utf-8")
    partial.replace(path)


def _holder(path: Path) -> dict[str, Any]:
    """What the lock says; empty where it is gone or was just made and has no words yet."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
