"""One thread a worker, property tests that draw the same examples on every run, and tiny CLIPs.

What takes long runs only where it is asked for: by its marker (`pytest -m slow`), or by its own id.
"""

import pytest
import torch
from hypothesis import settings

from ncscope.clip.backbone import load_backbone
from tests.tiny_clip import save_folder
from tests.zoo.learners.case import CONFIG, DEEP

torch.set_num_threads(1)
settings.register_profile("ncscope", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("ncscope")
ASKED_FOR = ("attack", "slow")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any("::" in argument for argument in config.args):
        return
    marks = [name for name in ASKED_FOR if name not in str(config.getoption("markexpr"))]
    left = [item for item in items if any(map(item.get_closest_marker, marks))]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tiny"), config=CONFIG))


@pytest.fixture(scope="session")
def deep_backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("deep"), config=DEEP))
