"""A run that is cut off anywhere goes on to the same bytes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ncscope
from ncscope.errors import CheckpointError, DataError, NcscopeError
from ncscope.toy.model import load_toy_clip
from tests.pictures import save_pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clip():
    return load_toy_clip()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


RUNS = {
    "coop": {"optimizer": "adamw", "centred": True, "mid_weight": 0.2, "lcd_weight": 0.1},
    "maple": {"views": 2, "mid_weight": 0.2, "mid_form": "frobenius", "relative_weights": True},
    "promptsrc": {"views": "online"},
}


def run(method, clip, data, out, *, resume=False, listener=None, seed=0, epochs=3, lr=None):
    return ncscope.tune(
        method, data=data, backbone=clip, recipe="toy", shots=2, epochs=epochs, batch_size=4,
        seed=seed, eval_every=3, log_every=1, out=out, cache="off", resume=resume, lr=lr,
        listener=listener, **RUNS[method],
    )  # fmt: skip


def contents(folder):
    """What must be the same, byte by byte."""
    names = ("checkpoint.safetensors", "log.jsonl", "config.json", "trajectory.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, clip, data):
    made = {}

    def of(method):
        if method not in made:
            folder = tmp_path_factory.mktemp("whole") / method
            run(method, clip, data, folder)
            made[method] = contents(folder)
        return made[method]

    return of


class Cut(Exception):  # noqa: N818
    """The power goes."""


def cut_after(events):
    seen = []

    def listener(event):
        seen.append(event)
        if len(seen) == events:
            raise Cut

    return listener


@pytest.mark.parametrize(
    ("method", "events"), [("coop", 1), ("coop", 4), ("coop", 7), ("maple", 6), ("promptsrc", 5)]
)
def test_a_run_cut_off_after_any_event_ends_in_the_same_bytes(
    method, events, clip, data, tmp_path, undisturbed
):
    with pytest.raises(Cut):
        run(method, clip, data, tmp_path / "run", listener=cut_after(events))
    run(method, clip, data, tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == undisturbed(method)


@pytest.mark.parametrize("method", ["coop", "promptsrc"])
def test_going_on_with_a_finished_run_changes_nothing(method, clip, data, tmp_path, undisturbed):
    run(method, clip, data, tmp_path / "run")
    run(method, clip, data, tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == undisturbed(method)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_bytes_of_an_undisturbed_one(clip, data, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}"}
    command = [
        *(sys.executable, "-m", "ncscope_cli.main", "tune", "cocoop", "--data", data, "--quiet"),
        *("--backbone", "toy", "--recipe", "toy", "--shots", "4", "--epochs", "12"),
        *("--batch-size", "4", "--log-every", "1", "--mid-weight", "0.1", "--cache", "off"),
        *("--out", str(tmp_path / "killed")),
    ]
    log = tmp_path / "killed" / "log.jsonl"
    with subprocess.Popen(command, env=environment, cwd=ROOT) as process:
        deadline = time.monotonic() + 100
        while not log.exists() or log.read_text().count("\n") < 8:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "metrics.json").exists()
    tuned = [
        ncscope.tune(
            "cocoop", data=data, backbone=clip, recipe="toy", shots=4, epochs=12, batch_size=4,
            log_every=1, mid_weight=0.1, cache="off", out=tmp_path / name, resume=name == "killed",
        )
        for name in ("killed", "whole")
    ]  # fmt: skip
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    killed, whole = ({**run.record, "seconds": 0} for run in tuned)
    assert killed == whole


def test_another_option_is_refused_by_name_and_leaves_the_configuration(clip, data, tmp_path):
    with pytest.raises(Cut):
        run("coop", clip, data, tmp_path / "run", listener=cut_after(6))
    before = {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()}
    with pytest.raises(CheckpointError, match=r"has lr = 0\.05, now it is 0\.01; resume with the"):
        run("coop", clip, data, tmp_path / "run", resume=True, lr=0.01)
    with pytest.raises(CheckpointError, match="has seed = 0, now it is 4"):
        run("coop", clip, data, tmp_path / "run", resume=True, seed=4)
    assert {entry.name: entry.read_bytes() for entry in (tmp_path / "run").iterdir()} == before


def test_a_folder_with_a_run_is_refused_without_resume(clip, data, tmp_path):
    with pytest.raises(Cut):
        run("coop", clip, data, tmp_path / "run", listener=cut_after(1))
    with pytest.raises(DataError, match="holds a run; go on with it by --resume, or name another"):
        run("coop", clip, data, tmp_path / "run")
    with pytest.raises(DataError, match="`resume` needs `out`"):
        run("coop", clip, data, None, resume=True)


def test_a_damaged_state_is_refused_and_not_written_over(clip, data, tmp_path):
    with pytest.raises(Cut):
        run("coop", clip, data, tmp_path / "run", listener=cut_after(6))
    state = tmp_path / "run" / "state.safetensors"
    os.truncate(state, state.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=r"damaged .*; remove it to begin again"):
        run("coop", clip, data, tmp_path / "run", resume=True)


def test_a_diverged_run_keeps_its_last_good_state_and_writes_no_result(clip, data, tmp_path):
    with pytest.raises(NcscopeError, match=r"diverged in epoch 1.*lower --lr or the terms'"):
        run("coop", clip, data, tmp_path / "run", lr=1e30)
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
