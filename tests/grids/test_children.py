"""Runs on several processes, by torchrun, each in a session of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ncscope.grids.run import command_on, log_of
from ncscope.grids.spec import read_spec
from ncscope.grids.sweep import sweep
from ncscope.tuning.lock import is_open
from tests.grids.grids import until

ROOT = Path(__file__).parents[2]
GRID = '[grid]\nmethod = "vpt"\ndata = "toy:{data}"\n[fixed]\nrecipe = "toy"\nepochs = 5000\n'
SWEEP = """
import sys
from ncscope.grids.sweep import sweep
from ncscope.grids.run import command_on
sweep(sys.argv[1], out=sys.argv[2], command=command_on(2))
"""


@pytest.mark.slow
def test_a_refusal_on_several_processes_is_not_buried_under_torchruns_stack(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "spec.toml").write_text(GRID.format(data="nosuch"))
    (one,) = sweep(tmp_path / "spec.toml", out=tmp_path / "out", command=command_on(2))
    assert one.state == "failed"
    said = one.log.read_text()
    assert "ncscope: no toy task `nosuch`" in said
    assert said.endswith("ncscope: the run ended with status 1\n")
    assert "Traceback" not in said


@pytest.mark.slow
def test_all_processes_of_a_run_end_with_a_sweep_that_is_killed_alone(tmp_path):
    path, out = tmp_path / "spec.toml", tmp_path / "out"
    path.write_text(GRID.format(data="colours"))
    (run,) = read_spec(path)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", SWEEP, str(path), str(out)], env=env)
    until((out / run.name / "config.json").exists)
    assert is_open(log_of(run, out))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not is_open(log_of(run, out)))  # nobody is left who could write to it
    assert "the sweep has ended" in log_of(run, out).read_text()
