"""Runs forked from one process: each has its log and its end, and none outlives its sweep."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ncscope
from ncscope.grids.children import TUNE, Children
from ncscope.grids.forking import Parent
from ncscope.grids.run import environment, log_of
from ncscope.grids.spec import read_spec
from ncscope.grids.sweep import sweep
from ncscope.tuning.lock import is_alive, is_open
from tests.grids.grids import until

ROOT = Path(__file__).parents[2]
GRID = '[grid]\nmethod = "vpt"\ndata = "d"\nseed = {seeds}\n'
# Stands in for the command line: notes who it is, and ends as its seed says.
FAKE = """
import os, pathlib, signal, sys, time
def entry():
    args = sys.argv[1:]
    out = pathlib.Path(args[args.index("--out") + 1])
    seed = next(word for word in args if word.startswith("--seed=")).partition("=")[2]
    out.mkdir(exist_ok=True)
    with open(out.parent / "ran.txt", "a") as file:
        file.write(f"{seed} {os.getpid()} {os.getppid()}\\n")
    print(f"words of {seed}", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    if seed == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == "2":
        sys.stderr.write("refused\\n")
        os._exit(3)
    if seed == "3":
        os.kill(os.getppid(), signal.SIGKILL)
    if seed in ("3", "9"):
        time.sleep(60)
    (out / "metrics.json").write_text("{}")
    sys.stdout.flush()
    os._exit(0)
if __name__ == "__main__":
    entry()
"""
SWEEP = """
import sys
from ncscope.grids.children import terminated_as_interrupted
from ncscope.grids.sweep import sweep
with terminated_as_interrupted():
    try:
        sweep(sys.argv[1], out=sys.argv[2], together=False, jobs=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture
def faked(tmp_path, monkeypatch):
    """A folder for `sweep`, whose runs are those of the stand-in."""
    package = tmp_path / "path" / "ncscope_cli"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "main.py").write_text(FAKE)
    (package / "tune.py").write_text("def prepare(): ...\n")
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}:{ROOT}")
    return tmp_path / "out"


def spec(folder, *seeds):
    path = folder.parent / "spec.toml"
    path.write_text(GRID.format(seeds=list(seeds)))
    return path


def ran(folder):
    """(seed, process, its parent) of each run that began."""
    path = folder / "ran.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(int(word) for word in line.split()) for line in lines]


def gone(process):
    return not is_alive(process, None)


def test_runs_have_one_parent_and_logs_and_ends_of_their_own(faked, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    swept = sweep(spec(faked, 0, 1, 2, 5), out=faked, jobs=2, together=False)
    assert [one.state for one in swept] == ["done", "failed", "failed", "done"]
    parents, runs = ({one[place] for one in ran(faked)} for place in (2, 1))
    assert len(runs) == 4
    assert len(parents) == 1
    assert os.getpid() not in parents
    assert all(gone(process) for process in runs | parents)
    logs = [one.log.read_text().splitlines() for one in swept]
    assert {log[0][-1] for log in logs} == {"4", "5"}  # each seat's own device
    assert [log[0][:10] for log in logs] == [f"words of {seed}" for seed in (0, 1, 2, 5)]
    assert [len(log) for log in logs] == [1, 2, 3, 1]
    assert "was ended by signal 9 (SIGKILL, most often for want of memory)" in logs[1][1]
    assert logs[2][1:] == ["refused", "ncscope: the run ended with status 3"]


def test_a_parent_that_is_killed_takes_its_run_along_and_others_start_anew(faked):
    swept = sweep(spec(faked, 3, 5, 6), out=faked, together=False)
    assert [one.state for one in swept] == ["failed", "done", "done"]
    (_, forked, parent), *others = ran(faked)
    until(lambda: gone(forked))
    assert gone(parent)
    assert [one[2] for one in others] == [os.getpid()] * 2
    until(lambda: not is_open(swept[0].log))


def test_a_run_that_was_cut_off_goes_on_from_its_state(faked):
    path = spec(faked, 5, 6)
    kept = faked / read_spec(path)[0].name
    kept.mkdir(parents=True)
    (kept / "state.safetensors").touch()
    package = faked.parent / "path" / "ncscope_cli"
    (package / "main.py").write_text(FAKE.replace('print(f"words', 'print(args, f"words'))
    swept = sweep(path, out=faked, together=False)
    assert ["--resume" in one.log.read_text() for one in swept] == [True, False]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_runs_and_their_parent_end_with_their_sweep_however_it_does(faked, sign):
    path = spec(faked, 9, 5, 6)
    words = [sys.executable, "-c", SWEEP, str(path), str(faked)]
    process = subprocess.Popen(words, start_new_session=True)
    until(lambda: len(ran(faked)) == 3)  # of two seats, one is done with the others
    os.kill(process.pid, sign)
    assert process.wait(60) == (130 if sign != signal.SIGKILL else -sign)
    until(lambda: all(gone(one) for _, *both in ran(faked) for one in both))
    until(lambda: not is_open(log_of(read_spec(path)[0], faked)))


def test_a_run_can_be_told_to_end_and_says_how_it_did(faked, tmp_path):
    parent = Parent(environment(1))
    children = Children(parent.fork)
    words = [*TUNE, "--seed=9", "--out", str(faked)]
    with (tmp_path / "log").open("wb") as log:
        child = children.start(words, stdout=log, env=environment(1))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    until(lambda: ran(tmp_path))
    child.terminate()
    assert children.wait(child) == -signal.SIGTERM
    assert child.wait() == -signal.SIGTERM
    child.kill()  # nothing
    parent.close()


def test_where_no_parent_can_be_started_each_run_is_a_process_of_its_own(faked):
    (faked.parent / "path" / "ncscope_cli" / "tune.py").write_text("raise ImportError\n")
    swept = sweep(spec(faked, 5, 6), out=faked, together=False)
    assert [one.state for one in swept] == ["done"] * 2
    assert {one[2] for one in ran(faked)} == {os.getpid()}


def test_a_forked_run_has_the_numbers_of_one_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'cli'}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = tmp_path / "spec.toml"
    fixed = '[fixed]\nrecipe = "toy"\nshots = 2\nepochs = 2\n'
    path.write_text('[grid]\nmethod = "coop"\ndata = "toy:textures"\nseed = [1, 2]\n' + fixed)
    swept = sweep(path, out=tmp_path / "out", together=False)
    assert [one.state for one in swept] == ["done"] * 2
    own = ncscope.tune("coop", data="toy:textures", recipe="toy", shots=2, epochs=2, seed=2)
    found = json.loads((tmp_path / "out" / swept[1].run.name / "metrics.json").read_text())["tune"]
    assert {**found, "seconds": 0} == {**own.record, "seconds": 0}
