"""Learners that leave the image tower alone run on a CLIP with a ResNet; others refuse it."""

import copy

import pytest
import torch

from ncscope.clip.backbone import load_backbone
from ncscope.errors import BackboneError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.tiny_clip import RESNET, save_folder
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS

CONFIG = {**copy.deepcopy(RESNET), "embed_dim": 32, "text_cfg": case.CONFIG["text_cfg"]}
TEXT_ONLY = ("CoOp", "ProGrad", "Nemesis", "KgCoOp", "DeKg", "CoCoOp", "CoOp_ATP", "PLOT", "DPC")
TEXT_ONLY += ("PLOTNemesis", "CoCoOp_ATP", "AnchorOPT", "TaskRes", "Tip-Adapter", "Tip-Adapter-F")
OPTIONS = LearnerOptions(classnames=case.NAMES, data_name="OxfordPets")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """With the vocabulary that the runs here were trained with."""
    clip = load_backbone(save_folder(tmp_path_factory.mktemp("resnet"), config=CONFIG))
    with torch.no_grad():
        clip.model.token_embedding.weight.copy_(case.state()["token_embedding.weight"])
    return clip


@pytest.fixture(scope="module")
def pixels():
    size = CONFIG["vision_cfg"]["image_size"]
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", [*TEXT_ONLY, "CLIP-Adapter"])
def test_learners_without_image_prompts_run_on_it(tmp_path, resnet, pixels, method):
    learner = load_learner(RUNS[method](tmp_path), backbone=resnet, options=OPTIONS)
    assert learner.text_features(case.NAMES).shape == (5, 32)
    image, own = learner.image_features(pixels), resnet.encode_image(pixels)
    if method == "CLIP-Adapter":
        assert image.shape == own.shape
        assert not torch.equal(image, own)
    else:
        assert torch.equal(image, own)


@pytest.mark.parametrize("method", ["MMA", "CLIP-LoRA"])
def test_learners_inside_the_image_tower_refuse_it(tmp_path, resnet, method):
    with pytest.raises(BackboneError, match="vision transformer"):
        load_learner(RUNS[method](tmp_path), backbone=resnet, options=OPTIONS)
