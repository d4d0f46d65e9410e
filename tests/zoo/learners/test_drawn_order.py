import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import conditioned
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import new_states
from tests.learner_states import anchoropt_anchor
from tests.zoo.learners import case, new_runs, reference
from tests.zoo.learners.test_maple import parts

FIVE = "X X X X X"  # five tokens where the authors' ids have four: they read one early


def order(scores):
    return [int(row.half().argmax()) for row in scores]


def test_the_context_is_shifted_by_the_image_and_the_anchor_is_not(tmp_path, backbone):
    state = case.prompted(new_states.cocoop_anchoropt(case.SIZES), "X X X X")
    run = new_runs.anchored(tmp_path)
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(condition="per-image"))
    assert learner.description["method"] == "CoCoOp_AnchorOPT"
    anchor = anchoropt_anchor(case.SIZES)["anchor_ctx_1"].float()
    places = order(state["ctx_pos_params"])
    floats = {key: value.float() for key, value in state.items()}
    features = case.reference_image()
    rows = conditioned(learner, list(case.NEW), features, torch.tensor([-1, -1, -1]))
    for feature, own in zip(features, rows, strict=True):
        hidden = reference.linear(reference.normalise(feature), floats, "meta_net.linear1")
        shift = reference.linear(hidden.clamp(min=0), floats, "meta_net.linear2")
        head = torch.cat([floats["ctx"] + shift, anchor])[places]
        assert case.relative(own, case.reference_text(head, FIVE, case.NEW, early=1)) < 1e-5
    head = torch.cat([floats["ctx"], anchor])[places]
    plain = case.reference_text(head, FIVE, early=1)
    case.matches(learner, plain, features)
    assert any("draws one at random" in w for w in learner.description["warnings"])


def test_without_its_anchor_it_asks_for_it(tmp_path, backbone):
    state = case.prompted(new_states.cocoop_anchoropt(case.SIZES), "X X X X")
    run = case.save(tmp_path, state, trainer="CoCoOp_AnchorOPT", section="COCOOP")
    with pytest.raises(CheckpointError, match=r"needs its anchor, too; .*--base CHECKPOINT"):
        load_learner(run, backbone=backbone)


def scores(places, count):
    """Parameters whose likeliest order is `places`."""
    table = torch.full((count, count), -1.0)
    for row, place in enumerate(places):
        table[row, place] = 1.0
    return table


@pytest.mark.parametrize(
    "places",
    [[0, 1, 2, 3, 4], [4, 0, 1, 2, 3], [2, 1, 4, 0, 3], [0, 0, 1, 2, 3], [4, 1, 4, 2, 3]],
)
def test_deep_prompts_take_the_places_of_the_order(tmp_path, backbone, places):
    """The anchor last, first, in the middle, nowhere, and in two places."""
    state = new_states.maple_anchoropt(case.SIZES)
    state["prompt_learner.ctx_pos_params"] = scores(places, 5)
    state = case.prompted(state, "X X X X", prefix="prompt_learner.")
    log = {"trainer": "MaPLe_AnchorOPT", "section": "MAPLE"}
    learner = load_learner(case.save(tmp_path, state, **log), backbone=backbone)
    assert learner.description["method"] == "MaPLe_AnchorOPT"
    context, deep, images = parts(state)
    anchor = state["anchor_prompt_learner.anchor_ctx_1"].float()
    head = torch.cat([context.float(), anchor])[places]
    rows = [row for row, place in enumerate(places) if place == 4]

    def change(when, i, x, _x_in):
        if when == "after" or not 1 <= i <= len(deep):
            return x
        new = x.clone()
        for row, place in enumerate(places):
            new[1 + row] = deep[i - 1][place] if place < 4 else x[rows[0]]
        return new

    image_change = reference.replace_image(images[1:])
    image = case.reference_image(appended=images[0], change=image_change)
    for names in (case.NAMES, case.NEW):
        text = case.reference_text(head, FIVE, names, change=change, early=1)
        case.matches(learner, text, image, names=names)


def test_scores_that_are_equal_in_half_precision_give_the_first_place(tmp_path, backbone):
    learners = []
    for name, more in (("a", 0.0), ("b", 1e-5)):
        state = new_states.maple_anchoropt(case.SIZES)
        table = scores([0, 1, 2, 3, 4], 5)
        table[0, 3] = 1.0 + more
        state["prompt_learner.ctx_pos_params"] = table
        state = case.prompted(state, "X X X X", prefix="prompt_learner.")
        run = case.save(tmp_path / name, state, trainer="MaPLe_AnchorOPT")
        learners.append(load_learner(run, backbone=backbone))
    first, second = (each.text_features(case.NAMES) for each in learners)
    assert torch.equal(first, second)
