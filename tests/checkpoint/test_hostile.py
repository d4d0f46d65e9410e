import copy
import os
import pickle
import subprocess
import sys

from tests.checkpoint.fuzz import TENSOR, Call, Global, opcodes, pickled_in_zip


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
from ncscope.checkpoint.reading import read_checkpoint
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
