import pytest
import torch
from torch.testing import assert_close

from ncscope.errors import CheckpointError, DataError
from ncscope.zoo.learners.learner import conditioned
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.zoo.learners import case, reference

FEATURES = torch.randn(7, 32, generator=torch.Generator().manual_seed(2))
LABELS = torch.tensor([0, 1, 2, 3, 4, 1, -1])


@pytest.fixture
def run(tmp_path):
    state = case.prompted(learner_states.cocoop(case.SIZES), "X X X X")
    return case.save(tmp_path, state, trainer="CoCoOp", section="COCOOP"), state


def bias(state, feature):
    feature = reference.normalise(feature)
    hidden = reference.linear(feature, {k: v.float() for k, v in state.items()}, "meta_net.linear1")
    return reference.linear(
        hidden.clamp(min=0), {k: v.float() for k, v in state.items()}, "meta_net.linear2"
    )


def text(state, feature, names=case.NAMES):
    context = state["ctx"].float()
    if feature is not None:
        context = context + bias(state, feature)
    return case.reference_text(context, "X X X X", names)


def test_every_image_shifts_all_context_tokens(run, backbone):
    learner = load_learner(run[0], backbone=backbone, options=LearnerOptions(condition="per-image"))
    got = conditioned(learner, list(case.NAMES), FEATURES, LABELS)
    wanted = torch.stack([text(run[1], feature) for feature in FEATURES])
    assert case.relative(got, wanted) < 1e-5
    assert got.std(dim=0).mean() > 1e-4


def test_parts_of_the_images_give_the_same_features(run, backbone, monkeypatch):
    learner = load_learner(run[0], backbone=backbone, options=LearnerOptions(condition="per-image"))
    whole = conditioned(learner, list(case.NAMES), FEATURES, LABELS)
    monkeypatch.setattr("ncscope.zoo.learners.cocoop._PROMPTS_AT_ONCE", 11)
    assert_close(conditioned(learner, list(case.NAMES), FEATURES, LABELS), whole)


def test_mean_is_the_mean_direction_and_none_is_no_shift(run, backbone):
    learner = load_learner(run[0], backbone=backbone)
    assert learner.condition == "mean"
    mean = sum(feature / feature.norm() for feature in FEATURES) / len(FEATURES)
    got = conditioned(learner, list(case.NAMES), FEATURES, LABELS)
    assert case.relative(got, text(run[1], mean)) < 1e-5
    case.matches(learner, text(run[1], None), case.reference_image())
    none = load_learner(run[0], backbone=backbone, options=LearnerOptions(condition="none"))
    got = conditioned(none, list(case.NAMES), FEATURES, LABELS)
    assert_close(got, learner.text_features(case.NAMES))


def test_class_shifts_each_class_by_its_own_images(run, backbone):
    learner = load_learner(run[0], backbone=backbone, options=LearnerOptions(condition="class"))
    got = conditioned(learner, list(case.NAMES), FEATURES, LABELS)
    for k, name in enumerate(case.NAMES):
        own = [f / f.norm() for f, label in zip(FEATURES, LABELS, strict=True) if label == k]
        wanted = text(run[1], sum(own) / len(own), (name,))[0]
        assert case.relative(got[k], wanted) < 1e-5


def test_what_cannot_be_conditioned_is_refused(run, backbone):
    learner = load_learner(run[0], backbone=backbone, options=LearnerOptions(condition="class"))
    with pytest.raises(DataError, match="'7_spot ladybird' has none; use --condition mean"):
        conditioned(learner, list(case.NAMES), FEATURES[:4], LABELS[:4])
    with pytest.raises(DataError, match="needs image features; there are none"):
        conditioned(learner, list(case.NAMES), FEATURES[:0], LABELS[:0])
    with pytest.raises(CheckpointError, match="`condition` is 'some'; expected mean, class, none"):
        load_learner(run[0], backbone=backbone, options=LearnerOptions(condition="some"))


def test_attributes_are_not_shifted(tmp_path, backbone):
    state = learner_states.cocoop(case.SIZES) | learner_states.coop_atp(case.SIZES, words=1)
    rows = case.prompts_of("X X color X X X X")
    state |= {"token_prefix": rows[:, :1], "token_suffix": rows[:, 8:]}
    state["token_middle1"] = rows[:, 3:4]
    run = case.save(tmp_path, state, trainer="CoCoOp_ATP", section="COCOOP")
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(condition="per-image"))
    got = conditioned(learner, list(case.NAMES), FEATURES[:2], LABELS[:2])
    for feature, features in zip(FEATURES, got, strict=False):
        shifted = state["ctx"].float() + bias(state, feature)
        head = torch.cat([state["ctx_att1"].float(), rows[0, 3:4].float(), shifted])
        wanted = case.reference_text(head, "X X color X X X X")
        assert case.relative(features, wanted) < 1e-5
