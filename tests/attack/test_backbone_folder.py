"""A stranger's backbone folder, under every verb: no socket, no foreign module, nothing of it run.

The folder carries Python and names it as its tokenizer's, and names of a hub. A `transformers` that
would run it is installed beside, and an audit hook in every process, those of a grid's runs too,
writes down what is opened, started and imported.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import learner_states
from tests.dassl_files import save_dassl
from tests.tiny_clip import save_folder
from tests.zoo.learners import case

ROOT = Path(__file__).parents[2]

HOOK = """
import atexit, os, sys
def write(*words):
    descriptor = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (" ".join(map(str, words)) + "\\n").encode())
    os.close(descriptor)
def hook(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":  # which opens none
        write(event, arguments)
    elif event == "open" and str(arguments[0]).endswith(("evil.py", "touched")):
        write(event, arguments)
def foreign():
    homes = (sys.prefix, sys.base_prefix, os.environ["HOME_OF_NCSCOPE"], os.environ["STUBS"])
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and os.path.exists(file) and not os.path.abspath(file).startswith(homes):
            write("foreign module", name, file)
sys.addaudithook(hook)
atexit.register(foreign)
"""

TRANSFORMERS = """
import runpy
class AutoTokenizer:
    @staticmethod
    def from_pretrained(folder, trust_remote_code=False, **more):
        if trust_remote_code:
            runpy.run_path(f"{folder}/evil.py")
        raise OSError("no tokenizer")
"""

RUNNER = """
import contextlib, io, json, sys
import ncscope_cli.main
done = {}
def command(name, *words):
    sys.argv = ["ncscope", *words]
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            ncscope_cli.main.main()
        except SystemExit as stop:
            done[name] = [int(stop.code or 0), err.getvalue()]
clip, trust = sys.argv[1], sys.argv[2:]
more = ("--data", "images", "--cache", "off", "--quiet", "--backbone", clip, *trust)
workers = ("--workers", "0")
command("inspect", "inspect", "model.pth.tar", "--backbone", clip, *trust)
if not trust:
    short = ("--shots", "1", "--epochs", "1", "--split", "all")
    few = ("--no-html", "--bootstrap", "0")
    out = f"of-{clip}"
    command("extract", "extract", "model.pth.tar", "--out", f"{out}/f.npz", *workers, *more)
    command("analyze", "analyze", "model.pth.tar", "--out", f"{out}/o", *few, *workers, *more)
    command("tune", "tune", "coop", "--out", f"{out}/run", *short, *more)
    command("export", "export", f"{out}/run", "--out", f"{out}/authors")
    command("compare", "compare", f"{out}/o", "--out", f"{out}/table.txt")
    open(f"{out}.toml", "w").write(f'''
[fixed]
method = "coop"
data = "images"
backbone = "{clip}"
shots = 1
epochs = 1
split = "all"
''')
    command("sweep", "sweep", f"{out}.toml", "--out", f"{out}/grid", "--quiet")
print(json.dumps(done))
"""

EVIL = {
    "tokenizer": {"text_cfg": {"hf_tokenizer_name": "x/y", "tokenizer_kwargs": {
        "trust_remote_code": True}}},
    "hub": {"vision_cfg": {"timm_model_name": "hf-hub:somebody/model"}},
    "text": {"text_cfg": {"hf_model_name": "somebody/model"}},
}  # fmt: skip


MORE = pytest.mark.attack  # the same verbs again


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, a checkpoint, a sound backbone, evil ones, and what watches."""
    root = tmp_path_factory.mktemp("attack")
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in case.NAMES:
            (root / "images" / part / name).mkdir(parents=True)
            for k in range(2):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "images" / part / name / f"{k}.png")
    save_folder(root / "sound", config=case.CONFIG)
    for name, changes in EVIL.items():
        folder = save_folder(root / name, config=case.CONFIG)
        model = {**case.CONFIG, "quick_gelu": True}
        for part, entries in changes.items():
            model[part] = {**model[part], **entries}
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
        words = {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}
        (folder / "tokenizer_config.json").write_text(json.dumps(words))
        (folder / "evil.py").write_text(f"open({str(root / 'touched')!r}, 'w')")
    save_dassl(root / "model.pth.tar", case.prompted(learner_states.coop(case.SIZES), "X X X X"))
    stubs = root / "stubs"
    (stubs / "transformers").mkdir(parents=True)
    (stubs / "sitecustomize.py").write_text(HOOK)
    (stubs / "transformers" / "__init__.py").write_text(TRANSFORMERS)
    return root


def outcome(place, clip, *trust):
    """Exit status and words of each verb, and what the hooks saw."""
    seen = place / f"seen of {clip} {len(trust)}"
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, clip, *trust],
        cwd=place,
        env={
            **os.environ,
            "PYTHONPATH": f"{place / 'stubs'}:{ROOT}:{ROOT / 'cli'}",
            "SEEN": str(seen),
            "HOME_OF_NCSCOPE": str(ROOT),
            "STUBS": str(place / "stubs"),
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout), seen.read_text() if seen.exists() else ""


VERBS = ["inspect", "extract", "analyze", "tune", "export", "compare", "sweep"]


def test_a_sound_folder_opens_no_socket_and_imports_no_foreign_module_under_any_verb(place):
    done, seen = outcome(place, "sound")
    assert {verb: code for verb, (code, _) in done.items()} == dict.fromkeys(VERBS, 0), done
    assert seen == ""


@pytest.mark.parametrize(
    "clip", [name if name == "tokenizer" else pytest.param(name, marks=MORE) for name in EVIL]
)
def test_a_folder_that_names_what_to_fetch_or_run_is_refused_under_every_verb(place, clip):
    done, seen = outcome(place, clip)
    assert seen == ""
    assert not (place / "touched").exists()
    for verb in ("inspect", "extract", "analyze", "tune"):
        code, said = done[verb]
        assert (code, said.strip().count("\n")) == (1, 0), (verb, said)
        assert "add --trust-backbone" in said, (verb, said)
    assert all(done[verb][0] == 1 for verb in ("export", "compare", "sweep"))


@pytest.mark.slow
def test_the_code_in_the_folder_runs_where_the_caller_vouches_for_it(place):
    _, seen = outcome(place, "tokenizer", "--trust-backbone")
    assert (place / "touched").exists(), seen
    assert "evil.py" in seen
    (place / "touched").unlink()
