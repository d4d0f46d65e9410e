"""A run of every method, from its files to a feature file and to every measure."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ncscope.clip.backbone import load_backbone
from ncscope.diagnosis.measure import measure
from ncscope.features.bundle import read_features, write_features
from ncscope.features.extract import extract
from ncscope.zoo.settings import LearnerOptions
from tests.tiny_clip import save_folder
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS

FOLDERS = ("cat", "grey_seal", "oak tree", "St. Bernard", "7 spot ladybird")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two images of each training class, and the small CLIPs."""
    root = tmp_path_factory.mktemp("every")
    random = np.random.default_rng(0)
    for name in FOLDERS:
        (root / "images" / name).mkdir(parents=True)
        for i in range(2):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / name / f"{i}.png")
    small = load_backbone(save_folder(root / "clip", config=case.CONFIG))
    deep = load_backbone(save_folder(root / "deep", config=case.DEEP))
    return root / "images", small, deep


@pytest.mark.parametrize("method", RUNS)
def test_a_run_becomes_features_a_file_and_numbers(method, place, tmp_path):
    images, small, deep = place
    features = extract(
        RUNS[method](tmp_path / "run"),
        data=images,
        backbone=deep if "TCP" in method else small,
        cache="off",
        classnames=FOLDERS,
        options=LearnerOptions(data_name="OxfordPets"),
    )
    assert features.classnames == FOLDERS
    assert features.provenance["learner"]["method"].startswith(method)
    write_features(features, tmp_path / "f.safetensors")
    again = read_features(tmp_path / "f.safetensors")
    assert again.image is not None
    assert torch.equal(again.image, features.image)  # pyright: ignore[reportArgumentType]
    record = measure(again, bootstrap=0).record
    assert json.dumps(record, allow_nan=False)
    assert (record["summary"]["delta_mid"]["raw"] is None) == (method in ("PromptKD", "HiCroPL"))
