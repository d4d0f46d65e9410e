"""A run trained longer than it was begun for: said, with the new cosine's rates and average."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import ncscope
from ncscope.errors import CheckpointError, DataError
from ncscope.toy.model import load_toy_clip
from ncscope.tuning.extend import average_factor, history, said
from ncscope.tuning.losses import epoch_weights
from ncscope.tuning.recipe import TOY, learning_rate
from ncscope.tuning.values import Recipe
from tests.pictures import save_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def run(method, data, out, epochs, **options):
    return ncscope.tune(
        method, data=data, backbone=load_toy_clip(), recipe="toy", shots=2, epochs=epochs,
        batch_size=4, log_every=1, out=out, cache="off", **options,
    )  # fmt: skip


def rates(folder: Path):
    lines = (folder / "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return {e["epoch"]: e["lr"] for e in events if e["event"] == "step"}


def test_a_finished_run_goes_on_under_the_longer_cosine_and_says_so(data, tmp_path):
    run("coop", data, tmp_path / "run", 2)
    with pytest.raises(
        CheckpointError, match=r"epochs = 2, now it is 4; .* or --extend to train a"
    ):
        run("coop", data, tmp_path / "run", 4, resume=True)
    tuned = run("coop", data, tmp_path / "run", 4, resume=True, extend=True)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["epochs"], config["extended_from"]) == (4, [[2, 2]])
    recipe = TOY["coop"]
    for epoch, lr in rates(tmp_path / "run").items():
        length = 2 if epoch < 2 else 4
        of_length = Recipe(recipe.lr, 4, length, warmup_epochs=recipe.warmup_epochs)
        assert lr == pytest.approx(learning_rate(of_length, epoch))
    assert sorted(rates(tmp_path / "run")) == [0, 1, 2, 3]
    assert any(
        "was begun for 2 epochs and goes on to 4: epochs 3 to 4" in w for w in tuned.warnings
    )
    again = run("coop", data, tmp_path / "run", 4, resume=True)  # it is one of 4 epochs now
    assert any("was begun for 2 epochs" in w for w in again.warnings)
    with pytest.raises(CheckpointError, match=r"is of 4 epochs, and --extend is asked for 3; exp"):
        run("coop", data, tmp_path / "run", 3, resume=True, extend=True)


def test_extending_alone_is_refused_and_other_options_stay_those_of_the_run(data, tmp_path):
    with pytest.raises(DataError, match="`extend` needs `resume`"):
        run("coop", data, tmp_path / "run", 2, extend=True)
    run("coop", data, tmp_path / "run", 1)
    with pytest.raises(CheckpointError, match="the run there has lr = "):
        run("coop", data, tmp_path / "run", 2, resume=True, extend=True, lr=0.3)


def test_promptsrcs_average_of_an_extended_run_weighs_all_epochs_for_the_new_length(
    data, tmp_path, monkeypatch
):
    from ncscope.tuning import state

    states, save = [], state.Ongoing.save

    def keep(training, **how):
        states.append([leaf.detach().clone() for leaf in training.leaves])
        save(training, **how)

    monkeypatch.setattr(state.Ongoing, "save", keep)
    gpa = {"gpa_mean": 2.0, "gpa_std": 1.5}
    run("promptsrc", data, tmp_path / "run", 2, **gpa)
    tuned = run("promptsrc", data, tmp_path / "run", 3, resume=True, extend=True, **gpa)
    weights = epoch_weights(3, 2.0, 1.5)
    wanted = [
        sum((w * one[i] for w, one in zip(weights, states, strict=True)), torch.zeros(()))
        for i in range(len(states[0]))
    ]
    got = list(load_file(tmp_path / "run/checkpoint.safetensors").items())
    found = [value for key, value in got if "tokenized" not in key]
    by_shape = sorted(found, key=lambda v: (v.shape, float(v.sum())))
    for value, one in zip(
        by_shape, sorted(wanted, key=lambda v: (v.shape, float(v.sum()))), strict=True
    ):
        torch.testing.assert_close(value, one)
    assert tuned.config["epochs"] == 3


def test_the_factor_turns_weights_of_one_length_into_the_others_however_far_the_mean():
    for mean, std, before, after in ((15, 1, 20, 30), (600, 5, 5, 9), (30, 30, 50, 60)):
        recipe = Recipe(0.1, 1, after, gpa_mean=mean, gpa_std=std)
        old, new = epoch_weights(before, mean, std), epoch_weights(after, mean, std)
        factor = average_factor(before, recipe)
        assert [factor * w for w in old] == pytest.approx(new[:before], abs=1e-12)


def test_history_grows_only_where_the_length_changes_and_a_plain_run_has_nothing_to_say():
    assert history({"epochs": 3}, 3, 2) == []
    assert history({"epochs": 3, "extended_from": [[2, 2]]}, 5, 3) == [[2, 2], [3, 3]]
    assert said([], Recipe(0.1, 1, 3)) == ()
