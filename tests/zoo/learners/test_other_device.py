"""Learners follow the backbone's device, seen on one that computes nothing: `meta`.

An operation that mixes it with the CPU fails, as it would between CPU and GPU.
"""

import copy
import dataclasses

import pytest
import torch

from ncscope.zoo.learners import LEARNERS
from ncscope.zoo.load import read_learner
from ncscope.zoo.settings import LearnerOptions
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS

TOKENS = 5  # what every prompt is told to have, where its length would be read off the device
OPTIONS = LearnerOptions(classnames=case.NAMES, data_name="OxfordPets")


@pytest.fixture
def told(monkeypatch):
    """Numbers that the text tower asks a device for, answered for `meta`, which has none."""
    number, places = torch.Tensor.__int__, torch.Tensor.nonzero

    def tokens(tensor):
        return TOKENS if tensor.is_meta else number(tensor)

    def filled(tensor):
        count = (4 * TOKENS, 1)
        return tensor.new_zeros(count, dtype=torch.int64) if tensor.is_meta else places(tensor)

    monkeypatch.setattr(torch.Tensor, "__int__", tokens)
    monkeypatch.setattr(torch.Tensor, "nonzero", filled)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("method", RUNS)
def test_both_sides_stay_on_the_backbones_device(method, tmp_path, backbone, deep_backbone):
    clip = deep_backbone if "TCP" in method else backbone
    read = read_learner(RUNS[method](tmp_path / "run"), backbone=clip, options=OPTIONS)
    away = copy.deepcopy(read.backbone.model).to("meta")
    away = dataclasses.replace(read.backbone, model=away, device=torch.device("meta"))
    learner = LEARNERS[read.method](read.tensors, away, read.settings)
    image = learner.encode_pixels(case.pixels().to("meta"))
    assert image.is_meta
    if learner.has_text:
        assert learner.encode_names(list(case.NAMES)).is_meta
    if learner.by_feature is not None:
        assert learner.by_feature(list(case.NAMES), image).is_meta
