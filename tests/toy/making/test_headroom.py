import pytest
import torch

from ncscope.clip.prompts import class_prompts
from ncscope.toy.making.headroom import (
    BEGINNING,
    Probe,
    Room,
    begin,
    halves,
    prompted,
    room_in,
    summarised,
    table,
    tune,
)
from ncscope.toy.model import load_toy_clip, provenance
from ncscope.toy.tasks import TASKS


@pytest.fixture(scope="module")
def toy():
    return load_toy_clip()


def test_the_context_begins_as_the_words_it_stands_for(toy):
    names = TASKS["fish"].classnames[:4]
    with torch.no_grad():
        learned = prompted(toy, names)(begin(toy))
        written = toy.encode_text(class_prompts(names, BEGINNING + " {}."))
    assert torch.allclose(learned, torch.nn.functional.normalize(written, dim=1), atol=1e-5)


def test_descent_lowers_the_loss_and_moves_nothing_but_its_own_copy(toy):
    names = TASKS["scenes"].classnames[:3]
    encode, start = prompted(toy, names), begin(toy)
    before = start.clone()
    targets = torch.tensor([0, 1, 2])
    with torch.no_grad():
        images = encode(start)[[1, 2, 0]]  # every image looks like the next class

    def loss(context):
        with torch.no_grad():
            return torch.nn.functional.cross_entropy(images @ encode(context).T, targets)

    by = Probe(steps=10, rate=0.05)
    tuned = tune(encode, start, images, targets, scale=torch.tensor(1.0), by=by)
    assert loss(tuned) < loss(start)
    assert torch.equal(start, before)


def test_no_steps_give_the_context_back(toy):
    room = room_in(toy, "textures", seed=1, by=Probe(steps=0, shots=1))
    assert min(room.base, room.tuned_base) > 100 / 6
    with torch.no_grad():
        names = TASKS["textures"].classnames
        encode = prompted(toy, names)
        kept = tune(encode, begin(toy), encode(begin(toy)), torch.arange(12),
                    scale=toy.logit_scale, by=Probe(steps=0))  # fmt: skip
    assert torch.equal(kept, begin(toy))


def test_halves_are_decided_among_themselves():
    logits = torch.eye(4)[[0, 1, 3, 2]] + 5 * torch.eye(4)[[2, 2, 0, 0]]
    assert halves(logits, torch.tensor([0, 1, 2, 3]), base=2) == (100.0, 0.0)


def test_a_summary_is_the_mean_over_seeds_and_the_deviation_of_the_gains():
    rooms = [Room("x", 1, 50, 60, 70, 60), Room("x", 2, 60, 60, 90, 50)]
    row = summarised(rooms)
    assert (row["base"], row["tuned_base"], row["new"], row["tuned_new"]) == (55, 80, 60, 55)
    assert row["base_gain_sd"] == pytest.approx(7.1)  # of 20 and 30
    last = table({"x": row}).splitlines()[-1]
    assert last == "| x | 55.0 / 60.0 | 80.0 / 55.0 | +25.0 (7.1) / -5.0 (7.1) |"


@pytest.mark.parametrize("tau", ["tau 1", "tau 0.06"])
def test_the_recorded_room_is_of_every_task_on_tuning_images(tau):
    recorded = provenance()["headroom"][tau]
    assert recorded["space"] == "tuning"
    assert set(recorded["tasks"]) == set(TASKS)
    assert max(row["tuned_base"] for row in recorded["tasks"].values()) < 98


def test_balanced_tuning_has_room_on_most_tasks():
    tasks = provenance()["headroom"]["tau 1"]["tasks"].values()
    assert sum(row["tuned_base"] - row["base"] > 2 for row in tasks) >= 8  # of eleven


def test_the_weights_give_the_recorded_room(toy):
    room = room_in(toy, "fish", seed=1, by=Probe())
    recorded = provenance()["headroom"]["tau 1"]["tasks"]["fish"]
    # one seed of the three whose mean was recorded
    assert room.gain("base") == pytest.approx(recorded["tuned_base"] - recorded["base"], abs=6)
