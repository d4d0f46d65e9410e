"""Killed without warning at any moment, and run again: as if nothing had happened.

`kill -9` of the whole group of processes at moments spread over an undisturbed run.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.pictures import save_pictures

pytestmark = pytest.mark.attack
ROOT = Path(__file__).parents[2]
MOMENTS = 20

GRID = """
[grid]
seed = [1, 2]
[fixed]
method = "coop"
data = "pictures"
backbone = "toy"
recipe = "toy"
shots = 1
epochs = 2
workers = 0
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("kills")
    save_pictures(root / "pictures", train=2, test=2)
    (root / "grid.toml").write_text(GRID)
    return root


def started(place: Path, words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "ncscope_cli.main", *words],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}", "XDG_CACHE_HOME": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def whole(place: Path, words: list[str]) -> float:
    """Run to the end; the seconds it took."""
    begun = time.perf_counter()
    process = started(place, words)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said.decode()[-2000:]
    return time.perf_counter() - begun


def killed(place: Path, words: list[str], seconds: float) -> None:
    process = started(place, words)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def arrays(path: Path) -> dict[str, Any]:
    return dict(np.load(path)) if path.suffix == ".npz" else load_file(path)


def numbers(path: Path) -> Any:
    """What metrics.json measured, without where and how long."""
    runs = json.loads(path.read_text())["runs"]
    return [(run["measures"], run["summary"], run["per_class"]) for run in runs]


TUNED = ["--data", "pictures", "--backbone", "toy", "--recipe", "toy", "--shots", "2",
         "--epochs", "3", "--workers", "0", "--quiet"]  # fmt: skip
COMMANDS = {
    "tune": (["tune", "coop", *TUNED, "--resume"], "{out}", "{out}/metrics.json"),
    "extract": (
        ["extract", "zero-shot", "--data", "pictures", "--backbone", "toy", "--workers", "0"],
        "{out}/f.npz", "{out}/f.npz"),
    "analyze": (
        ["analyze", "zero-shot", "--data", "pictures", "--backbone", "toy", "--workers", "0",
         "--bootstrap", "20"],
        "{out}", "{out}/metrics.json"),
    "sweep": (["sweep", "grid.toml", "--jobs", "2", "--quiet"], "{out}", "{out}"),
}  # fmt: skip


def result(path: Path) -> Any:
    if path.is_dir():
        return {file.parent.name: numbers(file) for file in sorted(path.rglob("metrics.json"))}
    if path.suffix == ".json":
        return numbers(path)
    return {name: value.tolist() for name, value in arrays(path).items() if name != "provenance"}


@pytest.mark.parametrize("verb", COMMANDS)
def test_what_was_killed_and_run_again_ends_as_if_nothing_had_happened(place, verb):
    words, out, made = COMMANDS[verb]
    undisturbed = [*words, "--out", out.format(out=f"{verb}-whole")]
    taken = whole(place, undisturbed)
    wanted = result(place / made.format(out=f"{verb}-whole"))
    assert wanted
    generator = random.Random(verb)
    moments = int(os.environ.get("NCSCOPE_KILLS", MOMENTS))
    for moment in range(moments):
        name = f"{verb}-{moment}"
        again = [*words, "--out", out.format(out=name)]
        killed(place, again, taken * (moment + generator.random()) / moments)
        whole(place, again)
        assert result(place / made.format(out=name)) == wanted, f"killed at moment {moment}"
        left = [p.name for p in (place / name).rglob(".*") if p.is_file() and not p.stat().st_size]
        assert len(left) <= 1, left  # a temporary name at most, which nothing takes for a file
