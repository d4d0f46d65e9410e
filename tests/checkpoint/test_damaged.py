"""Checkpoints cut short or changed in places: a refusal of one line, or the right tensors."""

import tracemalloc
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.checkpoint.reading import read_checkpoint
from ncscope.errors import CheckpointError
from tests.checkpoint.fuzz import (
    damaged,
    rewritten,
)
from tests.dassl_files import save_dassl
from tests.learner_states import Sizes, cocoop

SIZES = Sizes(classes=2, length=8)


def tensors_or_none(path):
    """The tensors, or None after a refusal of one line; any other exception fails the test."""
    try:
        return read_checkpoint(path).tensors
    except CheckpointError as error:
        return None if "\n" not in str(error) else pytest.fail(str(error))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_damaged_torch_files_are_refused_or_right(tmp_path, zipped):
    path, state = tmp_path / "model.pth.tar", cocoop(SIZES)
    save_dassl(path, state, zipped=zipped)
    refused = 0
    for content in damaged(path.read_bytes(), cases=250, seed=0):
        path.write_bytes(content)
        tensors = tensors_or_none(path)
        refused += tensors is None
        if tensors is not None and zipped:  # the old format has no checksum
            assert_close(tensors, state, rtol=0, atol=0)
    assert refused > 80
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.pth.tar"]


def test_damaged_safetensors_files_are_refused_or_read(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({key: value.contiguous() for key, value in cocoop(SIZES).items()}, path)
    refused = 0
    for content in damaged(path.read_bytes(), cases=250, seed=0):
        path.write_bytes(content)
        refused += tensors_or_none(path) is None
    assert refused > 80


def test_damaged_pickles_inside_a_sound_archive_are_refused_or_read(tmp_path):
    path = tmp_path / "model.pth.tar"
    save_dassl(path, cocoop(SIZES))
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        content = archive.read(name)
    refused = 0
    for changed in damaged(content, cases=250, seed=1):
        refused += tensors_or_none(rewritten(path, {"data.pkl": changed})) is None
    assert refused > 80


def test_reading_uses_memory_of_the_order_of_the_file(tmp_path):
    path = save_dassl(tmp_path / "m.pth.tar", {"ctx": torch.zeros(4000, 1000)}, live=False)
    tracemalloc.start()
    read_checkpoint(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size + 3e6  # one chunk, and the stream's own buffer
