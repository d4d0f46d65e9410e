"""Two processes under torchrun come to what one comes to alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

import ncscope
from ncscope.errors import DataError
from ncscope.features.processes import join
from ncscope.toy.model import load_toy_clip
from tests.pictures import save_pictures
from tests.zoo.learners.case import relative

ROOT = Path(__file__).parents[2]
# Nine images in batches of four: the last batch has one, and one process none of it.
RUNS = {
    "coop": {"lcd_weight": 0.5, "mid_weight": 0.5, "centred": True, "accumulate": 2},
    "maple": {"lcd_weight": 0.5, "mid_weight": 0.5, "relative_weights": True},
}
SCRIPT = """
import json, sys
import ncscope, torch
torch.set_num_threads(1)
method, data, out, options = sys.argv[1:]
ncscope.tune(method, data=data, backbone="toy", out=out, **json.loads(options))
"""


def settings(method):
    common = {"recipe": "toy", "shots": 3, "epochs": 2, "batch_size": 4, "log_every": 1}
    return {**common, "cache": "off", "lr": 0.01, **RUNS[method]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def two_processes(method, data, folder):
    """Run a method in two processes; the run's folder."""
    (folder / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    where = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]  # any free port
    script = [str(folder / "script.py"), method, data, str(folder / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*launch, *where, *script, json.dumps(settings(method))],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "two"


@pytest.mark.parametrize("method", RUNS)
def test_two_processes_train_the_weights_of_one(method, data, tmp_path):
    shared = two_processes(method, data, tmp_path)
    clip = load_toy_clip()
    alone = ncscope.tune(method, data=data, backbone=clip, out=tmp_path / "run", **settings(method))
    wanted = load_file(tmp_path / "run" / "checkpoint.safetensors")
    found = load_file(shared / "checkpoint.safetensors")
    for key, value in wanted.items():
        assert relative(found[key].float(), value.float()) < 1e-5, key
    lines = (shared / "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]  # written by one process only
    assert [e["step"] for e in events] == [e["step"] for e in alone.events]
    for two, one in zip(events, alone.events, strict=True):
        if one["event"] == "step":
            assert two["ce"] == pytest.approx(one["ce"], rel=1e-4)
            assert two["grad"] == pytest.approx(one["grad"], rel=1e-3)
    record = json.loads((shared / "metrics.json").read_text())["tune"]
    assert record["accuracy"]["base"] == alone.accuracy["base"]
    assert json.loads((shared / "config.json").read_text())["processes"] == 2


def test_a_missing_variable_of_torchrun_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"):
        with pytest.raises(DataError, match=f"WORLD_SIZE is 2 but {name} is not set; .*torchrun"):
            join("cpu")
        monkeypatch.setenv(name, "0")
