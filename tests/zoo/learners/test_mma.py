import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.zoo.learners import case, reference


def adapters(state, side, tower, scale):
    """Beside each adapted block: up(relu(shared(relu(down(ln_1(x))))))."""

    def change(when, i, x, x_in):
        layer = i + 1
        if when == "before" or f"{side}_adapter.{layer}.up.weight" not in state:
            return x
        normed = reference.norm(x_in, case.state(), f"{tower}resblocks.{i}.ln_1")
        inner = reference.linear(normed, state, f"{side}_adapter.{layer}.down.0").clamp(min=0)
        inner = reference.linear(inner, state, f"shared_adapter.{layer}.0").clamp(min=0)
        return x + scale * reference.linear(inner, state, f"{side}_adapter.{layer}.up")

    return change


def mma():
    state = learner_states.mma(case.SIZES)
    for key in state:
        if "adapter" in key:
            state[key] = state[key] * 10  # so that they matter
    ids = case.token_ids([f"a photo of a {text}" for text in case.sentences(case.NAMES)])
    rows = case.prompts_of("a photo of a")
    return {**state, "tokenized_prompts": ids, "token_embedding": rows}


RUN = {"trainer": "MultiModalAdapter", "section": "MMADAPTER"}


def test_features_are_those_of_the_plain_pass(tmp_path, backbone):
    state = mma()
    settings = {"ADAPTER_SCALE": 0.5, "TEXT_CTX_INIT": "a photo of a"}
    run = case.save(tmp_path, state, settings=settings, **RUN)
    learner = load_learner(run, backbone=backbone)
    change = adapters(state, "text", "transformer.", 0.5)
    image = case.reference_image(change=adapters(state, "visual", "visual.transformer.", 0.5))
    for names in (case.NAMES, case.NEW):
        text = case.reference_text(torch.zeros(0, 64), "a photo of a", names, change=change)
        case.matches(learner, text, image, names=names)
    assert learner.classnames is not None
    assert learner.classnames[1] == "grey seal"


@pytest.mark.parametrize("logged", [False, True])
def test_the_scale_is_asked_for_where_no_log_says_it(tmp_path, backbone, logged):
    log = {"settings": {"TEXT_CTX_INIT": "a photo of a"}, **RUN} if logged else {"log": None}
    run = case.save(tmp_path, mma(), model="prompt_learner", **log)
    with pytest.raises(
        CheckpointError, match=r"no log.txt says it \(ADAPTER_SCALE\); give it: --ad"
    ):
        load_learner(run, backbone=backbone)


@pytest.mark.parametrize("words", ["", "itap of a"])
def test_new_classes_are_written_as_the_log_says(tmp_path, backbone, words):
    ids = case.token_ids([f"{words} {text}".strip() for text in case.sentences(case.NAMES)])
    state = {**mma(), "token_embedding": case.prompts_of(words), "tokenized_prompts": ids}
    settings = {"ADAPTER_SCALE": 0.5, "TEXT_CTX_INIT": words}
    learner = load_learner(case.save(tmp_path, state, settings=settings, **RUN), backbone=backbone)
    change = adapters(state, "text", "transformer.", 0.5)
    for names in (case.NAMES, case.NEW):
        wanted = case.reference_text(torch.zeros(0, 64), words, names, change=change)
        assert case.relative(learner.text_features(names), wanted) < 1e-5
    assert learner.classnames is not None
    assert learner.classnames[1] == "grey seal"


def test_the_scale_changes_the_image_digest(tmp_path, backbone):
    run = case.save(tmp_path, mma(), log=None)
    first, second = (
        load_learner(run, backbone=backbone, options=LearnerOptions(adapter_scale=s))
        for s in (0.1, 0.2)
    )
    assert first.image_digest != second.image_digest


def test_an_adapter_without_its_shared_part_is_refused(tmp_path, backbone):
    state = {k: v for k, v in mma().items() if k != "shared_adapter.3.0.weight"}
    with pytest.raises(CheckpointError, match=r"no `shared_adapter.3.0.weight`, which MMA needs"):
        load_learner(
            case.save(tmp_path, state, log=None),
            backbone=backbone,
            options=LearnerOptions(adapter_scale=0.1),
        )
