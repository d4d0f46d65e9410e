"""Two processes under torchrun come to what one comes to alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ncscope
from ncscope.errors import DataError
from ncscope.features.processes import join
from ncscope.toy.model import load_toy_clip
from ncscope.tuning import train as training
from ncscope.tuning.evaluate import quick_measures
from tests.pictures import save_pictures
from tests.processes import assert_same_measures, run_script
from tests.tuning.cases import Unreadable, painted
from tests.zoo.learners.case import relative

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
import os, sys
import torch
from tests.tuning.test_spread import refused_once, train_all
torch.set_num_threads(1)
rank = os.environ["RANK"]
train_all(*sys.argv[1:], rank=rank)
refused_once(sys.argv[2], rank)
"""


def settings(method):
    common = {"recipe": "toy", "shots": 3, "epochs": 2, "batch_size": 4, "log_every": 1}
    return {**common, "cache": "off", "lr": 0.01, **RUNS[method]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"), test=24)  # 64 and 8 of each half


def train_all(data, folder, *, rank=""):
    """Every run in a folder of its own, with how many images this process took, and which splits
    it measured in evaluations."""
    clip = load_toy_clip()
    seen, measured = [], []

    def measures(image, labels, text, *more):
        measured.append(len(labels))
        return quick_measures(image, labels, text, *more)

    def count(_patches, _given, found):
        if not torch.is_grad_enabled():  # of tests and frozen features, not of training
            seen.append(len(found))

    hook = clip.model.visual.conv1.register_forward_hook(count)
    for method in RUNS:
        seen.clear()
        measured.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "quick_measures", measures)
            ncscope.tune(
                method, data=data, backbone=clip, out=f"{folder}/{method}", **settings(method)
            )
        Path(f"{folder}/{method}-images{rank}").write_text(str(sum(seen)))
        Path(f"{folder}/{method}-measured{rank}").write_text(str(measured))
    hook.remove()


def refused_once(folder, rank):
    """What each process raises where one of them is refused, in a step and by its own images, and
    where they were given different options."""
    said = []
    images = {"train": replace(painted(), load=Unreadable()), "test": painted()}

    def stop(event):
        if event["event"] == "step" and event["step"] == 1:  # the first process has events
            raise DataError("only here")

    ours = 0.01 + 0.01 * int(rank)
    for method, listener, lr in (("coop", stop, 0.01), ("maple", None, 0.01), ("coop", stop, ours)):
        parts = {**images, "train": painted()} if listener else images
        common = {"recipe": "toy", "shots": 3, "batch_size": 2, "log_every": 1, "cache": "off"}
        try:
            ncscope.tune(method, data=parts, backbone="toy", split="all", listener=listener,
                         epochs=2, lr=lr, **common)  # fmt: skip
        except DataError as error:
            said.append(str(error))
    Path(f"{folder}/refused{rank}").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The folders of what one process trained, and two."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    train_all(data, one)
    run_script(two, SCRIPT, data, str(two), processes=2)
    return one, two


@pytest.mark.parametrize("method", RUNS)
def test_two_processes_train_the_weights_of_one(method, trained):
    one, shared = (folder / method for folder in trained)
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
    whole = int((one.parent / f"{method}-images").read_text())
    shares = [int((shared.parent / f"{method}-images{rank}").read_text()) for rank in (0, 1)]
    assert sum(shares) == whole
    assert min(shares) > 0


@pytest.mark.parametrize("method", RUNS)
def test_two_processes_evaluate_the_untrained_as_one_does_each_its_splits(method, trained):
    one, shared = trained
    first, alone = (
        json.loads((folder / method / "log.jsonl").read_text().splitlines()[0])
        for folder in (shared, one)
    )
    assert first["event"] == "eval"
    assert first == alone  # bit for bit: batches are the same
    before, wanted = (
        [run for run in runs if run["stage"] == "before"]
        for folder in (shared, one)
        for runs in [json.loads((folder / method / "metrics.json").read_text())["runs"]]
    )
    assert len(before) == 2
    for run, other in zip(before, wanted, strict=True):
        assert_same_measures(run["measures"], other["measures"])
        assert run["per_class"][0].keys() == other["per_class"][0].keys()
    whole = json.loads((one / f"{method}-measured").read_text())
    shares = [json.loads((shared / f"{method}-measured{rank}").read_text()) for rank in (0, 1)]
    assert shares == [whole[::2], whole[1::2]]  # base and new, in turn


def test_a_refusal_in_one_process_is_raised_in_all_and_leaves_them_able_to_go_on(trained):
    for rank in (0, 1):
        said = json.loads((trained[1] / f"refused{rank}").read_text())
        lr = "process 1 has other lr than the first; expected the same files and options on every"
        assert said == ["only here", "2.png: cannot be read", f"{lr} machine"]


def test_a_missing_variable_of_torchrun_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR"):
        with pytest.raises(DataError, match=f"WORLD_SIZE is 2 but {name} is not set; .*torchrun"):
            join("cpu")
        monkeypatch.setenv(name, "0")
