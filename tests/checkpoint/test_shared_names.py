"""Trainers whose files are another method's in all but name: read as it, or refused."""

import pytest

from ncscope.checkpoint.inspect import inspect
from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests import learner_states as states
from tests import new_states
from tests.zoo.learners import case

TWO = states.Sizes(context=2)
SHARED = {
    "LoCoOp": ("CoOp", states.coop, "LOCOOP", ""),
    "NLPrompt": ("CoOp", states.coop, "NLPROMPT", ""),
    "CoOp_KDPL": ("CoOp", states.coop, "COOP", ""),
    "CoCoOp_KDPL": ("CoCoOp", states.cocoop, "COCOOP", ""),
    "MaPLe_KDPL": ("MaPLe", states.maple, "MAPLE", "a photo of a"),
    "PromptSRC_KDPL": ("PromptSRC", states.promptsrc, "PROMPTSRC", "a photo of a"),
    "VPT_KDPL": ("VPT", states.vpt, "VPT", "none"),
}


@pytest.mark.parametrize("trainer", SHARED)
def test_a_trainer_that_shares_keys_and_forward_pass_is_read_as_that_method(
    tmp_path, backbone, trainer
):
    method, make, section, before = SHARED[trainer]
    if before == "":
        state = case.prompted(make(case.SIZES), "X X X X")
    else:
        state = case.whole(make(TWO), before=None if before == "none" else before)
    settings = {"N_CTX": 4 if before == "" else 2, "PREC": "fp32"}
    log = {"section": section, "settings": settings}
    for name, said in (("a", trainer), ("b", trainer.removesuffix("_KDPL"))):
        case.save(tmp_path / name, state, trainer=said, **log)
    seen = inspect(tmp_path / "a")
    assert seen.method == method
    assert seen.log is not None
    assert seen.log.precision == "fp32"  # of the section that the trainer takes
    assert not any(trainer in warning for warning in seen.warnings), seen.warnings
    one, other = (
        load_learner(tmp_path / name, backbone=backbone).text_features(case.NEW) for name in "ab"
    )
    assert case.relative(one, other) == 0


@pytest.mark.parametrize("section", ["LOCOOP", "NLPROMPT"])
def test_the_class_token_position_is_that_of_their_own_section(tmp_path, backbone, section):
    trainer = {"LOCOOP": "LoCoOp", "NLPROMPT": "NLPrompt"}[section]
    state = case.prompted(states.coop(case.SIZES), "X X X X")
    rows = []
    for position in ("end", "front"):
        run = case.save(
            tmp_path / position, state, trainer=trainer, section=section,
            settings={"CLASS_TOKEN_POSITION": position},
        )  # fmt: skip
        learner = load_learner(run, backbone=backbone)
        assert learner.description["class_token_position"] == position
        rows.append(learner.text_features(case.NAMES))
    assert case.relative(rows[0], rows[1]) > 1e-4


@pytest.mark.parametrize(
    ("state", "model", "log"),
    [
        ({"ctx": states.coop(case.SIZES)["ctx"]}, "text_prompt_learner", {"log": None}),
        ({"ctx": states.coop(case.SIZES)["ctx"]}, "prompt_learner", {"trainer": "TAP"}),
        (new_states.tap_vision(case.SIZES), "vision_prompt_learner", {"log": None}),
    ],
)
def test_taps_context_is_not_read_as_coops(tmp_path, backbone, state, model, log):
    run = case.save(tmp_path, state, model=model, **log)
    with pytest.raises(CheckpointError, match="TAP is recognised but gives no features: its text"):
        load_learner(run, backbone=backbone)


def test_a_bare_context_with_nothing_that_says_tap_is_coops(tmp_path, backbone):
    run = case.save(tmp_path, {"ctx": states.coop(case.SIZES)["ctx"]}, log=None)
    assert load_learner(run, backbone=backbone).description["method"] == "CoOp"
