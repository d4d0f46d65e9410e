import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.learner_states import candle
from tests.zoo.learners import case, new_runs, reference


def written(names, template="a photo of a {}, a type of pet."):
    rows, eot = case.embedded(
        [template.replace("{}", text) for text in case.sentences(names, "")], dtype=torch.float32
    )
    return reference.text_forward(case.state(), rows, eot, heads=case.TEXT_HEADS)


def test_the_first_head_is_two_projections(tmp_path, backbone):
    state = {key: value.float() for key, value in candle(case.SIZES).items()}
    named = LearnerOptions(classnames=case.NAMES)
    learner = load_learner(new_runs.candle_run(tmp_path), backbone=backbone, options=named)
    image = case.reference_image() @ state["head.proj_image"]
    case.matches(learner, state["text_features"] @ state["head.proj_text"], image)
    rows = learner.text_features(["oak_tree", "cat"])
    assert case.relative(rows, (state["text_features"] @ state["head.proj_text"])[[2, 0]]) < 1e-6
    new = written(case.NEW) @ state["head.proj_text"]
    case.matches(learner, new, image, names=case.NEW)
    assert learner.image_digest != backbone.image_digest
    assert any("first head" in warning for warning in learner.description["warnings"])


def test_unnamed_classes_are_written_as_the_data_sets(tmp_path, backbone):
    state = {key: value.float() for key, value in candle(case.SIZES).items()}
    learner = load_learner(new_runs.candle_run(tmp_path), backbone=backbone)
    wanted = written(case.NAMES) @ state["head.proj_text"]
    assert case.relative(learner.text_features(case.NAMES), wanted) < 1e-5


def test_without_names_and_data_set_it_asks_for_them(tmp_path, backbone):
    run = new_runs.candle_run(tmp_path, log=None)
    learner = load_learner(run, backbone=backbone)
    with pytest.raises(CheckpointError, match=r"--classnames FILE, or its data set: --data-name"):
        learner.text_features(case.NAMES)
