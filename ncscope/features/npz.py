"""NumPy's `.npz` archives, read as data: sizes first, then every entry to its end.

numpy itself unfolds an entry before anything is known of it, and stops reading where the array is
full, before the checksum: a small file could take all memory, and a damaged one pass for a sound
one. Here what the entries claim is compared with the file's size and with their own headers before
a byte is unfolded, and every entry's checksum is verified.

An archive may unfold to `MOST_TIMES` its own size and `MOST_BESIDE` bytes: features hardly shrink
(less than twofold), labels in order shrink a hundredfold and are few.
"""

import ast
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np

from ncscope.errors import DataError

MOST_TIMES = 16
MOST_BESIDE = 64 * 2**20
_CHUNK = 2**20
_MOST_HEADER = 2**16
_MOST_ENTRIES = 10_000
_MAGIC = b"\x93NUMPY"
_KIND = re.compile(r"[<>|=]?[biufcSUOmMV][0-9]{0,9}")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BAD = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OSError),
    *(ValueError, KeyError, IndexError, OverflowError, RuntimeError, SyntaxError, TypeError),
    *(MemoryError, RecursionError),
)


@dataclass(frozen=True, eq=False)
class Header:
    """What an entry says of its array."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    start: int  # of the numbers, in the entry

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npz(
    file: BinaryIO, size: int, wanted: Collection[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of the names `wanted` that are there, and the names of the others.

    Args:
        file: the archive, open for reading.
        size: of the archive, in bytes.
        wanted: names of arrays, without `.npy`.

    Raises:
        DataError: no such archive, a damaged or lying one, pickled objects, or one that unfolds to
            more than the limit above. The caller adds the file's name.
    """
    head = file.read(8)
    file.seek(0)
    if head.startswith(_MAGIC):
        raise DataError("one bare array; expected an .npz archive of named arrays")
    if head[:1] == b"\x80" or head[:1] in (b"c", b"(", b"]", b"}"):
        raise _pickled()
    try:
        with zipfile.ZipFile(file) as archive:
            return _read(archive, size, wanted)
    except DataError:
        raise
    except _BAD as error:
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"is damaged or cut short, or is no .npz file ({words})") from None


def read_npy(file: BinaryIO, size: int, name: str) -> np.ndarray:
    """One bare array, a `.npy` file.

    Raises:
        DataError: as `read_npz`.
    """
    try:
        header = _header(file, name, size)
        file.seek(0)
        return _array(file, name, header)
    except DataError:
        raise
    except _BAD as error:
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"is damaged or cut short, or is no .npy file ({words})") from None


def names_of_npz(file: BinaryIO) -> list[str]:
    """The names of an archive's arrays; none for a file that is no archive, which reading tells."""
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.namelist()[: _MOST_ENTRIES + 1]
    except _BAD:
        return []
    finally:
        file.seek(0)
    return [name.removesuffix(".npy") for name in found]


def _pickled() -> DataError:
    return DataError(
        "holds pickled objects, which could run code; expected arrays of numbers and text in an "
        ".npz file"
    )


def _read(
    archive: zipfile.ZipFile, size: int, wanted: Collection[str]
) -> tuple[dict[str, np.ndarray], list[str]]:
    infos = archive.infolist()
    entries = {info.filename.removesuffix(".npy"): info for info in infos}
    if len(entries) < len(infos) or len(infos) > _MOST_ENTRIES:
        raise ValueError("two entries of one name, or thousands of them")
    chosen = {name: entries[name] for name in wanted if name in entries}
    for info in chosen.values():
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise ValueError("an entry packed in a way that numpy does not write")
    unfolded, most = sum(info.file_size for info in chosen.values()), _limit(size)
    if unfolded > most:
        raise DataError(
            f"its arrays unfold to {unfolded:,} bytes, more than {MOST_TIMES} times the file's "
            f"{size:,} and {MOST_BESIDE:,}; save them with numpy.savez, not packed"
        )
    headers = {}
    for name, info in chosen.items():
        with archive.open(info) as stream:
            headers[name] = _header(stream, name, info.file_size)
    arrays = {}
    for name, info in chosen.items():
        with archive.open(info) as stream:
            arrays[name] = _array(stream, name, headers[name])
    for name in entries.keys() - chosen.keys():
        _check_rest(archive, entries[name], most)
    return arrays, sorted(entries.keys() - chosen.keys())


def _limit(size: int) -> int:
    return MOST_TIMES * size + MOST_BESIDE


def _header(stream: IO[bytes], name: str, size: int) -> Header:
    """An array's header, which says as many bytes as its entry or file has."""
    head = stream.read(12)
    wide = head[6:7] in (b"\x02", b"\x03")
    start = 12 if wide else 10
    if not head.startswith(_MAGIC) or head[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise DataError(f"`{name}` holds no array; expected numbers or text")
    (length,) = struct.unpack("<I" if wide else "<H", head[8:start])
    if length > _MOST_HEADER:
        raise ValueError(f"`{name}` has a header of {length} bytes")
    text = head[start:] + stream.read(start + length - len(head))
    said = ast.literal_eval(text.decode("utf-8" if head[6:7] == b"\x03" else "latin-1").strip())
    found = Header(*_said(name, said), start=start + length)
    if found.start + found.nbytes != size:
        raise ValueError(
            f"`{name}` is {found.dtype} {found.shape}, {found.nbytes:,} bytes, and has "
            f"{size - found.start:,}"
        )
    return found


def _said(name: str, said: Any) -> tuple[np.dtype, tuple[int, ...], bool]:
    shape, fortran, kind = said["shape"], said["fortran_order"], said["descr"]
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"`{name}` has no shape")
    if len(shape) > 32 or math.prod(max(n, 1) for n in shape) >= 2**62:
        raise ValueError(f"`{name}` has an impossible shape")
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ValueError(f"`{name}` is no array of plain numbers or text")
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise _pickled()
    return dtype, shape, bool(fortran)


def _array(stream: IO[bytes], name: str, header: Header) -> np.ndarray:
    content = bytearray(header.nbytes)
    got = 0
    left = header.start
    while left:
        skipped = len(stream.read(min(left, _CHUNK)))
        if not skipped:
            raise ValueError(f"`{name}` is cut short")
        left -= skipped
    while part := stream.read(_CHUNK):  # to its end, where the checksum is compared
        content[got : got + len(part)] = part
        got += len(part)
    if got != header.nbytes:
        raise ValueError(f"`{name}` is cut short")
    if header.dtype.kind == "b":  # a byte other than 0 and 1 is no truth value
        flat = np.frombuffer(content, dtype=np.uint8) != 0
    else:
        flat = np.frombuffer(content, dtype=header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _check_rest(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> None:
    """Read an entry that is passed over to its end all the same, as far as it can be unfolded."""
    if info.compress_type in _METHODS and not info.flag_bits & 1 and info.file_size <= most:
        with archive.open(info) as stream:
            while stream.read(_CHUNK):
                pass
