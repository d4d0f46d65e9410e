"""Learners beside or behind the towers: TaskRes, CLIP-Adapter, Tip-Adapter."""

import pytest
import torch

from ncscope.clip.prompts import IMAGENET_SEVEN
from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.zoo.learners import case, reference


def written(template, names=case.NAMES):
    """Features of a written prompt, by the plain pass in single precision."""
    texts = [template.replace("{}", name) for name in case.sentences(names, "")]
    rows, eot = case.embedded(texts, dtype=torch.float32)
    return reference.text_forward(case.state(), rows, eot, heads=case.TEXT_HEADS)


def test_taskres_adds_the_scaled_residual(tmp_path, backbone):
    state = learner_states.taskres(case.SIZES)
    run = case.save(
        tmp_path, state, trainer="TaskRes", section="TaskRes", settings={"RESIDUAL_SCALE": 0.5}
    )
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(classnames=case.NAMES))
    base, residual = (state[k].float() for k in ("base_text_features", "text_feature_residuals"))
    case.matches(learner, base + 0.5 * residual, case.reference_image())
    assert learner.description["settings_from"]["residual_scale"] == "log.txt"
    other = load_learner(
        run, backbone=backbone, options=LearnerOptions(classnames=case.NAMES, residual_scale=2.0)
    )
    assert case.relative(other.text_features(["cat"]), (base + 2 * residual)[:1]) < 1e-6


def test_taskres_asks_for_scale_and_names_and_refuses_new_classes(tmp_path, backbone):
    run = case.save(tmp_path, learner_states.taskres(case.SIZES), log=None)
    with pytest.raises(CheckpointError, match="give --residual-scale"):
        load_learner(run, backbone=backbone)
    with pytest.raises(CheckpointError, match="give a file of 5 class names"):
        load_learner(
            run, backbone=backbone, options=LearnerOptions(residual_scale=1)
        ).text_features(["cat"])
    named = load_learner(
        run, backbone=backbone, options=LearnerOptions(residual_scale=1, classnames=case.NAMES)
    )
    with pytest.raises(CheckpointError, match="no text features for 'bus'"):
        named.text_features(["cat", "bus"])
    wrong = load_learner(
        run, backbone=backbone, options=LearnerOptions(residual_scale=1, classnames=case.NEW)
    )
    with pytest.raises(CheckpointError, match="5 classes in the file and 2 class names"):
        wrong.text_features(["bus"])


@pytest.mark.parametrize(
    ("data", "template"),
    [("OxfordPets", "a photo of a {}, a type of pet."), ("DescribableTextures", "{} texture.")],
)
def test_clip_adapter_mixes_image_features_with_its_own(tmp_path, backbone, data, template):
    state = learner_states.clip_adapter(case.SIZES)
    run = case.save(tmp_path, state, trainer="CLIP_Adapter", dataset=data, model="clip_adapter")
    learner = load_learner(run, backbone=backbone)
    plain = case.reference_image()
    inner = (plain @ state["fc.0.weight"].float().T).clamp(min=0)
    image = 0.2 * (inner @ state["fc.2.weight"].float().T).clamp(min=0) + 0.8 * plain
    case.matches(learner, written(template), image)
    case.matches(learner, written(template, case.NEW), image, names=case.NEW)


@pytest.mark.parametrize("shape", [(80, 32), (32, 80)], ids=["tuned cache", "keys"])
def test_tip_adapter_has_the_features_its_cache_is_added_to(tmp_path, backbone, shape):
    torch.save(torch.zeros(shape), tmp_path / "keys_16shots.pt")
    learner = load_learner(tmp_path, backbone=backbone, options=LearnerOptions(data_name="EuroSAT"))
    text = reference.normalise(written("a centered satellite photo of {}."))
    case.matches(learner, text, case.reference_image())
    assert learner.logit_scale == 100
    assert any("cache" in warning for warning in learner.description["warnings"])


def test_tip_adapter_averages_seven_templates_for_imagenet(tmp_path, backbone):
    torch.save(torch.zeros(80, 32), tmp_path / "best_F_16shots.pt")
    learner = load_learner(
        tmp_path, backbone=backbone, options=LearnerOptions(data_name="ImageNet")
    )
    rows = torch.stack([reference.normalise(written(each)) for each in IMAGENET_SEVEN])
    case.matches(learner, reference.normalise(rows.mean(0)), case.reference_image())


def test_a_cache_of_another_width_is_refused(tmp_path, backbone):
    torch.save(torch.zeros(80, 48), tmp_path / "keys_16shots.pt")
    with pytest.raises(CheckpointError, match=r"\(80, 48\); expected keys of width 32"):
        load_learner(tmp_path, backbone=backbone, options=LearnerOptions(data_name="EuroSAT"))
