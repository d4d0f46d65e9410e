"""Small CLIPs as deep as some settings need: towers of 10, of 12, and of ViT-L/14's 12 and 24."""

import pytest

from ncscope.clip.backbone import load_backbone
from tests.parity.kit import config_of
from tests.tiny_clip import save_folder


@pytest.fixture(scope="session")
def towers(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = load_backbone(save_folder(folder, config=config_of(name)))
        return made[name]

    return of
