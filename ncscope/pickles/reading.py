"""Reads a pickle, alone or in a torch file, as data: no import, no call, whatever it names.

Python's unpickler imports what a file names and calls it. The machine below cannot: it builds
containers, numbers, text and descriptions of tensors. Objects of classes that the reader asks for
come out as a `Record` of their attributes, every other object as an `Opaque` that only remembers
its class's name.

What it makes holds nothing that was not in the file, only plain keys are ever hashed, and the
number of steps is limited, so that memory and time are bounded by the file's size.

Opcodes of the text protocols 0 and 1 are not known, save the naming of classes: torch writes
protocol 2, or a later one on request.
"""

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from ncscope.pickles.objects import (
    ITEMSIZE,
    MalformedError,
    Name,
    Opaque,
    Record,
    StorageRef,
    TensorRef,
    describe_tensor,
)

MAX_STEPS = 500_000  # the largest real files (two CLIPs and an optimiser) take about 100 000
_MAX_LINE = 1024

_DICTS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict")
_LISTS = ("builtins.list", "builtins.set", "builtins.tuple", "torch.Size")
_PARAMETERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
)
_TENSORS = tuple(f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3"))
_PLAIN_KEYS = (str, int, float, bool, bytes, type(None))

_CONSTANTS: dict[bytes, Callable[[], Any]] = {
    b"N": lambda: None,
    b"\x88": lambda: True,
    b"\x89": lambda: False,
    b"]": list,
    b"\x8f": list,  # EMPTY_SET: as a list, so that nothing in it is hashed
    b")": tuple,
    b"}": dict,
}
_VALUES = {
    *(b"J", b"K", b"M", b"G", b"\x8a", b"\x8b"),  # numbers
    *(b"U", b"T", b"\x8c", b"X", b"\x8d"),  # text
    *(b"C", b"B", b"\x8e", b"\x96"),  # bytes
}
_MEMO_WRITES = {b"q", b"r", b"\x94"}
_MEMO_READS = {b"h", b"j"}


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


class Machine:
    """The pickle machine's stack, marks and memo, with one method for each kind of opcode."""

    def __init__(self, storage: Callable[[object], StorageRef], records: frozenset[str]) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.unread: dict[str, None] = {}
        self.storage = storage
        self.records = records

    def step(self, code: bytes, argument: Any) -> None:
        """Execute one opcode; `argument` is what follows it in the stream."""
        if code in _CONSTANTS:
            self.push(_CONSTANTS[code]())
        elif code in _VALUES:
            self.push(argument)
        elif code in _MEMO_WRITES:
            index = len(self.memo) if argument is None else argument
            self.memo[index] = self.stack[-1]
        elif code in _MEMO_READS:
            self.push(self.memo[argument])
        elif code == b"c":
            self.push(Name(argument))
        elif code == b"i":
            self.push(self.call(Name(argument), tuple(self.pop_mark())))
        elif code in _STRUCTURE:
            _STRUCTURE[code](self)
        elif code not in (b"\x80", b"\x95"):  # PROTO and FRAME say nothing we need
            raise MalformedError(
                f"the pickle opcode 0x{code.hex()}, which torch.save does not write"
            )

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def push(self, value: object) -> None:
        self.stack.append(value)  # a method: `self.stack` is another list after a mark is popped

    def push_mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def name_from_stack(self) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(attribute, str) and isinstance(module, str)):
            raise MalformedError("a class name that is not text")
        self.push(Name(f"{module}.{attribute}"))

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.push(self.call(function, arguments))

    def new_object(self) -> None:
        self.stack.pop()  # keyword arguments: none of the objects read has any
        self.reduce()

    def call_marked(self) -> None:
        function, *arguments = self.pop_mark()
        self.push(self.call(function, tuple(arguments)))

    def call(self, function: object, arguments: object) -> object:
        """What the call would give, if it is of the few known; else an inert `Opaque`."""
        name = (
            function.text.replace("__builtin__.", "builtins.") if isinstance(function, Name) else ""
        )
        if name and isinstance(arguments, tuple):
            if name.rpartition(".")[2] in self.records:
                return Record()
            if name in _DICTS:
                return {}
            if name in _LISTS:
                return arguments[0] if arguments and isinstance(arguments[0], list | tuple) else []
            if name in _TENSORS:
                return _describe(name, arguments)
            if name in _PARAMETERS and arguments and isinstance(arguments[0], TensorRef | Opaque):
                return arguments[0]
        shown = name if name.isprintable() and 0 < len(name) <= 200 else "an unnamed class"
        self.unread[shown] = None
        return Opaque(shown)

    def build(self) -> None:
        """Give an object its state: kept for a `Record` only."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Record) and isinstance(state, dict):
            self.stack[-1].attributes = state

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Opaque):
            raise MalformedError("a list entry for what is no list")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            # Keys that are objects (an optimiser's state, by parameter) are not kept: hashing
            # what a file made, nested tuples say, could take for ever.
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if type(key) in _PLAIN_KEYS)
        elif not isinstance(target, Opaque):
            raise MalformedError("a dictionary entry for what is no dictionary")

    def push_dict(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.set_items(items)

    def take(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]


def _describe(name: str, arguments: tuple[Any, ...]) -> TensorRef:
    """The tensor of a `_rebuild_tensor*` call; version 3 names its dtype."""
    dtype = None
    if name.endswith("_v3"):
        kind = arguments[6].text if isinstance(arguments[6], Name) else ""
        dtype = kind.removeprefix("torch.")
        if dtype not in ITEMSIZE:
            raise MalformedError(f"a tensor of the unsupported dtype {dtype[:40]!r}")
    storage, offset, size, stride = arguments[:4]
    return describe_tensor(storage, offset, size, stride, dtype=dtype)


_STRUCTURE: dict[bytes, Callable[[Machine], object]] = {
    b"(": Machine.push_mark,  # MARK
    b"0": lambda m: m.stack.pop() if m.stack else m.pop_mark(),  # POP
    b"1": Machine.pop_mark,  # POP_MARK
    b"2": lambda m: m.push(m.stack[-1]),  # DUP
    b"l": lambda m: m.push(m.pop_mark()),  # LIST
    b"t": lambda m: m.push(tuple(m.pop_mark())),  # TUPLE
    b"\x91": lambda m: m.push(tuple(m.pop_mark())),  # FROZENSET
    b"\x85": lambda m: m.push(tuple(m.take(1))),  # TUPLE1
    b"\x86": lambda m: m.push(tuple(m.take(2))),  # TUPLE2
    b"\x87": lambda m: m.push(tuple(m.take(3))),  # TUPLE3
    b"d": Machine.push_dict,  # DICT
    b"a": lambda m: m.append(m.take(1)),  # APPEND
    b"e": lambda m: m.append(m.pop_mark()),  # APPENDS
    b"\x90": lambda m: m.append(m.pop_mark()),  # ADDITEMS
    b"s": lambda m: m.set_items(m.take(2)),  # SETITEM
    b"u": lambda m: m.set_items(m.pop_mark()),  # SETITEMS
    b"\x93": Machine.name_from_stack,  # STACK_GLOBAL
    b"R": Machine.reduce,  # REDUCE
    b"\x81": Machine.reduce,  # NEWOBJ
    b"\x92": Machine.new_object,  # NEWOBJ_EX
    b"o": Machine.call_marked,  # OBJ
    b"b": Machine.build,  # BUILD
    b"Q": lambda m: m.push(m.storage(m.stack.pop())),  # BINPERSID
}
