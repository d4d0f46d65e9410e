"""Locks that the system takes back itself, from a process that ends in any way.

Such a lock belongs to an open file, and to every process that inherited it. Some file servers have
none: there nothing is locked, and what it guards is left to chance.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time, for moments; the file is made where there is none, and stays."""
    with path.open("ab") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
