"""The pickle machine: what each opcode does when nothing may be imported or called.

It builds containers, numbers, text and descriptions of tensors. Objects of classes that the reader
asks for come out as a `Record` of their attributes, every other object as an `Opaque` that only
remembers its class's name.
"""

from collections.abc import Callable
from typing import Any

from ncscope.pickles.objects import (
    ITEMSIZE,
    MalformedError,
    StorageRef,
    TensorRef,
    describe_tensor,
)
from ncscope.pickles.pickles_objects import Name, Opaque, Record

_DICTS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict")
_LISTS = ("builtins.list", "builtins.set", "builtins.tuple", "torch.Size")
_PARAMETERS = (
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",
)
_TENSORS = tuple(f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3"))
_PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


class Machine:
    """The pickle machine's stack, marks and memo, with one method for each kind of opcode."""

    def __init__(
        self, storage: Callable[[object], StorageRef], records: frozenset[str] = frozenset()
    ) -> None:
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
            if name in _PARAMETERS and arguments and isinstance(arguments[0], TensorRef):
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


_CONSTANTS: dict[bytes, Callable[[], Any]] = {
    b"N": lambda: None,
    b"\x88": lambda: True,
    b"\x89": lambda: False,
    b"]": list,
    b"\x8f": list,  # EMPTY_SET: as a list, so that nothing in it is hashed
    b")": tuple,
    b"}": dict,
}
_VALUES = {b"J", b"K", b"M", b"G", b"\x8a", b"\x8b", b"U", b"T", b"\x8c", b"X", b"\x8d"}
_VALUES |= {b"C", b"B", b"\x8e", b"\x96"}
_MEMO_WRITES = {b"q", b"r", b"\x94"}
_MEMO_READS = {b"h", b"j"}
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
