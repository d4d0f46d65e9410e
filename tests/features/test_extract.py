import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import ncscope
from ncscope.clip.backbone import RANDOM_NOTE, Backbone, load_backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.data.images import open_images
from ncscope.errors import BackboneError, CheckpointError, DataError, ShapeError
from ncscope.features import cache as module
from ncscope.features.cache import read_cached
from ncscope.features.extract import extract
from tests.tiny_clip import save_folder, tiny_model

NAMES = ("apple", "oat_milk", "pear")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven images of three classes, of several sizes."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for i in range(7):
        path = root / NAMES[i % 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (20 + i, 40, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def run(clip, folder):
    """`extract` with defaults for these tests."""

    def run(source="zero-shot", **options):
        return extract(source, **{"data": folder, "backbone": clip, "cache": "off", **options})

    return run


def reference(clip, folder):
    """One image after the other, by the model itself."""
    images = open_images(folder)
    pixels = [clip.preprocess(images.load(i))[None] for i in range(len(images))]
    return torch.cat([tiny_model().encode_image(one) for one in pixels])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_features_are_those_of_the_model_image_by_image(run, clip, folder, batch_size, workers):
    features = run(batch_size=batch_size, workers=workers)
    assert_close(features.image, reference(clip, folder), atol=1e-5, rtol=1e-5)
    assert features.label.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert features.classnames == NAMES
    assert_close(features.text, ZeroShot(clip).text_features(NAMES))
    assert_close(features.logit_scale, clip.logit_scale)
    assert features.text_frozen is None


def test_features_can_be_learned_from(run):
    features = run()
    (features.image.sum() * torch.ones((), requires_grad=True)).backward()
    (features.text.sum() * torch.ones((), requires_grad=True)).backward()


def test_the_provenance_says_what_was_done_and_is_json(run, clip, folder):
    provenance = run(split="base").provenance
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["source"] == "zero-shot"
    assert provenance["data"] == str(folder)
    assert provenance["split"] == "base"
    assert provenance["learner"]["templates"] == ["a photo of a {}."]
    assert provenance["learner"]["backbone"]["digest"] == clip.digest
    assert provenance["versions"]["ncscope"] == ncscope.__version__
    assert set(provenance["content"]) == {"images", "image_features"}
    assert provenance["warnings"] == []


def test_random_weights_are_a_warning_on_the_features(folder, tmp_path):
    saved = save_folder(tmp_path / "tiny")
    features = extract(
        "zero-shot", data=folder, backbone=saved, pretrained="random", cache="off", seed=3
    )
    assert features.warnings == [RANDOM_NOTE]
    assert features.provenance["learner"]["backbone"]["weights"] == "random, seed 3"


def test_templates_and_class_order_are_the_callers(run, clip):
    order = ["Pear", "apple", "oat milk"]
    features = run(template=["a {}.", "the {}"], classnames=order)
    assert features.classnames == tuple(order)
    assert features.label.tolist() == [1, 1, 1, 2, 2, 0, 0]
    expected = ZeroShot(clip, ("a {}.", "the {}")).text_features(order)
    assert_close(features.text, expected)


def test_halves_follow_the_order_given(run):
    assert run(split="base").classnames == ("apple", "oat_milk")
    new = run(split="new", classnames=["pear", "oat milk", "apple"])
    assert (new.classnames, new.label.tolist()) == (("apple",), [0, 0, 0])
    half = run(split="base", classnames=["oat milk", "apple"])
    assert half.label.tolist() == [1, 1, 1, 0, 0]


def test_progress_is_told(run):
    told = []
    run(batch_size=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 7), (6, 7), (7, 7)]


@pytest.fixture
def damaged(folder):
    """Two of the images cut short behind their headers."""
    images = open_images(folder)
    bad = (1, 5)

    def load(index):
        if index in bad:
            raise DataError(f"{images.items[index]}: cut short")
        return images.load(index)

    return dataclasses.replace(images, load=load, digest="damaged")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_unreadable_images_are_all_named_at_once(run, damaged, batch_size):
    with pytest.raises(
        DataError, match=r"2 of 7 files cannot be read as images: apple/3\.png, pear/2\.png; remove"
    ):
        run(data=damaged, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_unreadable_images_are_left_out_if_asked(run, damaged, clip, folder, batch_size):
    features = run(data=damaged, skip_bad=True, batch_size=batch_size)
    kept = [0, 2, 3, 4, 6]
    assert_close(features.image, reference(clip, folder)[kept], atol=1e-5, rtol=1e-5)
    assert features.label.tolist() == [0, 0, 1, 1, 2]
    assert features.warnings == ["left out 2 unreadable image(s): apple/3.png, pear/2.png"]


def test_what_was_left_out_is_refused_from_the_cache_as_well(run, damaged, tmp_path):
    skipped = run(data=damaged, skip_bad=True, cache=tmp_path)
    again = run(data=damaged, skip_bad=True, cache=tmp_path)
    assert again.warnings == skipped.warnings
    with pytest.raises(DataError, match="2 of 7 files cannot be read"):
        run(data=damaged, cache=tmp_path)


def test_nothing_readable_is_refused(run, damaged):
    def load(_index):
        raise DataError("no")

    nothing = dataclasses.replace(damaged, load=load)
    with pytest.raises(DataError, match="none of 7 images can be read"):
        run(data=nothing, skip_bad=True)


def test_the_second_time_no_image_is_encoded(run, tmp_path, monkeypatch):
    first = run(cache=tmp_path)
    [entry] = (tmp_path / "features").iterdir()

    def never(*_args, **_options):
        raise AssertionError("encoded again")

    monkeypatch.setattr(module, "encode_images", never)
    second = run(cache=tmp_path, template="another {}")  # which image features do not depend on
    assert_close(second.image, first.image, atol=0, rtol=0)
    with pytest.raises(AssertionError, match="encoded again"):
        run(cache=tmp_path, split="base")
    entry.write_bytes(entry.read_bytes()[:-4])
    with pytest.raises(AssertionError, match="encoded again"):
        run(cache=tmp_path)


def test_a_damaged_entry_is_replaced(run, tmp_path):
    first = run(cache=tmp_path)
    [entry] = (tmp_path / "features").iterdir()
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    assert read_cached(entry, num_images=7) is None
    assert_close(run(cache=tmp_path).image, first.image, atol=0, rtol=0)
    assert read_cached(entry, num_images=7) is not None


@dataclasses.dataclass(frozen=True)
class Stranger:
    """Somebody else's learner: no class of ours, only the members of the protocol."""

    clip: Backbone
    shape: tuple[int, ...] = (4,)
    description = {"method": "stranger", "warnings": ["strange"]}  # noqa: RUF012
    image_digest = "stranger"
    device = torch.device("cpu")
    logit_scale = torch.tensor(10.0)

    @property
    def preprocess(self):
        return self.clip.preprocess

    def text_features(self, classnames):
        return torch.eye(len(classnames), 4)

    def image_features(self, pixels):
        weight = torch.ones((), requires_grad=True)  # of a learner that is still being trained
        return weight * torch.ones(len(pixels), *self.shape)


def test_any_object_with_the_members_is_a_source(run, clip):
    features = run(Stranger(clip), backbone="auto")
    assert features.image.shape == (7, 4)
    assert not features.image.requires_grad
    assert features.provenance["source"] == "stranger"
    assert features.warnings == ["strange"]
    assert features.text_frozen is None


@dataclasses.dataclass(frozen=True)
class Overflowing(Stranger):
    """Of seven images the third's feature is infinite, the fifth's NaN, the sixth's zero."""

    def image_features(self, pixels):
        rows = torch.arange(1.0, 29).view(7, 4)
        rows[2, 1], rows[4, 3], rows[5] = torch.inf, torch.nan, 0
        assert len(pixels) == 7
        return rows


def test_features_that_are_no_numbers_are_named_and_left_out_if_asked(run, clip):
    with pytest.raises(DataError, match=r"2 of 7 image features are NaN or infinite, of .*png"):
        run(Overflowing(clip), backbone="auto")
    features = run(Overflowing(clip), backbone="auto", skip_bad=True)
    assert_close(features.image, torch.arange(1.0, 29).view(7, 4)[[0, 1, 3, 6]])
    assert features.label.tolist() == [0, 0, 1, 2]
    [said] = [one for one in features.warnings if "left out" in one]
    assert said.startswith("left out 3 of 7 image features that are NaN, infinite or zero: ")


def test_a_learner_with_a_backbone_gets_frozen_text_beside_its_own(run, clip):
    @dataclasses.dataclass(frozen=True)
    class Learner(Stranger):
        def text_features(self, classnames):
            return torch.ones(len(classnames), 32)

        def image_features(self, pixels):
            return self.clip.encode_image(pixels)

    features = run(Learner(clip), template="the {}")
    assert_close(features.text_frozen, ZeroShot(clip, ("the {}",)).text_features(NAMES))
    assert_close(features.text, torch.ones(3, 32))


def test_a_learner_of_another_shape_is_refused(run, clip):
    with pytest.raises(ShapeError, match=r"gave \(7, 4, 2\) for 7 images; expected \(B, D\)"):
        run(Stranger(clip, shape=(4, 2)), backbone="auto")


def test_sources_that_cannot_be_read_say_what_can(run, tmp_path):
    (tmp_path / "model.pth.tar-50").touch()
    np.savez(tmp_path / "f.npz", x=np.ones(1))
    for source, error, message in [
        (tmp_path / "model.pth.tar-50", CheckpointError, "empty file: an interrupted download"),
        (tmp_path, CheckpointError, "empty file"),
        (tmp_path / "f.npz", DataError, "analyze reads it as it is"),
        ("zeroshot", DataError, "'zeroshot' is neither zero-shot nor a file or folder"),
    ]:
        with pytest.raises(error, match=message):
            run(source)


def test_zero_shot_needs_a_backbone(run):
    with pytest.raises(BackboneError, match="no checkpoint that tells the backbone; name it"):
        run(backbone="auto")
    with pytest.raises(BackboneError, match="given without a backbone's name"):
        run(backbone="auto", pretrained="openai")


def test_options_out_of_range_are_refused(run, folder):
    with pytest.raises(DataError, match="`batch_size` is 0"):
        run(batch_size=0)
    with pytest.raises(DataError, match="`workers` is -1"):
        run(workers=-1)
    with pytest.raises(DataError, match=r"opened as part None; `part` 'train' was asked"):
        run(data=open_images(folder), part="train")
    with pytest.raises(DataError, match="exactly once"):
        run(template="no place")
