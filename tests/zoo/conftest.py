import pytest

from ncscope.clip.backbone import load_backbone
from tests.tiny_clip import save_folder
from tests.zoo.learners.case import CONFIG, DEEP


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tiny"), config=CONFIG))


@pytest.fixture(scope="session")
def deep_backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("deep"), config=DEEP))
