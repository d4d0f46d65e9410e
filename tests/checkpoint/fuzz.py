"""Damaged and hostile files for the tests of the checkpoint reader."""

import io
import pickle
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def damaged(content: bytes, *, cases: int, seed: int) -> Iterator[bytes]:
    """Truncations, flipped and overwritten bytes, and cut or doubled stretches of a file."""
    generator = random.Random(seed)
    for case in range(cases):
        copy = bytearray(content)
        place = generator.randrange(len(copy))
        if case % 3 == 0:
            del copy[place:]
        elif case % 3 == 1:
            for _ in range(generator.choice([1, 1, 2, 8])):
                copy[generator.randrange(len(copy))] ^= 1 << generator.randrange(8)
        else:
            stretch = generator.randrange(1, 64)
            copy[place : place + stretch] = generator.choice(
                [b"", b"\xff" * stretch, copy[place : place + stretch] * 2, bytes(stretch)]
            )
        yield bytes(copy)


def rewritten(
    path: Path, changes: dict[str, bytes | None], *, compression: int = zipfile.ZIP_STORED
) -> Path:
    """A torch zip file with entries (named without their folder) replaced, or dropped if None."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(entries)).partition("/")[0]
    for name, content in changes.items():
        entries.pop(f"{folder}/{name}", None)
        if content is not None:
            entries[f"{folder}/{name}"] = content
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def pickled_in_zip(path: Path, content: bytes) -> Path:
    """A torch zip file around a hand-written pickle, with one storage of 64 bytes, `data/0`."""
    torch.save({"ctx": torch.zeros(16)}, path)
    return rewritten(path, {"data.pkl": content})


class Call:
    """Pickles as a call of `function` with `arguments`, which an unpickler would execute."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Global:
    """Pickles as a bare name, so that functions that are not importable here can be named."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Pickler(pickle._Pickler):  # the one in Python, which can be taught the class above
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())  # pyright: ignore
        else:
            super().save(obj, save_persistent_id)  # pyright: ignore

    def persistent_id(self, obj: Any) -> Any:
        return obj.identifier if isinstance(obj, Persistent) else None


class Persistent:
    """Pickles as a persistent id, which is how torch's files refer to storages."""

    def __init__(self, *identifier: Any) -> None:
        self.identifier = identifier


def dumps(value: Any, *, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def storage(kind: str = "FloatStorage", key: str = "0", numel: int = 16) -> Persistent:
    return Persistent("storage", Global("torch", kind), key, "cuda:0", numel)


def opcodes(*parts: Any) -> bytes:
    """Hand-assembled pickle: bytes as they are, other values pickled without frame and STOP."""
    out = b"\x80\x02"
    for part in parts:
        out += part if isinstance(part, bytes) else dumps(part)[2:-1]
    return out + b"."


def rebuilt(size: Any, stride: Any, *, offset: Any = 0, held: Persistent | None = None) -> bytes:
    """The opcodes of a state dict whose `ctx` is a `_rebuild_tensor_v2` call with these claims."""
    arguments = (held or storage(), offset, size, stride, False, None)
    return opcodes(
        b"}(X\x03\x00\x00\x00ctx", Global("torch._utils", "_rebuild_tensor_v2"), arguments, b"Ru"
    )


TENSOR = rebuilt((16,), (1,))[2:-2]  # `}("ctx" -> tensor`, without the closing `u`
