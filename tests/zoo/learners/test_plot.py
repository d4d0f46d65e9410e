import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests import learner_states
from tests.zoo.learners import case
from tests.zoo.learners.test_coop import reference_text


def with_names(state, prefix=""):
    rows = case.prompts_of("X X X X").repeat(4, 1, 1)
    fixed = {f"{prefix}token_prefix": rows[:, :1], f"{prefix}token_suffix": rows[:, 5:]}
    return {**state, **fixed}


@pytest.mark.parametrize("position", ["end", "front"])
def test_text_features_are_means_over_the_prompts(tmp_path, backbone, position):
    state = with_names(learner_states.plot(case.SIZES))
    settings = {"CLASS_TOKEN_POSITION": position}
    run = case.save(tmp_path, state, trainer="PLOT", section="PLOT", settings=settings)
    learner = load_learner(run, backbone=backbone)
    for names in (case.NAMES, case.NEW):
        wanted = [reference_text(context, names, position) for context in state["ctx"]]
        case.matches(learner, torch.stack(wanted).mean(0), case.reference_image(), names=names)
    assert any("optimal transport" in warning for warning in learner.description["warnings"])


def test_plotpp_also_averages_over_image_prompts(tmp_path, backbone):
    state = learner_states.plotpp(case.SIZES)
    towers = {
        key.replace("text_encoder.", "text_encoder.module."): value
        for key, value in case.towers().items()
    }
    state = with_names({**state, **towers}, "prompt_learner.")
    run = case.save(tmp_path, state, trainer="PLOTPP", section="PLOTPP")
    learner = load_learner(run, backbone=backbone)
    contexts = state["prompt_learner.ctx"]
    text = torch.stack([reference_text(context, case.NAMES, "end") for context in contexts])
    prompts = state["prompt_learner.ctx_vision"].float()
    image = torch.stack([case.reference_image(appended=prompt) for prompt in prompts])
    case.matches(learner, text.mean(0), image.mean(0))


def test_phrases_of_other_lengths_are_cut_as_the_authors_cut_them(tmp_path, backbone):
    phrases = ("X X X X", "X X X X of", "X X X X of a", "X X X")  # the last loses a piece of names
    rows = torch.cat([case.prompts_of(phrase) for phrase in phrases])
    own = {"prompt_learner.token_prefix": rows[:, :1], "prompt_learner.token_suffix": rows[:, 5:]}
    state = {**case.whole(learner_states.plotpp(case.SIZES)), **own}
    towers = case.towers().items()
    state |= {key.replace("text_encoder.", "text_encoder.module."): v for key, v in towers}
    run = case.save(tmp_path, state, trainer="PLOTPP", section="PLOTPP")
    learner = load_learner(run, backbone=backbone)
    pairs = zip(state["prompt_learner.ctx"], phrases, strict=True)
    text = torch.stack([case.reference_text(context, phrase) for context, phrase in pairs])
    assert case.relative(learner.text_features(case.NAMES), text.mean(0)) < 1e-5
    assert learner.classnames is not None
    assert learner.classnames[0] == "cat"
    with pytest.raises(CheckpointError, match=r"phrases of different lengths.*'sea otter', 'bus'"):
        learner.text_features(case.NEW)
