"""Two processes under torchrun come to what one comes to alone."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ncscope.errors import DataError
from ncscope.features.processes import join
from tests.pictures import save_pictures
from tests.processes import run_script
from tests.zoo.learners.case import relative

ROOT = Path(__file__).parents[2]
# Nine images in batches of four: the last batch has one, and one process none of it.
RUNS = {
    "coop": {
        "lcd_weight": 0.5,
        "mid_weight": 0.5,
        "centred": True,
        "accumulate": 2,
        "views": 3,
    },
    "cocoop": {"epochs": 1},  # text features of every test image
    "maple": {"lcd_weight": 0.5, "mid_weight": 0.5, "relative_weights": True},
}
# MaPLe's prompts are rounded to half in every pass, so that a sum in another order may round on
CLOSE = {"coop": 1e-5, "cocoop": 1e-5, "maple": 1e-4}
SCRIPT = """
import json, sys
import os
from pathlib import Path
import ncscope, torch
from ncscope.toy.model import load_toy_clip
torch.set_num_threads(1)
method, data, out, options = sys.argv[1:]
clip = load_toy_clip()
seen = []
def count(patches, given, found):
    if not torch.is_grad_enabled():  # of tests and frozen features, not of training
        seen.append(len(found))
clip.model.visual.conv1.register_forward_hook(count)
ncscope.tune(method, data=data, backbone=clip, out=out, **json.loads(options))
Path(out).with_name("images" + os.environ.get("RANK", "")).write_text(str(sum(seen)))
"""


def settings(method):
    common = {"recipe": "toy", "shots": 3, "epochs": 2, "batch_size": 4, "log_every": 1}
    return {**common, "cache": "off", "lr": 0.01, **RUNS[method]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"), test=24)  # 64 and 8 of each half


def train(method, data, folder, *, processes):
    """Run a method; the run's folder. Beside it, how many images each process took."""
    folder.mkdir()
    arguments = [method, data, str(folder / "run"), json.dumps(settings(method))]
    run_script(folder, SCRIPT, *arguments, processes=processes)
    return folder / "run"


@pytest.mark.parametrize("method", RUNS)
def test_two_processes_train_the_weights_of_one(method, data, tmp_path):
    one = train(method, data, tmp_path / "one", processes=1)
    shared = train(method, data, tmp_path / "two", processes=2)
    wanted = load_file(one / "checkpoint.safetensors")
    found = load_file(shared / "checkpoint.safetensors")
    for key, value in wanted.items():
        assert relative(found[key].float(), value.float()) < CLOSE[method], key
    events, alone = (
        [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (shared, one)
    )  # of two processes one writes
    assert [e["step"] for e in events] == [e["step"] for e in alone]
    for two, other in zip(events, alone, strict=True):
        if other["event"] == "step":
            assert two["ce"] == pytest.approx(other["ce"], rel=1e-4, abs=1e-6)
            assert two["grad"] == pytest.approx(other["grad"], rel=1e-3)
    record, before = (
        json.loads((run / "metrics.json").read_text())["tune"] for run in (shared, one)
    )
    assert record["accuracy"] == pytest.approx(before["accuracy"], rel=1e-5)
    assert record["before"] == pytest.approx(before["before"], rel=1e-5)
    assert json.loads((shared / "config.json").read_text())["processes"] == 2
    whole = int((one.parent / "images").read_text())
    shares = [int((shared.parent / f"images{rank}").read_text()) for rank in (0, 1)]
    assert sum(shares) == whole
    assert min(shares) > 0


def test_a_missing_variable_of_torchrun_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"):
        with pytest.raises(DataError, match=f"WORLD_SIZE is 2 but {name} is not set; .*torchrun"):
            join("cpu")
        monkeypatch.setenv(name, "0")
