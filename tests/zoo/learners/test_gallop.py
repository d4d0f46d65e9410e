import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from tests import new_states
from tests.zoo.learners import case, new_runs, reference


def text(state, names):
    """The mean direction over the prompts: start-of-text, context, the name alone, end-of-text."""
    ids = case.token_ids(list(names))
    rows, eot = case.state()["token_embedding.weight"][ids], ids.argmax(dim=1).tolist()
    features = []
    for context in state["global_prompt"]:
        count = len(context)
        head = context.float().expand(len(rows), -1, -1)
        prompts = torch.cat([rows[:, :1], head, rows[:, 1 : 77 - count]], dim=1)
        ends = [place + count for place in eot]
        row = reference.text_forward(case.state(), prompts, ends, heads=case.TEXT_HEADS)
        features.append(reference.normalise(row))
    return torch.stack(features).mean(dim=0)


def test_features_are_those_of_the_plain_pass(tmp_path, backbone):
    state = new_states.gallop(case.SIZES)
    learner = load_learner(new_runs.gallop(tmp_path, state), backbone=backbone)
    assert learner.description["method"] == "GalLoP"
    for names in (case.NAMES, case.NEW, ["grey seal"]):
        case.matches(learner, text(state, names), case.reference_image(), names=names)
    assert any("global prompts; the method averages" in w for w in learner.description["warnings"])


def test_an_underscore_in_a_name_is_kept_as_the_authors_do(tmp_path, backbone):
    learner = load_learner(new_runs.gallop(tmp_path), backbone=backbone)
    rows = learner.text_features(["grey_seal", "grey seal"])
    assert case.relative(rows[0], rows[1]) > 1e-4


def test_local_prompts_alone_are_refused_with_the_reason(tmp_path, backbone):
    state = new_states.gallop(case.SIZES)
    del state["global_prompt"]
    with pytest.raises(CheckpointError, match="no `global_prompt`: this GalLoP learned local"):
        load_learner(new_runs.gallop(tmp_path, state), backbone=backbone)


def test_a_name_without_a_word_is_refused(tmp_path, backbone):
    learner = load_learner(new_runs.gallop(tmp_path), backbone=backbone)
    with pytest.raises(CheckpointError, match="class name ' ' has no word in it"):
        learner.text_features(["cat", " "])
