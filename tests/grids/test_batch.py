"""Runs of a grid that train together: as one by one, through kills, and shared by processes."""

# A run's options are of several types; what is acquired here is free.
# pyright: reportArgumentType=false, reportOptionalContextManager=false
# pyright: reportOptionalMemberAccess=false

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import ncscope
from ncscope.comparison.compare import compare
from ncscope.grids import sweep as sweeping
from ncscope.grids.batch import do_batch, tasks_of
from ncscope.grids.spec import read_spec
from ncscope.grids.sweep import sweep
from ncscope.tuning import together as library
from ncscope.tuning.lock import acquire
from tests.grids.grids import until

ROOT = Path(__file__).parents[2]
GRID = """
[grid]
method = "coop"
data = ["toy:textures"]
seed = [1, 2]
weights = [{}, {lcd_weight = 0.1, mid_weight = 1.0}]
[fixed]
recipe = "toy"
shots = 4
epochs = 5
tau = 0.25
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "spec.toml").write_text(GRID)
    return tmp_path / "spec.toml"


def numbers(folder):
    return json.loads((folder / "metrics.json").read_text())["tune"]


def test_runs_done_together_have_the_numbers_of_runs_done_alone(spec, tmp_path):
    runs, out = read_spec(spec), tmp_path / "out"
    assert do_batch(runs, out, stale=60) == ["done"] * 4
    for run in runs[3:]:
        own = ncscope.tune(
            "coop", data="toy:textures", recipe="toy", shots=4, epochs=5, tau=0.25,
            seed=run.options["seed"], lcd_weight=run.options.get("lcd_weight", 0.0),
            mid_weight=run.options.get("mid_weight", 0.0),
        )  # fmt: skip
        found = numbers(out / run.name)
        assert found["accuracy"] == pytest.approx(own.accuracy, abs=1e-4)
        same = ("name", "seed", "counts", "lcd_weight", "mid_weight", "before")
        assert [found[key] for key in same] == [own.record[key] for key in same]
    assert do_batch(runs, out, stale=60) == ["was done"] * 4
    assert list((out / "locks").glob("[!.]*")) == []


def test_what_another_does_is_left_to_it_and_what_was_begun_alone_to_a_process_of_its_own(
    spec, tmp_path, monkeypatch
):
    seen = []

    def trains(_options, folders, *_, **__):
        seen.extend(folders)
        for folder in folders:
            folder.mkdir()
            (folder / "metrics.json").write_text("{}")

    monkeypatch.setattr(library, "tune_together", trains)
    runs, out = read_spec(spec), tmp_path / "out"
    (out / runs[1].name).mkdir(parents=True)
    (out / runs[1].name / "state.safetensors").touch()
    with acquire(out / "locks" / runs[0].name) as held:
        assert held is not None
        assert do_batch(runs, out, stale=60) == ["elsewhere", None, "done", "done"]
    assert seen == [out / run.name for run in runs[2:]]


def test_where_training_together_fails_each_run_is_left_to_itself(
    spec, tmp_path, monkeypatch, capsys
):
    def fails(*_, **__):
        raise MemoryError("too much")

    monkeypatch.setattr(library, "tune_together", fails)
    assert do_batch(read_spec(spec), tmp_path, stale=60) == [None] * 4
    assert "too much" in capsys.readouterr().err


def start(spec, out):
    code = ("import sys; from ncscope.grids.sweep import sweep;"
            "sweep(sys.argv[1], out=sys.argv[2])")  # fmt: skip
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(spec), str(out)], env=env, start_new_session=True
    )


def table(out):
    return compare(out).table()


@pytest.mark.slow
def test_the_processes_of_groups_end_before_the_runs_that_are_left(tmp_path, monkeypatch):
    """Each holds a model and test images; on a small machine the rest needs that memory."""
    ended = threading.Event()

    class Told:
        def __init__(self, *_args, **_options):
            pass

        def do(self, runs):
            return ["done"] * len(runs)

        def close(self):
            ended.set()

    monkeypatch.setattr(sweeping, "Worker", Told)
    monkeypatch.setattr(
        sweeping, "do_run", lambda *_args, **_options: "done" if ended.wait(10) else "failed"
    )
    path = tmp_path / "mixed.toml"
    path.write_text(GRID.replace('method = "coop"', 'method = ["coop", "maple"]'))
    swept = sweep(path, out=tmp_path / "out")
    assert [one.state for one in swept] == ["done"] * 8


@pytest.mark.slow
def test_a_grid_killed_three_times_ends_with_the_table_of_one_that_was_not(spec, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert {one.state for one in sweep(spec, out=whole)} == {"done"}
    moments = ("locks/*", "*/config.json", "*/metrics.json")
    for moment in moments:  # locks taken, some measured, some written
        worker = start(spec, cut)
        until(lambda pattern=moment: any(cut.glob(pattern)), seconds=240)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    sweep(spec, out=cut, poll=0.1)
    assert table(cut) == table(whole)
    assert list((cut / "locks").glob("[!.]*")) == []


def test_an_ended_worker_gives_back_the_locks_of_its_runs(spec, tmp_path):
    """At once, also for other machines, which would else wait for two minutes of silence."""
    words = [sys.executable, "-c", "from ncscope.grids.batch import main; main()"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    worker = subprocess.Popen(
        [*words, str(tmp_path), "60"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    task = json.dumps([[run.name, dict(run.options, epochs=5000)] for run in read_spec(spec)])
    worker.stdin.write(f"{task}\n".encode())
    worker.stdin.flush()
    until(lambda: any(tmp_path.glob("*/config.json")), seconds=240)
    worker.terminate()
    worker.communicate()
    assert worker.returncode == 130
    assert list((tmp_path / "locks").glob("[!.]*")) == []


@pytest.mark.slow
def test_two_processes_on_one_folder_do_every_run_once(spec, tmp_path):
    workers = [start(spec, tmp_path / "out") for _ in range(2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    runs = read_spec(spec)
    written = [(tmp_path / "out" / run.name / "metrics.json").stat().st_mtime_ns for run in runs]
    assert {one.state for one in sweep(spec, out=tmp_path / "out")} == {"was done"}
    again = [(tmp_path / "out" / run.name / "metrics.json").stat().st_mtime_ns for run in runs]
    assert written == again
    assert table(tmp_path / "out").count("coop") > 1


def test_runs_on_stored_features_share_a_process_and_have_the_numbers_of_runs_alone(tmp_path):
    made = np.random.default_rng(0)
    label = np.repeat(np.arange(4), 8)
    sides = {f"image_{part}": made.normal(size=(32, 8)) for part in ("train", "test")}
    sides |= {f"label_{part}": label for part in ("train", "test")}
    np.savez(tmp_path / "f.npz", text=made.normal(size=(4, 8)), **sides)
    (tmp_path / "spec.toml").write_text(
        '[grid]\nmethod = ["shared-text", "taskres"]\nseed = [1, 2]\n'
        '[fixed]\ndata = "{root}/f.npz"\nshots = 4\nepochs = 3\n'
    )
    runs, out = read_spec(tmp_path / "spec.toml", root=tmp_path), tmp_path / "out"
    assert [len(task) for task in tasks_of(runs)] == [4]
    assert [one.state for one in sweep(runs, out=out)] == ["done"] * 4
    assert not (out / "logs" / f"{runs[0].name}.txt").exists()  # no process of its own
    [alone] = sweep(runs[:1], out=tmp_path / "alone", together=False)
    assert alone.state == "done"
    both = [numbers(folder / runs[0].name) for folder in (out, tmp_path / "alone")]
    assert both[0] | {"seconds": 0} == both[1] | {"seconds": 0}
    (tmp_path / "f.npz").unlink()  # what cannot be done is said by a process of its own
    later = read_spec(tmp_path / "spec.toml", root=tmp_path / "gone")
    assert do_batch(later, tmp_path / "late", stale=60) == [None] * 4
