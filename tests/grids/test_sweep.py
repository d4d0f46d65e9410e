# What is made here is there, which its type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalContextManager=false
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ncscope.errors import DataError
from ncscope.grids import run as sweep_run
from ncscope.grids.children import Children
from ncscope.grids.run import command_on, do_run, environment, shares, visible_gpus
from ncscope.grids.spec import read_spec
from ncscope.grids.sweep import sweep
from tests.grids.grids import GRID, spec

ROOT = Path(__file__).parents[2]
# Stands in for `ncscope tune`: notes that it ran, takes a moment, writes its numbers last.
FAKE = """
import os, sys, time, pathlib
args = sys.argv[1:]
out = pathlib.Path(args[args.index("--out") + 1])
out.mkdir(exist_ok=True)
with open(out.parent / "ran.txt", "a") as file:
    file.write(" ".join(args) + "\\n")
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
if "--method-fails" in args or args[0] == "vpt":
    sys.exit("no such prompt")
(out / "metrics.json").write_text("{}")
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE)
    return [sys.executable, str(tmp_path / "fake.py")]


def ran(folder):
    path = folder / "ran.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_every_run_is_done_once_and_not_again(tmp_path, command):
    path, out = spec(tmp_path, GRID), tmp_path / "out"
    seen = []
    ended = sweep(path, out=out, jobs=4, together=False, command=command, progress=seen.append)
    assert {e.state for e in ended} == {"done"}
    assert len(seen) == len(ran(out)) == 16
    assert {e.state for e in sweep(path, out=out, together=False, command=command)} == {"was done"}
    assert len(ran(out)) == 16
    assert list((out / "locks").glob("[!.]*")) == []


def test_a_failed_run_leaves_its_words_stops_no_other_and_is_tried_again(tmp_path, command):
    path = spec(tmp_path, '[grid]\nmethod = ["vpt", "coop"]\ndata = "d"\n')
    out = tmp_path / "out"
    first, second = sweep(path, out=out, together=False, command=command)
    assert (first.state, second.state) == ("failed", "done")
    assert "no such prompt" in first.log.read_text()
    assert [e.state for e in sweep(path, out=out, together=False, command=command)] == [
        "failed",
        "was done",
    ]
    assert len(ran(out)) == 3


def test_what_was_cut_off_goes_on_where_a_state_was_kept_and_is_moved_aside_where_none_was(
    tmp_path, command
):
    path = spec(tmp_path, '[grid]\nmethod = "coop"\ndata = "d"\nseed = [0, 1]\n')
    out = tmp_path / "out"
    kept, bare = (out / run.name for run in read_spec(path))
    kept.mkdir(parents=True)
    bare.mkdir()
    (kept / "state.safetensors").touch()
    (bare / "log.jsonl").write_text("x")
    sweep(path, out=out, together=False, command=command)
    lines = ran(out)
    assert ["--resume" in line for line in lines] == [True, False]
    assert (out / f"{bare.name}.unfinished1" / "log.jsonl").read_text() == "x"


def test_a_run_none_of_whose_states_can_be_read_begins_again_and_says_so(tmp_path, command):
    cannot = FAKE.replace('if "--method', 'if "--resume" in args or "--method')
    (tmp_path / "fake.py").write_text(cannot)
    path, out = spec(tmp_path, '[grid]\nmethod = "coop"\ndata = "d"\n'), tmp_path / "out"
    (run,) = read_spec(path)
    (out / run.name).mkdir(parents=True)
    (out / run.name / "state.safetensors").write_bytes(b"damaged")
    (out / run.name / "state.before.safetensors").write_bytes(b"damaged too")
    (swept,) = sweep(path, out=out, together=False, command=command)
    assert swept.state == "done"
    assert ["--resume" in line for line in ran(out)] == [True, False]
    aside = out / f"{run.name}.unfinished1"
    assert f"no state can be read; begun again, what was is in {aside}" in swept.log.read_text()
    assert (aside / "state.safetensors").read_bytes() == b"damaged"


@pytest.mark.slow
def test_processes_side_by_side_share_a_grid(tmp_path, command):
    path, out = spec(tmp_path, GRID), tmp_path / "out"
    code = ("import sys; from ncscope.grids.sweep import sweep;"
            "sweep(sys.argv[1], out=sys.argv[2], jobs=2, together=False,"
            "command=sys.argv[3:])")  # fmt: skip
    words = [sys.executable, "-c", code, str(path), str(out), *command]
    env = {**os.environ, "FAKE_SECONDS": "0.2", "PYTHONPATH": str(ROOT)}
    workers = [subprocess.Popen(words, env=env) for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert len(ran(out)) == 16


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out: cannot be made a folder"):
        sweep(spec(tmp_path, GRID), out=tmp_path / "out")


@pytest.mark.parametrize("part", ["logs", "locks"])
def test_a_part_of_the_output_that_is_a_file_is_refused_before_any_run(tmp_path, part, command):
    out = tmp_path / "out"
    out.mkdir()
    (out / part).touch()
    with pytest.raises(DataError, match=rf"out/{part}: cannot be made a folder \(.*--out$"):
        sweep(spec(tmp_path, GRID), out=out, together=False, command=command)
    assert ran(out) == []


def test_no_jobs_are_refused(tmp_path):
    with pytest.raises(DataError, match="`jobs` is 0; expected 1 or more"):
        sweep(spec(tmp_path, GRID), out=tmp_path / "out", jobs=0)


def test_a_grid_killed_three_times_is_done_with_only_the_cut_runs_begun_again(tmp_path, command):
    path, out = spec(tmp_path, GRID), tmp_path / "out"
    code = ("import sys; from ncscope.grids.sweep import sweep;"
            "sweep(sys.argv[1], out=sys.argv[2], jobs=2, together=False,"
            "command=sys.argv[3:])")  # fmt: skip
    env = {**os.environ, "FAKE_SECONDS": "0.3", "PYTHONPATH": str(ROOT)}
    deadline = time.monotonic() + 60
    for target in (2, 6, 11):
        words = [sys.executable, "-c", code, str(path), str(out), *command]
        worker = subprocess.Popen(words, env=env, start_new_session=True)
        while len(list(out.glob("*/metrics.json"))) < target and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    swept = sweep(path, out=out, together=False, command=command, poll=0.05)
    assert {one.state for one in swept} <= {"done", "was done"}
    names = [run.name for run in read_spec(path)]
    assert all((out / name / "metrics.json").exists() for name in names)
    assert 16 <= len(ran(out)) <= 16 + 3 * 2  # each kill cut two at most
    assert list((out / "locks").glob("[!.]*")) == []


def test_the_cores_a_process_may_use_are_shared_by_all_processes(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert [environment(n)["OMP_NUM_THREADS"] for n in (1, 2, 3, 16)] == ["8", "4", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment(4)["OMP_NUM_THREADS"] == "5"


def test_each_gpu_of_a_run_is_a_process_that_gets_its_share(tmp_path, monkeypatch):
    seen = []

    def shares(processes, **_):
        seen.append(processes)
        return dict(os.environ)

    monkeypatch.setattr(sweep_run, "environment", shares)
    [run, *_] = read_spec(spec(tmp_path, GRID))
    (tmp_path / "logs").mkdir()
    (tmp_path / "locks").mkdir()
    for gpus in (1, 4):
        command = ["true", *command_on(gpus)]
        how = {"command": command, "jobs": 2, "stale": 60, "children": Children()}
        assert do_run(run, tmp_path, **how) == "failed"
    assert seen == [2, 8]


def test_runs_at_a_time_see_gpus_of_their_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0, 2,3,-1")
    assert visible_gpus() == ["0", "2", "3"]
    four = ["0", "1", "2", "3"]
    assert shares(four, jobs=2, each=1) == ["0", "1"]
    assert shares(four, jobs=2, each=2) == ["0,1", "2,3"]
    assert shares(["0", "1", "2"], jobs=2, each=2) == ["0,1", "0,1"]
    assert shares(["0", "1"], jobs=3, each=1) == ["0", "1", "0"]
    assert shares(four, jobs=1, each=1) == [None]  # nothing to share: the choice is torch's
    assert shares([], jobs=2, each=2) == [None, None]
    with pytest.raises(DataError, match=r"`gpus` is 4; expected 2 or fewer: .* are 0, 1$"):
        shares(["0", "1"], jobs=1, each=4)


def test_gpus_are_counted_where_nvidias_program_lists_them(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho '  MIG 1g'\necho 'GPU 1: A'\n")
    program.chmod(0o755)
    assert visible_gpus() == ["0", "1"]


def test_every_run_of_a_sweep_sees_one_gpu_of_several(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    code = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.5)"
    path = spec(tmp_path, '[grid]\nmethod = "vpt"\ndata = "d"\nseed = [0, 1]\n')
    command = [sys.executable, "-c", code]
    ended = sweep(path, out=tmp_path / "out", jobs=2, command=command)
    assert sorted(one.log.read_text()[0] for one in ended) == ["4", "5"]
