"""A sweep that ends, however it does, leaves no run behind that trains on unseen."""

# What is found here has an answer, which its type leaves open.
# pyright: reportOptionalMemberAccess=false

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ncscope.grids import sweep as sweeping
from ncscope.grids.children import Children, StoppedError
from ncscope.grids.run import how_it_ended, is_done, log_of
from ncscope.grids.spec import read_spec
from ncscope.grids.sweep import Worker, sweep
from ncscope.tuning.lock import is_alive, is_open
from tests.grids.grids import until

ROOT = Path(__file__).parents[2]
# Stand in for `ncscope tune`: one that ends with the sweep, as the real one, and one that does not.
FAKE = """
import os, sys, time, pathlib
args = sys.argv[1:]
out = pathlib.Path(args[args.index("--out") + 1])
out.mkdir(exist_ok=True)
with open(out.parent / "ran.txt", "a") as file:
    file.write(f"{os.getpid()}\\n")
if "ENDS" in os.environ:
    from ncscope.grids.children import end_with_sweep
    end_with_sweep()
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
(out / "metrics.json").write_text("{}")
"""
# Stands in for torchrun: its process has a session of its own.
LAUNCHER = """
import subprocess, sys
sys.exit(subprocess.Popen(sys.argv[1:], start_new_session=True).wait())
"""
SWEEP = """
import sys
from ncscope.grids.children import terminated_as_interrupted
from ncscope.grids.sweep import sweep
with terminated_as_interrupted():
    try:
        sweep(sys.argv[1], out=sys.argv[2], together=False, command=sys.argv[3:])
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture
def command(tmp_path):
    for name, text in (("fake", FAKE), ("launcher", LAUNCHER)):
        (tmp_path / f"{name}.py").write_text(text)
    python = sys.executable
    return [python, str(tmp_path / "launcher.py"), python, str(tmp_path / "fake.py")]


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('[grid]\nmethod = "coop"\ndata = "d"\nseed = [0, 1]\n')
    return path


def start(spec, out, command, **more):
    """A sweep in a process of its own, once its first run has begun."""
    env = {**os.environ, "FAKE_SECONDS": "60", "PYTHONPATH": str(ROOT), **more}
    words = [sys.executable, "-c", SWEEP, str(spec), str(out), *command]
    process = subprocess.Popen(words, env=env, start_new_session=True)
    until(lambda: ran(out))
    return process


def ran(folder):
    path = folder / "ran.txt"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def gone(pid):
    return not is_alive(pid, None)


def test_the_runs_of_a_sweep_that_is_killed_alone_end_and_are_taken_over(spec, tmp_path, command):
    out = tmp_path / "out"
    process = start(spec, out, command, ENDS="1")
    (first,) = ran(out)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: gone(first))
    swept = sweep(spec, out=out, together=False, command=command, poll=0.05)
    assert [one.state for one in swept] == ["done"] * 2
    assert len(ran(out)) == 3


def test_a_process_that_outlives_its_killed_sweep_keeps_its_run_until_it_ends(
    spec, tmp_path, command
):
    out, told = tmp_path / "out", []
    process = start(spec, out, command)
    (first,) = ran(out)
    os.killpg(process.pid, signal.SIGKILL)  # its process of another session goes on
    process.wait()
    waiting = threading.Thread(
        target=sweep, args=(spec,),
        kwargs={"out": out, "together": False, "command": command, "poll": 0.05,
                "progress": told.append},
    )  # fmt: skip
    waiting.start()
    until(lambda: len(told) == 2)
    assert [one.state for one in told] == ["elsewhere", "done"]
    time.sleep(0.3)
    assert not gone(first)
    assert len(ran(out)) == 2
    os.kill(first, signal.SIGKILL)
    waiting.join(60)
    assert [one.state for one in told] == ["elsewhere", "done", "done"]
    assert len(ran(out)) == 3


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_ends_its_run_and_begins_no_other(spec, tmp_path, command, sign):
    out = tmp_path / "out"
    process = start(spec, out, command, ENDS="1")
    os.kill(process.pid, sign)
    assert process.wait(60) == 130
    until(lambda: all(gone(pid) for pid in ran(out)))
    assert len(ran(out)) == 1
    assert list((out / "locks").glob("[!.]*")) == []


def test_an_interrupted_sweep_does_not_begin_the_runs_of_a_group_one_by_one(
    spec, tmp_path, command, monkeypatch
):
    """Its worker ends, which else means that each run is to be done by itself."""

    class Interrupted:
        def __init__(self, *_, children, **__):
            self.children = children

        def do(self, runs):
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: self.children._stopped)
            return [None] * len(runs)

        def close(self):
            pass

    spec.write_text(spec.read_text() + '[fixed]\nrecipe = "toy"\n')
    monkeypatch.setattr(sweeping, "Worker", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(spec, out=tmp_path / "out", command=command)
    assert ran(tmp_path / "out") == []
    assert list((tmp_path / "out" / "logs").iterdir()) == []


def test_a_worker_that_cannot_be_started_leaves_each_run_to_itself(
    spec, tmp_path, command, monkeypatch
):
    class Breaks(Worker):
        def _start(self):
            raise OSError("no memory")

    spec.write_text(spec.read_text() + '[fixed]\nrecipe = "toy"\n')
    monkeypatch.setattr(sweeping, "Worker", Breaks)
    swept = sweep(spec, out=tmp_path / "out", command=command)
    assert [one.state for one in swept] == ["done"] * 2


def test_a_worker_whose_answer_is_cut_off_leaves_each_run_to_itself(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping.sys, "executable", "/bin/echo")
    (tmp_path / "logs").mkdir()
    worker = Worker(tmp_path, jobs=1, stale=60, children=Children())
    assert worker.do(read_spec(spec)) == [None, None]


def test_what_was_told_to_stop_starts_nothing_more():
    children = Children()
    child = children.start([sys.executable, "-c", "import time; time.sleep(60)"])
    children.stop()
    assert child.returncode == -signal.SIGTERM
    with pytest.raises(StoppedError):
        children.start(["true"])


def test_a_log_says_how_a_run_ended_that_could_not_say_so_itself(spec, tmp_path):
    out = tmp_path / "out"
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    first, _ = sweep(spec, out=out, together=False, command=killed)
    assert first.state == "failed"
    assert first.log.read_text() == (
        "ncscope: the run was ended by signal 9 (SIGKILL, most often for want of memory)\n"
    )
    assert how_it_ended(3) == "ended with status 3"
    assert how_it_ended(0) == "ended with status 0 and wrote no metrics.json"


@pytest.mark.parametrize("words", ["", '{"runs": [', "[]"])
def test_a_run_whose_numbers_are_damaged_is_done_again(spec, tmp_path, command, words):
    out, (run, _) = tmp_path / "out", read_spec(spec)
    (out / run.name).mkdir(parents=True)
    (out / run.name / "metrics.json").write_text(words)
    assert not is_done(run, out)
    first, _ = sweep(spec, out=out, together=False, command=command)
    assert first.state == "done"
    assert is_done(run, out)


def test_a_log_that_cannot_be_written_fails_its_run_alone(spec, tmp_path, command):
    out, (run, _) = tmp_path / "out", read_spec(spec)
    log_of(run, out).mkdir(parents=True)
    first, second = sweep(spec, out=out, together=False, command=command)
    assert (first.state, second.state) == ("failed", "done")
    assert "Is a directory" in first.why
    assert not is_open(log_of(run, out))
