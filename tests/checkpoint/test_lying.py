"""Checkpoints that claim what is not so: refused, in time and memory of the file's order."""

import struct
import time
import tracemalloc
import zipfile

import pytest
import torch

from ncscope.checkpoint.reading import read_checkpoint
from ncscope.errors import CheckpointError
from ncscope.pickles.objects import MalformedError, StorageRef, describe_tensor
from tests.checkpoint.fuzz import (
    TENSOR,
    Global,
    opcodes,
    pickled_in_zip,
    rebuilt,
    rewritten,
    storage,
)

LIES = {
    "more elements than stored": rebuilt((5, 4), (4, 1)),
    "beyond the end": rebuilt((4, 4), (4, 1), offset=1),
    "absurd size": rebuilt((2**40,), (0,)),
    "absurd empty size": rebuilt((0, 2**40, 2**40), (1, 1, 1)),
    "long size": rebuilt((2**100,), (1,)),
    "negative stride": rebuilt((4, 4), (4, -1)),
    "negative offset": rebuilt((4,), (1,), offset=-4),
    "float size": rebuilt((4.0,), (1,)),
    "bool size": rebuilt((True,), (1,)),
    "no stride": rebuilt((4,), ()),
    "no tuple": rebuilt([4], [1]),
    "many axes": rebuilt((1,) * 65, (1,) * 65),
    "expanded": rebuilt((4, 16), (0, 1)),
    "storage too long": rebuilt((16,), (1,), held=storage(numel=10**9)),
    "storage too short": rebuilt((4,), (1,), held=storage(numel=4)),
    "storage absent": rebuilt((16,), (1,), held=storage(key="7")),
    "storage elsewhere": rebuilt((16,), (1,), held=storage(key="../../data.pkl")),
    "storage of no kind": rebuilt((16,), (1,), held=storage(kind="EvilStorage")),
    "storage is text": opcodes(b"}(X\x03\x00\x00\x00ctx", Global("torch._utils", "_rebuild_tensor"),
                               ("0", 0, (4,), (1,)), b"Ru"),
    "huge memo index": b"\x80\x02}r\xff\xff\xff\xff(X\x03\x00\x00\x00ctxK\x01u.",
    "huge bytes": b"\x80\x02\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "huge text": b"\x80\x02\x8d" + struct.pack("<Q", 2**63 - 1) + b"x.",
    "huge int": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "negative length": b"\x80\x02\x8b" + struct.pack("<i", -1) + b"x.",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.",
    "long digits": b"\x80\x02L" + b"9" * 5000 + b"L\n.",
    "endless line": b"\x80\x02c" + b"a" * 5000 + b"\nb\n.",
    "empty stack": b"\x80\x020.",
    "no mark": b"\x80\x02u.",
    "no stop": b"\x80\x02}",
    "only stop": b".",
    "unknown opcode": b"\x80\x02\xff.",
    "extension code": b"\x80\x02\x82\x01.",
    "out-of-band buffer": b"\x80\x05\x97.",
    "text persistent id": b"\x80\x02Pos\n.",
    "odd items": b"\x80\x02}(K\x01u.",
    "item of a number": b"\x80\x02K\x01K\x02a.",
    "entry of a number": b"\x80\x02K\x01K\x02K\x03s.",
    "itself as root": b"\x80\x02]q\x00h\x00a.",
    "self in a dictionary": b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
    "deep lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    "deep tuples": b"\x80\x02)" + b"\x85" * 50_000 + b".",
    "deep dictionaries": b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 9000 + b"}" + b"s" * 9000 + b".",
    "too many dictionaries": b"\x80\x02" + b"}" * 500_001 + b".",
    "control characters in a key": opcodes(b"}(", "ctx\x1b[2J", Global("torch._utils",
        "_rebuild_tensor_v2"), (storage(), 0, (16,), (1,), False, None), b"Ru"),
    "lone surrogate in a key": opcodes(b"}(X\x03\x00\x00\x00\xed\xa0\x80", Global("torch._utils",
        "_rebuild_tensor_v2"), (storage(), 0, (16,), (1,), False, None), b"Ru"),
}  # fmt: skip


