"""`ncscope analyze` on a run that carries its own accuracy: reproduced or not."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from typer.testing import CliRunner

from ncscope.clip.backbone import load_backbone
from ncscope_cli.main import app
from tests import learner_states
from tests.tiny_clip import save_folder
from tests.zoo.learners import case, reference

PER_CLASS = 4
FOLDERS = ("cat", "grey_seal", "oak tree", "St. Bernard", "7 spot ladybird")
BRIGHTNESS = (3, 4, 2, 0, 1)  # of which the small CLIP knows some classes


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A small CLIP and a folder of twenty images of noise, a brightness a class."""
    root = tmp_path_factory.mktemp("self_check")
    random = np.random.default_rng(0)
    for k, name in enumerate(FOLDERS):
        for i in range(PER_CLASS):
            path = root / "images" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (32, 32, 3)) // 2 + 25 * BRIGHTNESS[k]
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    save_folder(root / "clip", config=case.CONFIG)
    return root


@pytest.fixture(scope="module")
def accuracy(workplace):
    """In per cent, by the plain forward pass of CoOp's prompts and the model's own image tower."""
    context = coop_state()["ctx"].float()
    text = case.reference_text(context, "X X X X")
    clip = load_backbone(workplace / "clip")
    pixels = [
        clip.preprocess(Image.open(workplace / "images" / name / f"{i}.png").convert("RGB"))
        for name in FOLDERS
        for i in range(PER_CLASS)
    ]
    image = reference.image_forward(case.state(), torch.stack(pixels), heads=case.IMAGE_HEADS)
    decided = (F.normalize(image, dim=1) @ F.normalize(text, dim=1).T).argmax(dim=1)
    right = decided == torch.arange(len(FOLDERS)).repeat_interleave(PER_CLASS)
    share = right.float().mean().item()
    assert 0.2 < share < 0.8  # neither chance nor all
    return 100 * share


def coop_state():
    return case.prompted(learner_states.coop(case.SIZES), "X X X X")


def analyze(workplace, folder, **log):
    count = PER_CLASS * len(FOLDERS)
    said = {"subsample": "all", "classes": 5, "images": count, "dataset": "Animals", **log}
    run = case.save(folder / "run", coop_state(), **said)
    asked = ["analyze", run, "--data", workplace / "images", "--backbone", workplace / "clip"]
    asked += ["--cache", "off", "--no-html", "--bootstrap", "0", "--out", folder / "out"]
    result = CliRunner().invoke(app, [str(argument) for argument in asked])
    assert result.exit_code == 0, result.output
    [record] = json.loads((folder / "out" / "metrics.json").read_text())["runs"]
    return result, record


def test_a_run_that_is_reproduced_says_so_with_both_numbers(workplace, tmp_path, accuracy):
    result, record = analyze(workplace, tmp_path, accuracy=accuracy)
    says = f"reproduces {accuracy:.2f} % (log) with {accuracy:.2f} %"
    assert f"{tmp_path / 'run'}: {says}\n" in result.stdout
    assert record["provenance"]["self_check"]["agrees"] is True
    assert record["provenance"]["learner"]["run"]["images"] == 20
    assert not any("reproduce" in warning for warning in record["warnings"])


def test_a_run_that_is_not_reproduced_is_warned_of(workplace, tmp_path, accuracy):
    result, record = analyze(workplace, tmp_path, accuracy=accuracy + 5)
    wanted = f"does not reproduce {accuracy + 5:.2f} % (log): {accuracy:.2f} % here"
    assert wanted in result.stderr
    assert "reproduce" not in result.stdout
    assert wanted in record["warnings"][0]


def test_accuracies_of_other_images_are_not_compared(workplace, tmp_path, accuracy):
    result, record = analyze(workplace, tmp_path, accuracy=accuracy, images=1881)
    assert "which is of 1881 images: here are 20" in result.stderr
    assert record["provenance"]["self_check"]["agrees"] is None


def test_a_log_without_an_accuracy_is_nothing_to_check(workplace, tmp_path):
    result, record = analyze(workplace, tmp_path, accuracy=None)
    assert "reproduce" not in result.output
    assert "self_check" not in record["provenance"]
