import pytest

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests import learner_states
from tests.learner_states import Sizes
from tests.zoo.learners import case
from tests.zoo.learners.test_maple import RUN, sides


def test_dept_over_coop_has_coops_features(tmp_path, backbone):
    state = case.whole(learner_states.dept(case.SIZES), before="X X X X")
    run = case.save(tmp_path, state, trainer="ExtrasLinearProbeCoOp", model="PromptLearner")
    learner = load_learner(run, backbone=backbone)
    wanted = case.reference_text(state["prompt_learner.ctx"], "X X X X")
    case.matches(learner, wanted, case.reference_image())
    assert learner.description["method"] == "DePT over CoOp"
    assert learner.description["linear_probe"] == [5, 32]
    assert any("linear probe on image features" in w for w in learner.description["warnings"])


def test_dept_over_maple_has_maples_features(tmp_path, backbone):
    sizes = Sizes(context=2)
    state = case.whole(learner_states.dept_maple(sizes), before="a photo of a")
    run = case.save(tmp_path, state, model=RUN["model"], log=None)
    learner = load_learner(run, backbone=backbone)
    case.matches(learner, *sides(state, "a photo of a"))


def test_dept_over_what_gives_no_features_is_refused(tmp_path, backbone):
    state = learner_states.dept(case.SIZES, over=learner_states.hicropl(case.SIZES))
    with pytest.raises(CheckpointError, match="DePT is put on HiCroPL, which gives no features"):
        load_learner(
            case.save(tmp_path, case.whole(state, before="X X X X"), log=None), backbone=backbone
        )
