"""`--learner module:Class` and learners passed in Python: used as they are, or refused."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ncscope.clip.backbone import load_backbone
from ncscope.errors import BackboneError, CheckpointError
from ncscope.features.extract import extract
from ncscope.features.third_party import MEMBERS, find_learner, make_learner
from ncscope.zoo.settings import LearnerOptions
from ncscope_cli.main import main
from tests.tiny_clip import save_folder

# A whole learner, as its author would write it: nothing of ncscope in it.
SOURCE = '''
import torch


class Shifted:
    """Zero-shot text features and one learned direction added to all image features."""

    def __init__(self, source, backbone):
        self.backbone = backbone
        self.shift = torch.load(source, weights_only=True)["shift"]
        self.description = {"method": "shifted", "warnings": ["only a test"]}
        self.image_digest = f"shifted {float(self.shift.sum())} {backbone.image_digest}"
        self.device, self.preprocess = backbone.device, backbone.preprocess
        self.logit_scale = backbone.logit_scale

    def text_features(self, classnames):
        return self.backbone.encode_text([f"my {name}" for name in classnames])

    def image_features(self, pixels):
        return self.backbone.encode_image(pixels) + self.shift


class Conditional(Shifted):
    def text_features_per_image(self, classnames, image_features):
        return self.text_features(classnames) + image_features[:, None]


class Half:
    def __init__(self, source, backbone):
        self.description, self.device, self.preprocess = {}, torch.device("cpu"), None
        self.image_digest, self.logit_scale = "half", 4.6


class Failing:
    def __init__(self, source, backbone):
        raise KeyError("two\\nlines")


class NoArguments:
    pass


def function(source, backbone):
    return None
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with images, a small CLIP, a learner's module and its checkpoint."""
    root = tmp_path_factory.mktemp("place")
    random = np.random.default_rng(0)
    for i, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32 + i, 32, 3), dtype=np.uint8)).save(path)
    save_folder(root / "clip")
    (root / "their_learner.py").write_text(SOURCE)
    (root / "broken_learner.py").write_text("import no_such_library\n")
    torch.save({"shift": torch.linspace(-1, 1, 32)}, root / "theirs.pt")
    return root


