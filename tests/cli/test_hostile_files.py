"""Hostile files under every entry point: a refusal of one line or the right tensors, nothing else.

All of them in one fresh process whose audit hook sees what an attack would do.
"""

import copy
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests import learner_states
from tests.checkpoint.fuzz import Call, Global, opcodes
from tests.dassl_files import save_dassl
from tests.tiny_clip import save_folder
from tests.zoo.learners import case, runs

ROOT = Path(__file__).parents[2]

RUNNER = """
import contextlib, io, json, sys
from pathlib import Path
import ncscope, ncscope_cli.main, torch
from ncscope.tuning.state import read_state
from ncscope.clip.backbone import load_backbone
from ncscope.checkpoint.inspect import inspect
from ncscope.zoo.settings import LearnerOptions
from ncscope.zoo.load import load_learner
clip = load_backbone("clip")
done, events = {}, []

def hook(event, arguments):
    forbidden = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.", "socket.")
    touched = event == "open" and "touched" in str(arguments[0])
    if event.startswith(forbidden) or touched:
        events.append((event, str(arguments)[:200]))

def try_(name, call):
    try:
        call()
        done[name] = "went through"
    except ncscope.NcscopeError as error:
        done[name] = f"refused: {error}"

def command(name, *words):
    sys.argv = ["ncscope", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            ncscope_cli.main.main()
        except SystemExit as stop:
            refused = f"refused: {err.getvalue()}"
            done[name] = refused if stop.code else "went through"

sys.addaudithook(hook)
more = ("--data", "images", "--backbone", "clip", "--cache", "off", "--workers", "0", "--quiet")
for path in sorted(map(str, Path("files").iterdir())):
    try_(f"{path} inspect", lambda: inspect(path))
    try_(f"{path} load_learner", lambda: load_learner(path, backbone=clip))
    teacher = LearnerOptions(teacher=path)
    try_(f"{path} teacher", lambda: load_learner("student", backbone=clip, options=teacher))
    base = LearnerOptions(base=path)
    try_(f"{path} base", lambda: load_learner("dpc", backbone=clip, options=base))
    try_(f"{path} backbone", lambda: load_backbone(path))
    if path.endswith("raw.pt"):  # slow: it builds the model first
        try_(f"{path} named backbone", lambda: load_backbone("RN50", pretrained=path))
    try_(f"{path} read_features", lambda: ncscope.read_features(path))
    try_(f"{path} read_state", lambda: read_state(Path(path)))
    command(f"{path} $ inspect", "inspect", path)
    command(f"{path} $ extract", "extract", path, "--out", "f.npz", *more)
    few = ("--no-html", "--bootstrap", "0")
    command(f"{path} $ analyze", "analyze", path, "--out", "o", *few, *more)
print(json.dumps([done, events]))
"""


def bombs(target: Path):
    """Objects that would do something if they were unpickled, by name."""
    command = f"touch {target}"
    return {
        "system": Call(os.system, command),
        "open": Call(open, str(target), "w"),
        "eval": Call(eval, f"open({str(target)!r}, 'w')"),
        "getattr": Call(getattr, Call(copy.copy, [Call(os.system, command)]), "__class__"),
        "socket": Call(socket.create_connection, ("127.0.0.1", 9), 0.1),
        "memory": Call(bytearray, 10**13),
        "nested": [pickle.dumps(Call(os.system, command))],
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a small CLIP, runs that take --teacher and --base, and a folder of hostile files."""
    root = tmp_path_factory.mktemp("hostile")
    target, files = root / "touched", root / "files"
    random = np.random.default_rng(0)
    for k, name in enumerate(case.NAMES):
        (root / "images" / name).mkdir(parents=True)
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / name / f"{k}.png")
    save_folder(root / "clip", config=case.CONFIG)
    runs.RUNS["PromptKD"](root / "student")
    runs.RUNS["DPC"](root / "dpc")
    state = case.prompted(learner_states.coop(case.SIZES), "X X X X")
    for name, bomb in bombs(target).items():
        save_dassl(files / f"sound but for {name}.pth.tar", state, zipped=name != "open", evil=bomb)
    raw = opcodes(Global("os", "system"), (f"touch {target}",), b"R")
    for suffix in ("pt", "npz", "safetensors", "pkl"):
        (files / f"raw.{suffix}").write_bytes(raw)
    np.savez(files / "objects.npz", text=np.array([bombs(target)["system"]]), allow_pickle=True)
    folder = files / "folder"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text((root / "clip/open_clip_config.json").read_text())
    torch.save({"state_dict": bombs(target)["system"]}, folder / "open_clip_pytorch_model.bin")
    save_file({"x": torch.ones(1)}, files / "words.safetensors", {"state": str(raw), "config": "{"})
    return root


@pytest.fixture(scope="module")
def outcome(place):
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_nothing_is_created_called_or_connected_to(place, outcome):
    assert outcome[1] == []
    assert not (place / "touched").exists()


def test_a_sound_checkpoint_around_a_bomb_gives_its_tensors(outcome):
    entries = ("inspect", "load_learner", "base", "$ inspect", "$ extract", "$ analyze")
    for name in bombs(Path("touched")):
        for entry in entries:
            key = f"files/sound but for {name}.pth.tar {entry}"
            assert outcome[0][key] == "went through", (key, outcome[0][key])


def test_all_else_is_refused_in_one_line(outcome):
    refused = {key: said for key, said in outcome[0].items() if said != "went through"}
    lines = {key: said.removeprefix("refused: ").splitlines() for key, said in refused.items()}
    words = {key: [x for x in said if not x.startswith("warning: ")] for key, said in lines.items()}
    assert not {key: said for key, said in words.items() if len(said) != 1}
    advice = ("unsafe", "weights_only", "allow_pickle=", "trust the file")  # of other libraries
    assert not [said for said in refused.values() if any(word in said for word in advice)]
    through = outcome[0].keys() - refused.keys()
    assert not {key for key in through if "sound but for" not in key and "words" not in key}


def test_the_bombs_go_off_in_an_ordinary_unpickler(tmp_path):
    for name in ("system", "getattr"):
        target = tmp_path / name
        pickle.loads(pickle.dumps(bombs(target)[name]))
        assert target.exists(), name
