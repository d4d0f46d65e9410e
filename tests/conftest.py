"""One thread a worker, property tests that draw the same examples on every run, and tiny CLIPs."""

import pytest
import torch
from hypothesis import settings

from ncscope.clip.backbone import load_backbone
from tests.tiny_clip import save_folder
from tests.zoo.learners.case import CONFIG, DEEP

torch.set_num_threads(1)
settings.register_profile("ncscope", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("ncscope")


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tiny"), config=CONFIG))


@pytest.fixture(scope="session")
def deep_backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("deep"), config=DEEP))
