import pytest

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.dassl_files import save_dassl
from tests.parity.mixed import dpc
from tests.zoo.learners import case


def test_without_a_mode_it_is_read_as_it_is_with_a_warning(tmp_path, backbone):
    state = case.prompted(learner_states.coop(case.SIZES), "X X X X")
    run = case.save(tmp_path, state, trainer="StackSPLE_CoOp")
    learner = load_learner(run, backbone=backbone)
    wanted = case.reference_text(state["ctx"], "X X X X", case.NEW)
    case.matches(learner, wanted, case.reference_image(), names=case.NEW)
    assert any("`ctx` is taken as it is" in w for w in learner.description["warnings"])


def test_converse_needs_the_base_prompt_and_others_only_for_new_classes(tmp_path, backbone):
    wanted = dpc(tmp_path / "converse", mode="loop+converse")
    with pytest.raises(CheckpointError, match=r"mode converse un-mixes its prompt .* --base CHECK"):
        load_learner(wanted.run, backbone=backbone)
    wanted = dpc(tmp_path / "void", mode="void")
    assert wanted.text is not None
    learner = load_learner(wanted.run, backbone=backbone)
    assert case.relative(learner.text_features(case.NAMES), wanted.text(case.NAMES)) < 1e-5
    assert any("new classes get it, too" in w for w in learner.description["warnings"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "simple+converse"}, "SPLE.STACK.MODE is 'simple.converse'; expected converse or"),
        ({"weight": 0}, "SPLE.STACK.WEIGHT is 0, by which mode converse divides"),
        ({"weight": "half"}, "SPLE.STACK.WEIGHT is 'half'; expected a number"),
    ],
)
def test_settings_that_make_no_prompt_are_refused(tmp_path, backbone, changes, said):
    wanted = dpc(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=said):
        load_learner(wanted.run, backbone=backbone, options=LearnerOptions(**wanted.options))


def test_a_base_prompt_of_another_length_is_refused(tmp_path, backbone):
    wanted = dpc(tmp_path)
    other = learner_states.coop(learner_states.Sizes(context=2))
    base = save_dassl(tmp_path / "other" / "model.pth.tar-50", other)
    with pytest.raises(CheckpointError, match=r"`ctx` is \(2, 64\); expected \(4, 64\)"):
        load_learner(wanted.run, backbone=backbone, options=LearnerOptions(base=base))
