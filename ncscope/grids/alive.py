"""Which machine this is, and whether a process that somebody noted still lives on it.

A process number alone says little: containers begin at small ones, and they are used again.
"""

import functools
import os
import socket
from pathlib import Path


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