@pytest.fixture
def here(place, monkeypatch):
    """The place as current folder; what is imported from it is forgotten."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield place
    for name in ("their_learner", "broken_learner"):
        sys.modules.pop(name, None)


def run(place, **options):
    asked = {"data": place / "images", "backbone": place / "clip", "cache": "off", **options}
    return extract(place / "theirs.pt", **asked)


def command(monkeypatch, verb, *more):
    """The exit status."""
    given = [verb, "theirs.pt", "--data", "images", "--cache", "off", "--quiet", *more]
    given += ["--backbone", "clip"]
    monkeypatch.setattr("sys.argv", ["ncscope", *map(str, given)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_the_members_are_those_of_the_protocol():
    assert set(MEMBERS) == {
        *("description", "image_digest", "device", "logit_scale", "preprocess"),
        *("text_features", "image_features"),
    }


def test_a_class_of_ones_own_reads_the_source_on_the_backbone(here):
    features = run(here, learner=find_learner("their_learner:Shifted"))
    plain = extract("zero-shot", data=here / "images", backbone=here / "clip", cache="off")
    torch.testing.assert_close(features.image, plain.image + torch.linspace(-1, 1, 32))
    clip = load_backbone(here / "clip")
    torch.testing.assert_close(features.text, clip.encode_text(["my cat", "my dog"]))
    torch.testing.assert_close(features.text_frozen, plain.text)
    assert features.warnings == ["only a test"]
    assert features.provenance["source"].endswith("theirs.pt")
    assert features.provenance["learner"]["method"] == "shifted"


def test_zero_shot_stays_zero_shot_beside_it(here):
    learner = find_learner("their_learner:Failing")
    options = {"data": here / "images", "backbone": here / "clip", "cache": "off"}
    assert extract("zero-shot", learner=learner, **options).provenance["source"] == "zero-shot"


def test_text_features_of_every_image_if_the_learner_has_them_and_they_are_asked_for(here):
    learner = find_learner("their_learner:Conditional")
    asked = LearnerOptions(condition="per-image")
    features = run(here, learner=learner, options=asked)
    plain = run(here, learner=learner)
    torch.testing.assert_close(features.text, plain.text + features.image[:, None])
    assert any("condition 'per-image'" in warning for warning in features.warnings)
    shifted = run(here, learner=find_learner("their_learner:Shifted"), options=asked)
    assert shifted.text.shape == (2, 32)
    assert any("no effect on this learner" in warning for warning in shifted.warnings)


@pytest.mark.usefixtures("here")
def test_the_commands_take_it(monkeypatch, tmp_path):
    more = ("--learner", "their_learner:Shifted")
    assert command(monkeypatch, "extract", *more, "--out", tmp_path / "f.npz") == 0
    assert command(monkeypatch, "analyze", *more, "--no-html", "--out", tmp_path) == 0
    [record] = json.loads((tmp_path / "metrics.json").read_text())["runs"]
    assert (record["classes"], record["samples"]) == (2, 4)
    assert record["provenance"]["learner"]["method"] == "shifted"
    with np.load(tmp_path / "f.npz") as file:
        assert file["image"].shape == (4, 32)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("their_learner", r"'their_learner'; expected MODULE:CLASS, such as"),
        ("their learner:A", "expected MODULE:CLASS"),
        ("a:b:c", "expected MODULE:CLASS"),
        ("no_such_module:A", "no module 'no_such_module', neither installed nor in the current"),
        ("their_learner.sub:A", "no module 'their_learner.sub', neither"),
        ("broken_learner:A", r"importing broken_learner failed \(ModuleNotFoundError: .*library"),
        ("their_learner:Shift", "no Shift in their_learner; its classes are Conditional, Fail"),
        ("their_learner:function", "'their_learner:function' is a function; expected a class"),
        ("their_learner:Half", "Half lacks `text_features`, `image_features`; a learner has the"),
        ("their_learner:Failing", r"Failing\(source, backbone\) failed .*KeyError: 'two"),
        ("their_learner:NoArguments", r"NoArguments\(source, backbone\) failed .*TypeError"),
    ],
)
def test_what_is_no_learner_is_one_line(here, monkeypatch, capsys, tmp_path, name, message):
    out = tmp_path / "f.npz"
    assert command(monkeypatch, "extract", "--learner", name, "--out", out) == 1
    error = capsys.readouterr().err
    assert error.startswith("ncscope: ")
    assert error.count("\n") == 1, error
    with pytest.raises(CheckpointError, match=message):
        make_learner(find_learner(name), "theirs.pt", load_backbone(here / "clip"))
    assert not out.exists()


def test_members_of_another_kind_and_our_own_errors_are_told(here):
    shifted = find_learner("their_learner:Shifted")

    def wrong(source, backbone):
        made = shifted(source, backbone)
        object.__setattr__(made, "logit_scale", 4.6)
        return made

    def refusing(_source, _backbone):
        raise BackboneError("needs ViT-L-14")

    clip = load_backbone(here / "clip")
    with pytest.raises(CheckpointError, match=r"`logit_scale` of Shifted is a float; expected a t"):
        make_learner(wrong, "theirs.pt", clip)
    with pytest.raises(BackboneError, match="needs ViT-L-14"):
        make_learner(refusing, "theirs.pt", clip)
    with pytest.raises(CheckpointError, match="int lacks `description`, "):
        extract(3, data=here / "images", cache="off")  # pyright: ignore[reportArgumentType]


def test_nothing_in_the_current_folder_stands_in_for_an_installed_module(here):
    (here / "plotly.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(CheckpointError, match="no Here in plotly"):
        find_learner("plotly:Here")
