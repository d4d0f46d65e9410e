import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.learner_states import Sizes
from tests.zoo.learners import case, reference

TWO = Sizes(context=2)


def deep(state, side):
    keys = sorted(k for k in state if k.startswith(f"{side}_encoder") and "VPT_shallow" in k)
    return [state[key].half().float() for key in keys]


def image(state):
    change = reference.replace_image(deep(state, "image"))
    shallow = state["image_encoder.VPT"].half().float()
    return case.reference_image(appended=shallow, change=change)


def text(state, before, names=case.NAMES):
    change = reference.replace_text(deep(state, "text"))
    return case.reference_text(state["prompt_learner.ctx"], before, names, change=change)


def half_towers(state):
    """The file's image tower in half precision, which is how the authors' precision is known."""
    state["image_encoder.conv1.weight"] = state["image_encoder.conv1.weight"].half()
    return state


@pytest.mark.parametrize(
    ("trainer", "sizes", "make", "before"),
    [
        ("IVLP", TWO, learner_states.ivlp, "a photo of a"),
        ("PromptSRC", Sizes(), learner_states.promptsrc, "a photo of a"),
        ("ProMetaR", Sizes(), learner_states.promptsrc, "a photo of a"),
    ],
)
def test_features_are_those_of_the_plain_pass(tmp_path, backbone, trainer, sizes, make, before):
    state = case.whole(make(sizes), before=before)
    run = case.save(
        tmp_path, state, trainer=trainer, section=trainer.upper(), model="VLPromptLearner"
    )
    learner = load_learner(run, backbone=backbone)
    assert learner.description["method"] == trainer
    case.matches(learner, text(state, before), image(state))
    case.matches(learner, text(state, before, case.NEW), image(state), names=case.NEW)


def test_language_only_leaves_the_image_tower_alone(tmp_path, backbone):
    state = case.whole(learner_states.ivlp_language(TWO), before="a photo of a")
    run = case.save(tmp_path, state, trainer="IVLP", section="IVLP", log=None)
    learner = load_learner(run, backbone=backbone)
    case.matches(learner, text(state, "a photo of a"), case.reference_image())
    assert learner.image_digest == backbone.image_digest


def test_vpt_has_written_text_prompts(tmp_path, backbone):
    state = half_towers(case.whole(learner_states.vpt(TWO)))
    run = case.save(tmp_path, state, trainer="VPT", section="VPT")
    learner = load_learner(run, backbone=backbone)
    rows, eot = case.embedded(
        [f"a photo of a {text}" for text in case.sentences(case.NAMES)], dtype=torch.float32
    )
    wanted = reference.text_forward(case.state(), rows, eot, heads=case.TEXT_HEADS)
    case.matches(learner, wanted, image(state))
    assert learner.classnames is None
    other = load_learner(run, backbone=backbone, options=LearnerOptions(template="itap of a {}."))
    assert not torch.allclose(other.text_features(["cat"]), learner.text_features(["cat"]))


def test_a_gap_between_prompted_blocks_is_refused(tmp_path, backbone):
    state = case.whole(learner_states.ivlp(TWO), before="a photo of a")
    del state["text_encoder.transformer.resblocks.1.VPT_shallow"]
    run = case.save(tmp_path, state, trainer="IVLP", section="IVLP")
    with pytest.raises(CheckpointError, match=r"text prompts are of blocks \[2\]; expected 1, 2"):
        load_learner(run, backbone=backbone)
