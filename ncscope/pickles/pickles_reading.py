"""Reads a pickle, alone or in a torch file, as data: no import, no call, whatever it names.

Python's unpickler imports what a file names and calls it. The machine used here cannot. The values
it makes hold nothing that was not in the file, only plain keys are ever hashed, and the number of
steps is limited, so that memory and time are bounded by the file's size.

Opcodes of the text protocols 0 and 1 are not known, save the naming of classes: torch writes
protocol 2, or a later one on request.
"""

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from ncscope.pickles.objects import MalformedError, StorageRef
from ncscope.pickles.reading import Machine

MAX_STEPS = 500_000  # the largest real files (two CLIPs and an optimiser) take about 100 000
_MAX_LINE = 1024


class Bounded:
    """A binary stream that gives at most `limit` bytes and never allocates for more."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes."""
        if not 0 <= count <= self._left:
            raise MalformedError("the data end in the middle of an entry")
        self._left -= count
        found = self._file.read(count)
        if len(found) < count:
            raise MalformedError("the data end in the middle of an entry")
        return found

    def line(self) -> str:
        found = self._file.readline(min(self._left, _MAX_LINE))
        self._left -= len(found)
        if not found.endswith(b"\n"):
            raise MalformedError("a text entry without an end")
        return found[:-1].decode("utf-8")

    def number(self, code: str) -> Any:
        """The number in the struct format `code`."""
        return struct.unpack(code, self.read(struct.calcsize(code)))[0]

    def counted(self, code: str) -> bytes:
        """Bytes after their own count, a number in the struct format `code`."""
        return self.read(self.number(code))


def read_pickle(
    stream: Bounded,
    storage: Callable[[object], StorageRef],
    *,
    records: frozenset[str] = frozenset(),
) -> tuple[Any, list[str]]:
    """Return the pickled value, read as data, and the names of the classes that were not built.

    Args:
        storage: turns the file format's persistent id of a storage into its description.
        records: classes, by their last names, whose objects become a `Record` of attributes.

    Raises:
        MalformedError: the stream is no pickle, ends early, or describes an impossible tensor.
    """
    machine = Machine(storage, records)
    try:
        for _ in range(MAX_STEPS):
            code = stream.read(1)
            if code == b".":
                return machine.stack.pop(), list(machine.unread)
            argument = _ARGUMENTS[code](stream) if code in _ARGUMENTS else None
            machine.step(code, argument)
    except MalformedError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise MalformedError("its objects do not fit together") from error
    raise MalformedError(f"more than {MAX_STEPS} steps to build its objects")


def _integer(content: bytes) -> int:
    if len(content) > 64:
        raise MalformedError("a number of more than 64 bytes")
    return int.from_bytes(content, "little", signed=True)


_ARGUMENTS: dict[bytes, Callable[[Bounded], Any]] = {
    b"\x80": lambda s: s.number("<B"),  # PROTO
    b"\x95": lambda s: s.number("<Q"),  # FRAME
    b"J": lambda s: s.number("<i"),  # BININT
    b"K": lambda s: s.number("<B"),  # BININT1
    b"M": lambda s: s.number("<H"),  # BININT2
    b"G": lambda s: s.number(">d"),  # BINFLOAT
    b"\x8a": lambda s: _integer(s.counted("<B")),  # LONG1
    b"\x8b": lambda s: _integer(s.counted("<i")),  # LONG4
    b"U": lambda s: s.counted("<B").decode("latin-1"),  # SHORT_BINSTRING
    b"T": lambda s: s.counted("<i").decode("latin-1"),  # BINSTRING
    b"\x8c": lambda s: s.counted("<B").decode("utf-8"),  # SHORT_BINUNICODE
    b"X": lambda s: s.counted("<I").decode("utf-8"),  # BINUNICODE
    b"\x8d": lambda s: s.counted("<Q").decode("utf-8"),  # BINUNICODE8
    b"C": lambda s: s.counted("<B"),  # SHORT_BINBYTES
    b"B": lambda s: s.counted("<I"),  # BINBYTES
    b"\x8e": lambda s: s.counted("<Q"),  # BINBYTES8
    b"\x96": lambda s: s.counted("<Q"),  # BYTEARRAY8
    b"q": lambda s: s.number("<B"),  # BINPUT
    b"r": lambda s: s.number("<I"),  # LONG_BINPUT
    b"h": lambda s: s.number("<B"),  # BINGET
    b"j": lambda s: s.number("<I"),  # LONG_BINGET
    b"c": lambda s: f"{s.line()}.{s.line()}",  # GLOBAL
    b"i": lambda s: f"{s.line()}.{s.line()}",  # INST
}
