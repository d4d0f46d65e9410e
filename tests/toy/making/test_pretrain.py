import dataclasses

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from ncscope.toy.making.evaluate import evaluate_task, record
from ncscope.toy.making.lessons import Curriculum, new_heads, supervised_loss
from ncscope.toy.making.pretrain import BEFORE, UNDO, finish, pair_features, train
from ncscope.toy.making.shipping import Geometry
from ncscope.toy.model import load_toy_clip, provenance
from ncscope.toy.world import FACTORS

TINY = Curriculum(
    pool=64,
    batch=16,
    width=64,
    layers=1,
    distractors=10,
    warm_up_steps=3,
    contrastive_steps=3,
    settling_steps=2,
    threads=1,
)


def quiet(_line):
    pass


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, *train(TINY, folder, say=quiet)


@pytest.mark.parametrize("stop", [2, 4, 6, 7])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(run, tmp_path, stop):
    _, whole, _, log = run
    train(TINY, tmp_path, stop_after=stop, say=quiet)
    resumed, _, log_resumed = train(TINY, tmp_path, resume=True, say=quiet)
    assert [row["step"] for row in log_resumed] == [row["step"] for row in log]
    for name, tensor in whole.items():
        assert_close(resumed[name], tensor, atol=1e-8, rtol=0, msg=name)


def test_the_stages_follow_one_another():
    stages = [TINY.stage(step) for step in range(TINY.steps)]
    assert stages == [1, 1, 1, 2, 2, 2, 3, 3]


def test_the_learning_rate_rises_into_each_stage_and_falls_in_the_second():
    plan = Curriculum()
    first, second = plan.warm_up_steps, plan.warm_up_steps + plan.contrastive_steps
    assert plan.learning_rate(0) == pytest.approx(plan.rate / 150)
    assert plan.learning_rate(first - 1) == plan.rate
    assert plan.learning_rate(first) == pytest.approx(plan.rate / 120)
    assert plan.learning_rate(second - 1) == pytest.approx(0.02 * plan.rate, rel=0.01)
    assert plan.learning_rate(plan.steps - 1) == plan.settling_rate


def test_the_supervised_loss_of_perfect_heads_is_small_and_all_is_right():
    heads = {name: torch.zeros_like(head) for name, head in new_heads(64, 0).items()}
    offset, labels, state = 0, {}, torch.zeros(4, 256)
    heads = {name: torch.zeros(len(values), 256) for name, values in FACTORS.items()}
    for name, values in FACTORS.items():
        heads[f"head.{name}"] = torch.zeros(len(values), 256)
        for value in range(len(values)):
            heads[f"head.{name}"][value, offset + value] = 20.0
        labels[name] = torch.tensor([0, 1, 2, 0])
        state[torch.arange(4), offset + labels[name]] = 1.0
        offset += len(values)
    loss, right = supervised_loss(heads, state, labels)
    assert right == dict.fromkeys(FACTORS, 1.0)
    worse, wrong = supervised_loss(heads, -state, labels)
    assert loss < worse
    assert wrong["shape"] == 0.0


def test_the_installation_can_be_undone(run):
    folder, _, lessons, _ = run
    undo, before = load_file(folder / UNDO), load_file(folder / BEFORE)
    assert set(undo) == {"shift.text", "shift.image", "plain_logit_scale"}
    assert_close(undo["plain_logit_scale"], before["logit_scale"])
    assert len(pair_features(before, lessons)["text"]) == 8 * TINY.batch


def test_what_is_shipped_can_be_loaded_evaluated_and_recorded(run):
    folder, weights, lessons, log = run
    finish(folder, weights, lessons, curriculum=TINY, log=log)
    backbone = load_toy_clip(folder=folder)
    made = provenance(folder)
    assert made["geometry"] == "installed"
    assert made["curriculum"] == dataclasses.asdict(TINY)
    assert made["word_pieces"] == len(lessons.pieces)
    assert set(made["geometry_on_pretraining_pairs"]["settled"]) == {
        field.name for field in dataclasses.fields(Geometry)
    }
    row = evaluate_task(backbone, "textures", per_class=2)
    record(folder, [row], seed=0, per_class=2)
    assert provenance(folder)["evaluation"]["tasks"]["textures"]["classes"] == 12


def test_no_temporary_file_is_left(run):
    folder, *_ = run
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
