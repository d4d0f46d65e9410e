"""How files of others are opened: regular ones only, and no more of them than was asked for.

A class folder, a table or a run from elsewhere may hold a named pipe, on which reading waits for
ever, or a link to a device, which never ends. Everything here raises OSError, whose `strerror` says
what the path is, so that a reader refuses it as it refuses a missing file.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MOST_TEXT = 2**30  # bytes of a list, a table or a log that are read into memory
_WAIT_NOT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "a folder, not a file"),
    (stat.S_ISFIFO, errno.EINVAL, "a named pipe, not a regular file"),
    (stat.S_ISSOCK, errno.EINVAL, "a socket, not a regular file"),
    (stat.S_ISCHR, errno.EINVAL, "a device, not a regular file"),
    (stat.S_ISBLK, errno.EINVAL, "a device, not a regular file"),
)


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading, or what a link to one leads to; never waits.

    Raises:
        OSError: nothing there, no permission, or a folder, pipe, socket or device.
    """
    _check(Path(path).stat(), path)  # before it is opened: that alone moves a tape
    descriptor = os.open(path, os.O_RDONLY | _WAIT_NOT)  # another file may stand there by now
    try:
        _check(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path: str | Path) -> int:
    """The size of a regular file in bytes, for a reader that opens the path itself.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(path: str | Path, *, most: int = MOST_TEXT) -> bytes:
    """All of a regular file.

    Raises:
        OSError: as `open_regular`; or it is larger than `most` bytes, which is said with both.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            words = f"{size:,} bytes; at most {most:,} are read of such a file"
            raise OSError(errno.EFBIG, words, str(path))
        return file.read(size)  # no more than was there, if it grows meanwhile


def is_there(path: str | Path) -> bool:
    """Whether a path leads to anything; a name that is none, too long say, leads nowhere."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def read_text(path: str | Path, *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """All of a regular text file, line ends as `Path.read_text` gives them.

    Raises:
        OSError: as `read_bytes`.
        UnicodeDecodeError: not in this encoding.
    """
    text = read_bytes(path).decode(encoding, errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON (`object_pairs_hook`) in which no key comes twice.

    Python keeps the last of two and says nothing: a part or a class would be lost.

    Raises:
        ValueError: names the key.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} comes twice in one object")
    return found


def _check(found: os.stat_result, path: str | Path) -> None:
    for is_kind, number, words in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(number, words, str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
