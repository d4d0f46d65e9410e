import pytest

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests import new_states
from tests.learner_states import Sizes
from tests.zoo.learners import case
from tests.zoo.learners.test_ivlp import half_towers, image, text


def test_the_first_head_is_that_of_the_plain_pass_and_is_named(tmp_path, backbone):
    state = case.whole(new_states.surpl(Sizes(context=2)), before="a photo of a")
    run = case.save(tmp_path, half_towers(state), trainer="SurPL", section="IVLP")
    learner = load_learner(run, backbone=backbone)
    assert learner.description["method"] == "SurPL"
    case.matches(learner, text(state, "a photo of a"), image(state))
    case.matches(learner, text(state, "a photo of a", case.NEW), image(state), names=case.NEW)
    said = [w for w in learner.description["warnings"] if "first head" in w]
    assert said == ["SurPL: features of the first head; the method averages the scores of three"]


def test_other_heads_of_another_kind_are_refused(tmp_path, backbone):
    state = case.whole(new_states.surpl(Sizes(context=2)), before="a photo of a")
    state["fg_signals"] = state["fg_signals"][0]
    run = case.save(tmp_path, state, trainer="SurPL", section="IVLP")
    with pytest.raises(CheckpointError, match=r"`fg_signals` is \(32,\); expected \(r, c\)"):
        load_learner(run, backbone=backbone)
