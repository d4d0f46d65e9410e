"""What is imported by which verb: nobody waits for a library that their command does not use."""

import json
import subprocess
import sys

import pytest

from tests.test_layers import ROOT
from tests.tiny_clip import save_folder

CODE = """
import json, sys
from ncscope_cli.main import app

HEAVY = ("open_clip", "torchvision", "timm", "torch._dynamo", "transformers", "torch", "plotly")
found = []
for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
    found.append([name for name in HEAVY if name in sys.modules])
print(json.dumps(found))
"""


def imported_by(*commands, folder):
    """The heavy libraries that are there after each command, all in one process."""
    words = [sys.executable, "-c", CODE, json.dumps(commands)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'cli'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def test_help_imports_nothing_heavy_and_no_verb_imports_open_clip_for_the_toy(at_home):
    toy = ["--data", "toy:colours", "--quiet"]
    found = imported_by(
        ["--help"],
        ["tune", "--help"],
        ["extract", "zero-shot", *toy, "--out", "f.npz"],
        ["tune", "coop", *toy, "--epochs", "1", "--out", "run"],
        ["inspect", "run"],
        ["analyze", "f.npz", "run", *toy, "--out", "report", "--bootstrap", "0"],
        ["compare", "report/metrics.json", "--out", "table.csv"],
        folder=at_home,
    )
    assert found[:2] == [[], []]
    assert all(set(names) <= {"torch", "plotly"} for names in found)


def test_a_plain_clip_of_a_folder_needs_no_open_clip(at_home):
    folder = str(save_folder(at_home / "clip"))
    words = ["extract", "zero-shot", "--data", "toy:colours", "--quiet", "--backbone", folder]
    assert imported_by([*words, "--out", "a.npz"], folder=at_home) == [["torch"]]
