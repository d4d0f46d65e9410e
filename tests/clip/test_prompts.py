import open_clip
import pytest
import torch
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.prompts import (
    TCP_PROMPTS,
    TCP_ZERO_SHOT,
    TEMPLATES,
    ZeroShot,
    class_prompts,
    ensembled,
)
from ncscope.data.known import KNOWN
from ncscope.errors import DataError
from tests.tiny_clip import save_folder, tiny_model

NAMES = ("Sour_Cream", "oat  milk")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tiny")))


def encode(texts):
    return tiny_model().encode_text(open_clip.SimpleTokenizer()(texts))


def test_one_template_gives_the_text_towers_features(backbone):
    expected = encode(["a photo of a Sour Cream.", "a photo of a oat milk."])
    assert_close(ZeroShot(backbone).text_features(NAMES), expected, atol=1e-6, rtol=1e-5)


def test_several_templates_are_the_mean_of_normalised_features(backbone):
    learner = ZeroShot(backbone, ("a {}.", "itap of the {}."))
    rows = torch.zeros(2, 32)
    for template in learner.templates:
        features = encode(class_prompts(NAMES, template))
        for k in range(2):
            rows[k] += features[k] / features[k].norm() / 2
    assert_close(learner.text_features(NAMES), rows, atol=1e-6, rtol=1e-5)


def test_many_classes_are_encoded_in_pieces_with_the_same_result(backbone, monkeypatch):
    names = [f"thing {i}" for i in range(7)]
    whole = ZeroShot(backbone).text_features(names)
    monkeypatch.setattr("ncscope.clip.prompts._TEXTS_AT_ONCE", 3)
    assert_close(ZeroShot(backbone).text_features(names), whole)


def test_image_features_are_the_towers_and_not_normalised(backbone):
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = tiny_model().encode_image(pixels)
    assert_close(ZeroShot(backbone).image_features(pixels), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "a photo of a {0}."])
def test_a_template_without_exactly_one_place_is_refused(template):
    with pytest.raises(DataError, match="exactly once, where the class name goes"):
        class_prompts(NAMES, template)


def test_templates_are_refused_before_any_is_encoded():
    def never(_texts):
        raise AssertionError("encoded")

    with pytest.raises(DataError, match="exactly once"):
        ensembled(never, NAMES, ["a {}.", "nothing"])
    with pytest.raises(DataError, match="`templates` is empty"):
        ensembled(never, NAMES, [])


@pytest.mark.parametrize("table", [TEMPLATES, TCP_ZERO_SHOT, TCP_PROMPTS])
def test_every_known_data_set_has_a_template(table):
    assert table.keys() == {known.name for known in KNOWN}


def test_other_braces_stay_as_they_are():
    assert class_prompts(["cat"], "a {}, set {1}") == ["a cat, set {1}"]
