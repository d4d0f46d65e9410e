"""Opens what torch.save writes, without torch.load: zip archives, and the format before 1.6.

What a file is, its first bytes tell; one that cannot be a checkpoint is refused with what it is. A
failed download, a Git LFS pointer or a backbone's archive each need another remedy, so each has
its own line.

Sizes are taken from the file, never from what it claims; compressed entries, which could unfold to
more than the file's size and which torch never writes, are refused. The old format has no
checksum: damage inside the numbers of a tensor goes unseen.
"""

import json
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ncscope.errors import CheckpointError
from ncscope.pickles.objects import ITEMSIZE, MalformedError, Name, StorageRef, describe_storage
from ncscope.pickles.reading import Bounded, read_pickle

_HEAD = 4096
_SAFETENSORS_HEADER = 100 * 2**20  # the format's own limit
# first bytes, what they mean, what to do
_OTHERS = (
    (b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` where it came from"),
    (b"\x93NUMPY", "a NumPy array", "features go into a .npz or .safetensors feature file"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "convert it to .safetensors where it was written"),
    (b"{", "JSON text", "give the checkpoint beside it"),
)
_WEB = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")

MAX_PICKLE = 64 * 2**20  # real ones stay below 1 MiB: the tensors' bytes are elsewhere
_CHUNK = 2**20
_BAD_ZIP = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError),
    *(ValueError, KeyError, IndexError, OverflowError, RuntimeError),
)

_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_VERSION = 1001


def open_kind(path: Path) -> str:
    """The format of a checkpoint file: "zip", "legacy" or "safetensors".

    Raises:
        CheckpointError: no readable regular file, or none of these formats; says which.
    """
    size = _size(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not head:
        raise CheckpointError(f"{path}: empty file: an interrupted download? Fetch it again")
    if head.startswith(b"PK\x03\x04"):
        _refuse_other_zip(path)
        return "zip"
    if head[:1] == b"\x80" and _MAGIC in head[:24]:  # after it, protocol and frame differ
        return "legacy"
    length = int.from_bytes(head[:8], "little")
    has_header = head[8:9] == b"{" and length <= min(size - 8, _SAFETENSORS_HEADER)
    if has_header or path.suffix == ".safetensors":
        return "safetensors"
    raise CheckpointError(f"{path}: {_what_else(head)}")


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: cannot be read: {reason}") from None
    if stat.S_ISDIR(found.st_mode):
        raise CheckpointError(f"{path}: a folder; name the checkpoint file in it")
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError(f"{path}: a device or pipe; name a regular file")
    if not os.access(path, os.R_OK):
        raise CheckpointError(f"{path}: permission denied; make the file readable for you")
    return found.st_size


def _refuse_other_zip(path: Path) -> None:
    """TorchScript and NumPy archives are zip files too. A damaged one is left to its reader."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # whatever is wrong with it, the reader says it
        return
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise CheckpointError(
            f"{path}: a TorchScript archive, which is a program, as CLIP's own weights are "
            "published; give it as --backbone, and the prompt learner here"
        )
    if any(name.endswith(".npy") for name in names):
        raise CheckpointError(f"{path}: a NumPy archive, not a checkpoint; is it a feature file?")
    if not any(name.rpartition("/")[2] == "data.pkl" for name in names):
        raise CheckpointError(f"{path}: a zip archive that torch did not write; unpack it first?")


def _what_else(head: bytes) -> str:
    start = head.lstrip().lower()
    if start.startswith(_WEB):
        return (
            "a web page, not a checkpoint: the download met a log-in or confirmation page; "
            "fetch the file itself"
        )
    for first, what, remedy in _OTHERS:
        if head.startswith(first):
            return f"{what}, not a checkpoint; {remedy}"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it; if torch wrote it (before 2018), save it anew with torch"
    if head[:1] == b"\x80" or head[:1] in b"(}]":
        return (
            "a pickle that torch.save did not write; it is not opened, because a pickle can run "
            "code: save the tensors with torch.save or as .safetensors"
        )
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        return f"text, not a checkpoint; it begins {json.dumps(head[:40].decode('latin-1'))}"
    return f"neither a torch nor a safetensors file; it begins with the bytes {head[:8].hex(' ')}"


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


def open_legacy(file: BinaryIO, size: int) -> TorchFile:
    """Open a file in the old format.

    Raises:
        MalformedError: not such a file, or a truncated one.
    """
    storages: dict[str, StorageRef] = {}

    def storage(persistent_id: object) -> StorageRef:
        found = _legacy_storage(persistent_id)
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


def _legacy_storage(persistent_id: object) -> StorageRef:
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
