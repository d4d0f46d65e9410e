"""Opens the zip archives that torch.save writes, without torch.load.

Sizes are taken from the file, never from what it claims; compressed entries, which could unfold to
more than the file's size and which torch never writes, are refused.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from ncscope.pickles.objects import MalformedError, StorageRef, describe_storage
from ncscope.pickles.pickles_objects import Name
from ncscope.pickles.pickles_reading import Bounded, read_pickle

MAX_PICKLE = 64 * 2**20  # real ones stay below 1 MiB: the tensors' bytes are elsewhere
_CHUNK = 2**20
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError)
_BAD_ZIP += (ValueError, KeyError, IndexError, OverflowError, RuntimeError)


@dataclass(frozen=True, eq=False)
class TorchFile:
    """The value in a torch file. `fetch` reads a storage's bytes while the file is open."""

    value: Any
    unread: list[str]
    fetch: Callable[[StorageRef], bytearray]
    byteorder: str


def open_zip(file: BinaryIO, size: int) -> TorchFile:
    """Open the archive that torch 1.6 and later write; checksums are verified on reading.

    Raises:
        MalformedError: not such an archive, or a damaged or lying one.
    """
    try:
        return _open_archive(zipfile.ZipFile(file), size)
    except MalformedError:
        raise
    except _BAD_ZIP as error:
        raise MalformedError("a truncated or damaged zip archive") from error


def _open_archive(archive: zipfile.ZipFile, size: int) -> TorchFile:
    entries = {entry.filename: entry for entry in archive.infolist()}
    _check_entries(archive, entries, size)
    (pickle_name,) = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
    folder = pickle_name.removesuffix("data.pkl")

    def read(name: str) -> bytearray:
        entry = entries.get(folder + name)
        if entry is None:
            raise MalformedError(f"no entry {name!r} in the archive")
        content, got = bytearray(entry.file_size), 0
        try:
            with archive.open(entry) as stream:  # compares the checksum when it reaches the end
                for start in range(0, entry.file_size, _CHUNK):
                    part = stream.read(min(_CHUNK, entry.file_size - start))
                    content[start : start + len(part)] = part
                    got += len(part)
        except _BAD_ZIP as error:
            raise MalformedError(f"the entry {name!r} is damaged") from error
        if got != entry.file_size:
            raise MalformedError(f"the entry {name!r} is damaged")
        return content

    def fetch(storage: StorageRef) -> bytearray:
        content = read(f"data/{storage.key}")
        if len(content) != storage.record_nbytes:
            raise MalformedError(f"the entry 'data/{storage.key}' has not the size it should")
        return content

    if entries[pickle_name].file_size > MAX_PICKLE:
        raise MalformedError("its list of objects is larger than any checkpoint's")
    content = read("data.pkl")
    value, unread = read_pickle(Bounded(BytesIO(content), len(content)), _zip_storage)
    order = read("byteorder").decode("ascii") if folder + "byteorder" in entries else "little"
    if order not in ("little", "big"):
        raise MalformedError("an unknown byte order")
    return TorchFile(value, unread, fetch, order)


def _check_entries(
    archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], size: int
) -> None:
    """Refuse what torch never writes and could unfold to more than the file's size."""
    if len(entries) != len(archive.infolist()):
        raise MalformedError("a zip archive with two entries of one name")
    if any(e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1 for e in entries.values()):
        raise MalformedError("a zip archive with compressed or encrypted entries")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise MalformedError("a zip archive whose entries overlap")


def _zip_storage(persistent_id: object) -> StorageRef:
    if not (isinstance(persistent_id, tuple) and len(persistent_id) == 5):
        raise MalformedError("a storage without a description")
    _, kind, key, _, numel = persistent_id
    return describe_storage(kind.text if isinstance(kind, Name) else "", key, numel)
