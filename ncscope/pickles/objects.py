"""What stands for the classes, objects and tensors that a pickle names.

The sizes, strides and offsets in a file are claims. They are checked before a byte of a tensor is
read: a description is made only of those that stay inside their storage and ask for no more
elements than it has.
"""

import math
from dataclasses import dataclass, field
from typing import Any

_MAX_DIMS = 16
_MAX_COUNT = 2**40

# torch's storage classes: name of the dtype, bytes an element
STORAGES = {
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
    "ComplexFloatStorage": ("complex64", 8),
    "ComplexDoubleStorage": ("complex128", 16),
    "UntypedStorage": ("uint8", 1),
    "QInt8Storage": ("int8", 1),  # of quantised tensors, which are refused by their kind
    "QUInt8Storage": ("uint8", 1),
    "QInt32Storage": ("int32", 4),
}
ITEMSIZE = {**dict(STORAGES.values()), "uint16": 2, "uint32": 4, "uint64": 8}


class MalformedError(ValueError):
    """The bytes are not what they claim to be. The reader of the file adds its name."""


@dataclass(frozen=True, eq=False)
class StorageRef:
    """`nbytes` bytes, from `start` on, of the `record_nbytes` bytes stored under `key`."""

    key: str
    dtype: str
    nbytes: int
    record_nbytes: int
    start: int = 0


@dataclass(frozen=True, eq=False)
class TensorRef:
    """A tensor's place in a storage that is known to hold it, in elements of `dtype`."""

    storage: StorageRef
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def describe_storage(storage_class: str, key: object, numel: object) -> StorageRef:
    """The storage a persistent id describes; `storage_class` is a name such as torch.HalfStorage.

    Raises:
        MalformedError: an unknown class, or a length that is no count.
    """
    module, _, name = storage_class.rpartition(".")
    if module not in ("torch", "torch.cuda", "torch.storage") or name not in STORAGES:
        raise MalformedError(f"a storage of the unknown class {storage_class[:80]!r}")
    if not isinstance(key, str) or not _is_count(numel):
        raise MalformedError("a storage without a name or length")
    assert isinstance(numel, int)
    dtype, itemsize = STORAGES[name]
    return StorageRef(key, dtype, numel * itemsize, numel * itemsize)


def describe_tensor(
    storage: object, offset: object, size: object, stride: object, *, dtype: str | None = None
) -> TensorRef:
    """The tensor that torch's rebuild functions would make of these arguments.

    Raises:
        MalformedError: it would reach outside its storage or repeat elements of it.
    """
    if not isinstance(storage, StorageRef) or not _is_count(offset):
        raise MalformedError("a tensor without a storage")
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)):
        raise MalformedError("a tensor without a shape")
    if dtype is not None and storage.start % ITEMSIZE[dtype]:
        raise MalformedError(f"a tensor of {dtype} that begins inside a number of its storage")
    if len(size) > _MAX_DIMS or not all(map(_is_count, (*size, *stride))):
        raise MalformedError("a tensor with an impossible shape")
    if math.prod(max(n, 1) for n in size) > _MAX_COUNT:
        raise MalformedError("a tensor with an impossible shape")
    dtype = storage.dtype if dtype is None else dtype
    assert isinstance(offset, int)
    numel = math.prod(size)
    held = storage.nbytes // ITEMSIZE[dtype]
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if numel and (last >= held or numel > held):
        raise MalformedError(f"a tensor of shape {size} in a storage of {held} elements")
    return TensorRef(storage, dtype, offset, size, stride)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function the file names, as text. It is never looked up."""

    text: str


@dataclass(frozen=True, eq=False)
class Opaque:
    """Stands where the file wants an object of a class that is not read."""

    name: str


@dataclass(eq=False)
class Record:
    """An object of a class the reader asked for by its last name, as plain attributes."""

    attributes: dict[Any, Any] = field(default_factory=dict)
