import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from ncscope.clip.backbone import load_backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.errors import BackboneError, CheckpointError
from ncscope.features.extract import extract
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from ncscope_cli.main import app
from tests import learner_states
from tests.learner_states import Sizes
from tests.tiny_clip import save_folder
from tests.zoo.learners import case

FILES = {"cat": 2, "grey_seal": 1, "oak tree": 2, "St. Bernard": 1, "7 spot ladybird": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight images of the classes the learners were trained on, in another order."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name, count in FILES.items():
        for i in range(count):
            path = root / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            pixels = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return save_folder(tmp_path_factory.mktemp("clip"), config=case.CONFIG)


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_backbone(clip_folder)


@pytest.fixture(scope="module")
def run(clip, folder):
    def run(source, **options):
        return extract(source, **{"data": folder, "backbone": clip, "cache": "off", **options})

    return run


def coop(path):
    return case.save(path, case.prompted(learner_states.coop(case.SIZES), "X X X X"))


def test_a_checkpoint_gives_its_learners_features_in_its_class_order(run, clip, tmp_path):
    source = coop(tmp_path)
    features = run(source)
    trained = ("cat", "grey_seal", "oak tree", "St. Bernard", "7 spot ladybird")
    assert features.classnames == trained  # the folder's are sorted
    learner = load_learner(source, backbone=clip)
    assert torch.equal(features.text, learner.text_features(trained))
    assert features.label.bincount().tolist() == [2, 1, 2, 1, 2]
    assert torch.equal(features.text_frozen, ZeroShot(clip).text_features(trained))
    assert features.provenance["learner"]["method"] == "CoOp"
    assert json.dumps(features.provenance)


def test_part_of_the_classes_or_others_keep_the_order_of_the_data(run, tmp_path):
    features = run(coop(tmp_path), split="base")
    assert len(features.classnames) == 3
    assert features.classnames == run("zero-shot", split="base").classnames


def test_prompts_that_depend_on_the_image_follow_the_condition(run, clip, tmp_path):
    source = case.save(
        tmp_path,
        case.prompted(learner_states.cocoop(case.SIZES), "X X X X"),
        trainer="CoCoOp",
        section="COCOOP",
    )
    features = {
        condition: run(source, options=LearnerOptions(condition=condition))
        for condition in ("mean", "class", "none", "per-image")
    }
    assert features["per-image"].text.shape == (8, 5, 32)
    assert features["class"].text.shape == (5, 32)
    mean, none = features["mean"].text, features["none"].text
    assert not torch.allclose(mean, none, rtol=1e-6)
    assert any("'mean', of the 8 images here" in warning for warning in features["mean"].warnings)
    learner = load_learner(source, backbone=clip)
    directions = torch.nn.functional.normalize(features["mean"].image, dim=1).mean(0, keepdim=True)
    assert learner.by_feature is not None
    wanted = learner.by_feature(list(features["mean"].classnames), directions)[0]
    assert case.relative(mean, wanted) < 1e-6


def test_a_learner_without_a_text_side_gives_images_and_says_so(run, tmp_path):
    state = case.whole(learner_states.promptkd(Sizes(context=2)))
    features = run(case.save(tmp_path, state, trainer="PromptKD", section="PROMPTKD"))
    assert features.text is None
    assert features.text_frozen is None
    assert features.image.shape == (8, 40)
    assert any("no text side, so" in warning for warning in features.warnings)


def test_the_towers_of_the_file_need_no_backbone(run, tmp_path, clip_folder):
    state = case.whole(learner_states.maple(Sizes(context=2)), before="a photo of a")
    source = case.save(tmp_path, state, log=None)
    names = ("cat", "grey seal", "oak tree", "St. Bernard", "7 spot ladybird")
    alone = run(source, backbone="checkpoint", classnames=names)
    assert alone.text_frozen is None
    whole = run(source)
    assert case.relative(alone.image, whole.image) < 1e-5
    assert case.relative(alone.text, whole.text) < 1e-5
    words = run(source, backbone="checkpoint", pretrained=str(clip_folder), device="cpu")
    assert case.relative(words.text, whole.text) < 1e-5
    with pytest.raises(CheckpointError, match="--classnames FILE"):
        run(source, backbone="checkpoint")
    with pytest.raises(BackboneError, match="nothing tells its backbone"):
        run(case.save(tmp_path / "coop", {"ctx": torch.zeros(4, 64)}, log=None), backbone="auto")


def test_the_command_line_takes_checkpoints_and_their_options(tmp_path, clip_folder, folder):
    state = learner_states.taskres(case.SIZES)
    source = case.save(tmp_path / "run", state, log=None)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(case.NAMES))
    given = ["--data", folder, "--backbone", clip_folder, "--cache", "off", "--quiet"]
    out = ["--classnames", names, "--residual-scale", 0.5, "--out", tmp_path / "out"]
    asked = ["analyze", source, *given, *out, "--no-html"]
    result = CliRunner().invoke(app, [str(argument) for argument in asked])
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())["runs"][0]
    assert record["classes"] == 5
    assert record["provenance"]["learner"]["residual_scale"] == 0.5