def doubled(levels: int, leaf: bytes) -> bytes:
    """A dictionary that holds one dictionary twice, which holds ..., 2**levels paths in all."""
    body = leaf + b"q\x00"
    for level in range(levels):
        body += b"0}(" + b"".join(
            b"X\x01\x00\x00\x00" + key + b"h" + bytes([level]) for key in (b"a", b"b")
        ) + b"uq" + bytes([level + 1])  # fmt: skip
    return b"\x80\x02" + body + b"."


def nested_tuple_key() -> bytes:
    """A dictionary key whose hash takes 2**60 steps."""
    body = b")q\x00"
    for level in range(60):
        body += b"0h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    return b"\x80\x02}" + body + b"K\x01s."


BOMBS = {
    "paths": doubled(60, b"}"),
    "hashes": nested_tuple_key(),
    "wide paths": b"\x80\x02" + b"}q\x00" + b"".join(
        b"0}(" + b"".join(
            b"X\x04\x00\x00\x00" + b"%04d" % i + b"h" + bytes([level]) for i in range(300)
        ) + b"uq" + bytes([level + 1]) for level in range(6)
    ) + b".",
    "lists of lists": b"\x80\x02]q\x00" + b"".join(
        b"0](" + (b"h" + bytes([level])) * 60 + b"eq" + bytes([level + 1]) for level in range(30)
    ) + b"}X\x01\x00\x00\x00ah\x1es.",
}  # fmt: skip


@pytest.mark.parametrize("name", [*LIES, *BOMBS])
def test_lies_and_bombs_are_refused_quickly_and_in_little_memory(tmp_path, name):
    path = pickled_in_zip(tmp_path / "model.pth.tar", {**LIES, **BOMBS}[name])
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    seconds, peak = time.perf_counter() - begin, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = path.stat().st_size
    assert peak < 1e6 + 100 * size
    assert seconds < 20


def test_compressed_overlapping_and_doubled_entries_are_refused(tmp_path):
    path = tmp_path / "model.pth.tar"
    torch.save({"ctx": torch.zeros(1_000_000)}, path)
    rewritten(path, {}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed or encrypted"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", opcodes({}))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a/data.pkl", opcodes({}))
    with pytest.raises(CheckpointError, match="two entries of one name"):
        read_checkpoint(path)
    path.write_bytes(overlapping(entries=50, content=bytes(100_000)))
    with pytest.raises(CheckpointError, match="entries overlap"):
        read_checkpoint(path)


def overlapping(*, entries: int, content: bytes) -> bytes:
    """A zip archive whose directory names one stretch of bytes many times."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, len(content), len(content), 3, 0)
    body, directory = local + b"a/0" + content, b""
    for i in range(entries):
        name = b"a/data.pkl" if i == 0 else b"a/%d" % i
        directory += struct.pack(
            "<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, len(content), len(content),
            len(name), 0, 0, 0, 0, 0, 0,
        ) + name  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries, entries, len(directory), len(body), 0)
    return body + directory + end


def test_tensors_that_share_bytes_without_end_are_refused(tmp_path):
    tensor = TENSOR[TENSOR.index(b"ctorch") :]
    entries = b"".join(b"X\x04\x00\x00\x00" + b"%04d" % i + tensor for i in range(1000))
    path = pickled_in_zip(tmp_path / "model.pth.tar", opcodes(b"}(", b"", entries, b"u"))
    read_checkpoint(path)  # the description of each is longer than what it claims
    torch.save({"ctx": torch.zeros(100_000)}, path)
    wide = rebuilt((100_000,), (1,), held=storage(numel=100_000))[2:-2]
    tensor = wide[wide.index(b"ctorch") :]
    entries = b"".join(b"X\x04\x00\x00\x00" + b"%04d" % i + tensor for i in range(1000))
    rewritten(path, {"data.pkl": opcodes(b"}(", entries, b"u")})
    with pytest.raises(CheckpointError, match="tensors overlap"):
        read_checkpoint(path)


@pytest.mark.parametrize("start", [1, 2, 3, 5, 17])
def test_a_view_that_begins_inside_a_number_is_no_tensor(start):
    held = StorageRef("0", "uint8", 64, 100, start)
    with pytest.raises(MalformedError, match="float32 that begins inside a number of its storage"):
        describe_tensor(held, 0, (4,), (1,), dtype="float32")
    held = StorageRef("0", "uint8", 64, 100, 4 * start)
    assert describe_tensor(held, 0, (4,), (1,), dtype="float32").size == (4,)
