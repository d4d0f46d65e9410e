import copy
import os
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.errors import CheckpointError
from ncscope.zoo.checkpoint import read_checkpoint
from tests.dassl_files import save_dassl
from tests.learner_states import Sizes, cocoop
from tests.zoo.fuzz import (
    Call,
    Global,
    damaged,
    opcodes,
    pickled_in_zip,
    rebuilt,
    rewritten,
    storage,
)

SIZES = Sizes(classes=2, length=8)
TENSOR = rebuilt((16,), (1,))[2:-2]  # `}("ctx" -> tensor`, without the closing `u`


def state_with(*parts):
    """A pickle of {"ctx": a good tensor, "scheduler": what the parts build}."""
    return b"\x80\x02" + TENSOR + b"X\x09\x00\x00\x00scheduler" + opcodes(*parts)[2:-1] + b"u."


def attacks(target):
    """Pickles that would create `target`, or worse, if anything in them were called."""
    command = f"touch {target}"
    code = f"open({str(target)!r}, 'w')"
    hidden = Call(copy.copy, [Call(os.system, command)])
    return {
        "os.system": state_with(Call(os.system, command)),
        "posix": state_with(Global("posix", "system"), (command,), b"R"),
        "open": state_with(Call(open, str(target), "w")),
        "eval": state_with(Call(eval, code)),
        "exec in a list": state_with([{"successor": [Call(exec, code)]}]),
        "getattr": state_with(Call(getattr, hidden, "__class__")),
        "python 2": state_with(Global("__builtin__", "eval"), (code,), b"R"),
        "subprocess": state_with(Call(subprocess.Popen, ["touch", str(target)])),
        "socket": state_with(Global("socket", "create_connection"), (("127.0.0.1", 9), 0.1), b"R"),
        "setstate": state_with(Global("http.server", "HTTPServer"), (), b"\x81", {"a": 1}, b"b"),
        "inst": state_with(b"(", command, b"ios\nsystem\n"),
        "obj": state_with(b"(", Global("os", "system"), command, b"o"),
        "stack global": state_with("os", "system", b"\x93", (command,), b"R"),
        "newobj_ex": state_with(Global("os", "system"), (command,), {}, b"\x92"),
        "copyreg": state_with(
            Global("copyreg", "_reconstructor"), (Global("os", "_wrap_close"), 0, None), b"R"
        ),
        "extension": state_with(Global("copyreg", "add_extension"), ("os", "system", 1), b"R"),
        "torch.jit": state_with(Global("torch.jit", "load"), (str(target),), b"R"),
        "torch.load": state_with(Global("torch", "load"), (str(target),), b"R"),
        "hub": state_with(Global("torch.hub", "load"), ("a/b", "c"), b"R"),
        "typed storage": state_with(Global("torch.storage", "_load_from_bytes"), (b"..",), b"R"),
        "import": state_with(Global("antigravity", "fly"), (), b"R"),
        "pip": state_with(Global("pip", "main"), (["install", "x"],), b"R"),
        "torch internals": state_with(Global("torch._utils", "_import_dotted_name"), ("os",), b"R"),
        "rebuild parameter": state_with(
            Global("torch._utils", "_rebuild_parameter"), (Call(os.system, command), True), b"R"
        ),
        "dictionary key": state_with(b"}(", Call(os.system, command), 1, b"u"),
        "pickle in a pickle": state_with([pickle.dumps(Call(os.system, command))]),
    }


WATCH = """
import sys
from pathlib import Path
from ncscope.errors import CheckpointError
from ncscope.zoo.checkpoint import read_checkpoint
folder = Path(sys.argv[1])
paths = sorted(folder.iterdir())
read_checkpoint(paths[0])
events = []
def hook(event, arguments):
    harmless = event in ("object.__getattr__", "sys._getframe", "marshal.loads")
    reading = event == "open" and str(arguments[0]) in names and arguments[1] in ("r", "rb")
    if not (harmless or reading):
        events.append((event, str(arguments)[:200]))
names = set(map(str, paths))
sys.addaudithook(hook)
modules = set(sys.modules)
for path in paths:
    try:
        checkpoint = read_checkpoint(path)
        assert checkpoint.tensors["ctx"].shape == (16,), path
    except CheckpointError as error:
        assert path.name.startswith("refused"), error
print(events, sorted(set(sys.modules) - modules))
"""


def test_hostile_pickles_do_nothing_but_give_their_tensors(tmp_path):
    folder, target = tmp_path / "files", tmp_path / "touched"
    folder.mkdir()
    for name, content in attacks(target).items():
        pickled_in_zip(folder / name, content)
    done = subprocess.run(
        [sys.executable, "-c", WATCH, str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("[] []", "", 0)
    assert not target.exists()


def test_the_attacks_would_succeed_in_an_ordinary_unpickler(tmp_path):
    target = tmp_path / "touched"
    pickle.loads(opcodes(Call(os.system, f"touch {target}")))
    assert target.exists()


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


def tensors_or_none(path):
    """The tensors, or None after a refusal of one line; any other exception fails the test."""
    try:
        return read_checkpoint(path).tensors
    except CheckpointError as error:
        return None if "\n" not in str(error) else pytest.fail(str(error))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damaged_torch_files_are_refused_or_right(tmp_path, zipped):
    path, state = tmp_path / "model.pth.tar", cocoop(SIZES)
    save_dassl(path, state, zipped=zipped)
    refused = 0
    for content in damaged(path.read_bytes(), cases=250, seed=0):
        path.write_bytes(content)
        tensors = tensors_or_none(path)
        refused += tensors is None
        if tensors is not None and zipped:  # the old format has no checksum
            assert_close(tensors, state, rtol=0, atol=0)
    assert refused > 80
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.pth.tar"]


def test_damaged_safetensors_files_are_refused_or_read(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({key: value.contiguous() for key, value in cocoop(SIZES).items()}, path)
    refused = 0
    for content in damaged(path.read_bytes(), cases=250, seed=0):
        path.write_bytes(content)
        refused += tensors_or_none(path) is None
    assert refused > 80


def test_damaged_pickles_inside_a_sound_archive_are_refused_or_read(tmp_path):
    path = tmp_path / "model.pth.tar"
    save_dassl(path, cocoop(SIZES))
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        content = archive.read(name)
    refused = 0
    for changed in damaged(content, cases=250, seed=1):
        refused += tensors_or_none(rewritten(path, {"data.pkl": changed})) is None
    assert refused > 80


def test_reading_uses_memory_of_the_order_of_the_file(tmp_path):
    path = save_dassl(tmp_path / "m.pth.tar", {"ctx": torch.zeros(4000, 1000)}, live=False)
    tracemalloc.start()
    read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size + 3e6  # one chunk, and the stream's own buffer
