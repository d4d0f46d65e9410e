"""Tells from a file's first bytes what it is, and says so when it cannot be a checkpoint.

A failed download, a Git LFS pointer or a backbone's archive each need another remedy, so each has
its own line.
"""

import json
import os
import stat
import zipfile
from pathlib import Path

from ncscope.errors import CheckpointError
from ncscope.pickles.torch_legacy import is_legacy

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
    if is_legacy(head):
        return "legacy"
    if _is_safetensors(head, size) or path.suffix == ".safetensors":
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


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length <= min(size - 8, _SAFETENSORS_HEADER)


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
