"""Opens the format torch wrote before 1.6, without torch.load: five pickles, then the bytes.

The format has no checksum: damage inside the numbers of a tensor goes unseen.
"""

import struct
from typing import Any, BinaryIO

from ncscope.pickles.objects import ITEMSIZE, MalformedError, StorageRef, describe_storage
from ncscope.pickles.pickles_objects import Name
from ncscope.pickles.pickles_reading import Bounded, read_pickle
from ncscope.pickles.torch_zip import MAX_PICKLE, TorchFile

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_VERSION = 1001


def is_legacy(head: bytes) -> bool:
    """Whether a file that begins with these bytes is in the old format."""
    return head[:1] == b"\x80" and _MAGIC in head[:24]  # after it, protocol and frame differ


def open_legacy(file: BinaryIO, size: int) -> TorchFile:
    """Open a file in the old format.

    Raises:
        MalformedError: not such a file, or a truncated one.
    """
    storages: dict[str, StorageRef] = {}

    def storage(persistent_id: object) -> StorageRef:
        found = _storage(persistent_id)
        known = storages.setdefault(found.key, found)
        if (known.dtype, known.record_nbytes) != (found.dtype, found.record_nbytes):
            raise MalformedError("two descriptions of one storage")
        return found

    def next_value() -> tuple[Any, list[str]]:
        left = min(size - file.tell(), MAX_PICKLE)
        return read_pickle(Bounded(file, left), storage)

    next_value()  # the magic number
    version, _ = next_value()
    next_value()  # sizes of the writer's C types
    if version != _VERSION:
        raise MalformedError("an unknown version of torch's old format")
    value, unread = next_value()
    keys, _ = next_value()
    if not isinstance(keys, list):
        raise MalformedError("no list of storages")
    places = _places(file, size, keys, storages)

    def fetch(storage: StorageRef) -> bytearray:
        if storage.key not in places:
            raise MalformedError(f"no storage {storage.key[:40]!r} in the file")
        content = bytearray(storage.record_nbytes)
        file.seek(places[storage.key])
        if file.readinto(content) != len(content):  # pyright: ignore[reportAttributeAccessIssue]
            raise MalformedError("truncated")
        return content

    return TorchFile(value, unread, fetch, "little")  # torch writes it so on every machine


def _places(
    file: BinaryIO, size: int, keys: list[Any], storages: dict[str, StorageRef]
) -> dict[str, int]:
    """Where each storage's bytes begin: they follow each other, each after its length."""
    places: dict[str, int] = {}
    position = file.tell()
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        file.seek(position)
        head = file.read(8)
        if storage is None or len(head) < 8 or key in places:
            raise MalformedError("truncated, or its list of storages does not fit")
        (numel,) = struct.unpack("<q", head)
        if numel * ITEMSIZE[storage.dtype] != storage.record_nbytes:
            raise MalformedError("a storage that has not the length it should")
        places[key] = position + 8
        position += 8 + storage.record_nbytes
        if position > size:
            raise MalformedError("truncated")
    return places


def _storage(persistent_id: object) -> StorageRef:
    if not (isinstance(persistent_id, tuple) and len(persistent_id) == 6):
        raise MalformedError("a storage without a description")
    _, kind, key, _, numel, view = persistent_id
    whole = describe_storage(kind.text if isinstance(kind, Name) else "", key, numel)
    if view is None:
        return whole
    if not (isinstance(view, tuple) and len(view) == 3):
        raise MalformedError("a view of a storage without a description")
    part = describe_storage(kind.text, whole.key, view[2])
    start = describe_storage(kind.text, whole.key, view[1]).nbytes
    if start + part.nbytes > whole.nbytes:
        raise MalformedError("a view that reaches outside its storage")
    return StorageRef(whole.key, whole.dtype, part.nbytes, whole.nbytes, start)
