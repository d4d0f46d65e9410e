"""The loop on a small CLIP, in memory: how it stops, and what runs out."""

import math
from dataclasses import replace

import pytest
import torch

from ncscope.errors import DataError, NcscopeError
from ncscope.tuning import evaluate, train
from ncscope.tuning import state as ongoing
from ncscope.tuning.forms import Objective
from ncscope.tuning.state import read_state, write_state
from tests.tuning import cases


def run(backbone, method="coop", *, epochs=3, lr=0.01, folder=None, eval_every=0, **options):
    recipe = replace(
        cases.short_recipe(method, backbone), epochs=epochs, lr=lr, batch_size=4, ctx=4
    )
    setting = cases.setting(method, backbone, recipe=recipe, **options)
    images = cases.painted((2, 0, 1))
    labels = torch.tensor([0, -1, 2])
    split = evaluate.TestSplit("all", images, None, labels)
    return ongoing.Run(
        setting, recipe, seed=1, splits=[split], eval_every=eval_every, log_every=1, folder=folder
    )


@pytest.mark.parametrize("method", ["coop", "cocoop", "maple", "promptsrc"])
def test_training_lowers_the_loss_of_the_training_images(backbone, method):
    found = train.train(run(backbone, method, epochs=8))
    steps = [event["ce"] for event in found.log.events if event["event"] == "step"]
    assert len(steps) == 16
    assert sum(steps[-4:]) < sum(steps[:4])


def test_every_step_is_logged_with_its_terms_their_norms_and_the_rate(backbone):
    objective = Objective(lcd_weight=0.1, mid_weight=0.1)
    found = train.train(run(backbone, epochs=2, objective=objective))
    steps = [event for event in found.log.events if event["event"] == "step"]
    assert [event["step"] for event in steps] == [0, 1, 2, 3]
    assert {"ce", "lcd", "mid"} <= set(steps[0])
    assert set(steps[0]["grad"]) == {"ce", "lcd", "mid"}
    assert [event["lr"] for event in steps] == [1e-5, 1e-5, 0.01, 0.01]


@pytest.mark.parametrize("method", ["coop", "maple"])
def test_single_images_a_step_are_centred_about_all_training_images_from_the_first(
    backbone, method
):
    objective = Objective(mid_weight=0.1, centred=True)
    plan = run(backbone, method, epochs=1, objective=objective)
    plan = replace(plan, recipe=replace(plan.recipe, batch_size=1))
    found = train.train(plan)
    steps = [event for event in found.log.events if event["event"] == "step"]
    assert len(steps) == 8
    assert all(0 < event["mid"] < 2 for event in steps)


def test_unlabelled_images_and_classes_without_any_are_measured_as_far_as_they_go(backbone):
    found = train.train(run(backbone, eval_every=2))
    evaluations = [event for event in found.log.events if event["event"] == "eval"]
    assert [event["step"] for event in evaluations] == [0, 2, 4, 6]
    assert evaluations[0]["all"]["delta_mid"]["raw"] is None
    assert 0 < evaluations[0]["all"]["delta_lcd"]["raw"] < 2
    means = found.trajectory.tensors()["trajectory.image_mean"]
    assert means.shape == (4, 3, backbone.width)
    assert not means[:, 1].any()


@pytest.mark.parametrize("eval_every", [0, 1])
def test_divergence_is_one_line_and_keeps_the_last_good_state(backbone, tmp_path, eval_every):
    with pytest.raises(NcscopeError, match=r"diverged in epoch \d.*the state after epoch \d.*--lr"):
        train.train(run(backbone, lr=1e30, epochs=6, folder=tmp_path, eval_every=eval_every))
    state = read_state(tmp_path / "state.safetensors")
    assert state.epoch >= 1
    assert all(float(v.double().abs().max()) < 1e6 for v in state.tensors.values())


class Clock:
    """A second an epoch, and `writing` seconds a state."""

    def __init__(self, monkeypatch, *, writing):
        self.now, self.epochs, self.states = 0.0, 0, []

        def write(state, path):
            self.states.append(state.epoch)
            self.now += writing
            write_state(state, path)

        def epoch(training):
            self.now += 1
            one_epoch(training)

        one_epoch = train._one_epoch
        monkeypatch.setattr(ongoing, "monotonic", lambda: self.now)
        monkeypatch.setattr(ongoing, "write_state", write)
        monkeypatch.setattr(train, "_one_epoch", epoch)


@pytest.mark.parametrize(
    ("writing", "states"),
    [
        (0.04, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (0.14, [1, 4, 7, 9]),  # twenty times what it takes, and then the end of an epoch
        (100, [1, 9]),
    ],
)
def test_states_take_a_twentieth_of_the_time_and_the_first_and_last_are_always_there(
    backbone, tmp_path, monkeypatch, writing, states
):
    clock = Clock(monkeypatch, writing=writing)
    train.train(run(backbone, epochs=9, folder=tmp_path))
    assert clock.states == states
    assert read_state(tmp_path / "state.safetensors").epoch == 9


def test_a_run_goes_on_from_a_state_of_epochs_ago_to_the_same_numbers(
    backbone, tmp_path, monkeypatch
):
    whole = train.train(run(backbone, epochs=5, folder=tmp_path / "whole"))
    Clock(monkeypatch, writing=0.08)  # states after epochs 1, 3 and 5
    plan = run(backbone, epochs=5, folder=tmp_path / "cut")

    def cut(event):
        if event["event"] == "step" and event["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.train(replace(plan, listener=cut))
    assert read_state(tmp_path / "cut" / "state.safetensors").epoch == 1
    again = replace(run(backbone, epochs=5, folder=tmp_path / "cut"), resume=True)
    ended = train.train(again)
    texts = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "cut")]
    assert texts[0] == texts[1]
    assert ended.steps == whole.steps


def test_a_run_that_diverged_names_the_state_that_is_there(backbone, tmp_path, monkeypatch):
    Clock(monkeypatch, writing=100)
    plan = run(backbone, epochs=5, folder=tmp_path)

    def spoil(event):
        if event["event"] == "step" and event["epoch"] == 3:
            plan.setting.leaves[0].detach().fill_(torch.nan)

    with pytest.raises(NcscopeError, match=r"in epoch 4: .* holds the state after epoch 1;"):
        train.train(replace(plan, listener=spoil))


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_knobs(backbone, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(train, "step_gradients", full)
    with pytest.raises(DataError, match="--batch-size or a larger --accumulate"):
        train.train(run(backbone))


def test_other_errors_of_torch_are_not_called_a_lack_of_memory(backbone, monkeypatch):
    def wrong(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(train, "step_gradients", wrong)
    with pytest.raises(RuntimeError, match="mat1"):
        train.train(run(backbone))


def test_promptsrc_ends_in_the_gaussian_average_of_its_epochs(backbone, monkeypatch):
    plan = run(backbone, "promptsrc", epochs=4)
    plan = replace(plan, recipe=replace(plan.recipe, gpa_mean=3.0, gpa_std=2.0))
    states = []
    save = ongoing.Ongoing.save

    def keep(training, **how):
        states.append([leaf.detach().clone() for leaf in training.leaves])
        save(training, **how)

    monkeypatch.setattr(ongoing.Ongoing, "save", keep)
    train.train(plan)
    bell = [math.exp(-(((epoch - 3) / 2) ** 2) / 2) for epoch in range(1, 5)]
    for i, leaf in enumerate(plan.setting.leaves):
        mean = sum(w * state[i] for w, state in zip(bell, states, strict=True)) / sum(bell)
        torch.testing.assert_close(leaf.detach(), mean)
