"""Features saved by torch are told how to become a feature file, and not sent in a circle."""

import re
import subprocess
import sys

import pytest
import torch

from ncscope.errors import CheckpointError
from ncscope.features.bundle import read_features
from ncscope.features.stored import without_images
from ncscope.zoo.load import load_learner


@pytest.fixture
def saved(tmp_path):
    arrays = {
        "image": torch.randn(60, 32),
        "label": torch.arange(60) % 4,
        "text": torch.randn(4, 32),
    }
    torch.save(arrays, tmp_path / "feat.pt")
    return tmp_path / "feat.pt"


def test_the_remedy_is_a_line_that_works(saved):
    said = without_images(saved)
    assert "holds image (60, 32), text (4, 32), label (60,): features, saved by torch" in said
    code = re.search(r'python -c "(.*)"', said)
    assert code is not None
    subprocess.run([sys.executable, "-c", code[1]], cwd=saved.parent, check=True)
    assert read_features(saved.with_suffix(".safetensors")).num_samples == 60


def test_neither_way_sends_the_reader_to_the_other(saved):
    with pytest.raises(CheckpointError, match=r"takes them as .npz or .safetensors, saved so by"):
        load_learner(saved)
    assert "--data" not in without_images(saved)


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_anything_else_is_asked_for_its_images(tmp_path, content):
    path = tmp_path / "model.pth"
    if content is None:
        torch.save({"state_dict": {"ctx": torch.zeros(4, 8)}}, path)
    else:
        path.write_bytes(content)
    assert "say on which images it is to be measured: --data FOLDER" in without_images(path)
    assert "--data FOLDER" in without_images("zero-shot")
