import json

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.descriptions import (
    described,
    is_file_of_templates,
    read_descriptions,
    read_templates,
)
from ncscope.clip.prompts import ZeroShot
from ncscope.errors import DataError
from ncscope.features.sources import filled_options, open_source
from ncscope.zoo.settings import LearnerOptions
from tests.tiny_clip import save_folder

SENTENCES = {
    "cat": ["A cat purrs.", "A cat has whiskers."],
    "Grey Seal": ["It swims."],
    "oak": ["x"],
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("clip")))


def write(folder, value):
    (folder / "d.json").write_text(json.dumps(value))
    return folder / "d.json"


def test_a_class_is_the_mean_direction_of_its_sentences_matched_by_name(tmp_path, backbone):
    options = LearnerOptions(descriptions=write(tmp_path, SENTENCES))
    source = open_source("zero-shot", backbone=backbone, options=options)
    found = source.text_features(["grey_seal", "cat"])
    expected = []
    for name in ("Grey Seal", "cat"):
        rows = [backbone.encode_text([text])[0] for text in SENTENCES[name]]
        expected.append(sum(row / row.norm() for row in rows) / len(rows))
    assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)
    assert source.description["descriptions"] == {"classes": 3, "sentences": 4}
    plain = F.normalize(ZeroShot(backbone).text_features(["cat"]), dim=1)
    assert (F.normalize(found[1:], dim=1) - plain).abs().max() > 1e-3


def test_classes_without_descriptions_are_refused_with_both_sides(backbone):
    message = (
        r"no descriptions of 1 classes \('dog'\); the descriptions that no class is called by: "
    )
    with pytest.raises(DataError, match=message + "'Grey Seal', 'oak'"):
        described(backbone.encode_text, ["cat", "dog"], SENTENCES)


def test_a_sentence_that_does_not_fit_is_refused_with_its_class(backbone):
    with pytest.raises(DataError, match=r"class `oak`: the prompt .* would be lost"):
        described(backbone.encode_text, ["cat", "oak"], {**SENTENCES, "oak": ["tree " * 90]})


def test_a_class_of_ones_own_is_told_of_no_descriptions(backbone):
    options = LearnerOptions(descriptions=SENTENCES)
    with pytest.raises(DataError, match="read by a class of your own, which is not told of them"):
        open_source(
            "x.pt", backbone=backbone, options=options, learner=lambda *_: ZeroShot(backbone)
        )


PARTS = {"cifar10": ["a photo of a {c}.", "a {}"], "vtab/pets": ["a {c}, a pet."], "dtd": ["{c}!"]}


@pytest.mark.parametrize(
    ("spec", "data", "expected"),
    [
        ("d.json", "OxfordPets", ("a {}, a pet.",)),
        ("d.json", "DescribableTextures", ("{}!",)),
        ("d.json:cifar10", "OxfordPets", ("a photo of a {}.", "a {}")),
        ("d.json:pets", None, ("a {}, a pet.",)),
    ],
)
def test_templates_of_many_data_sets_are_picked_by_name(tmp_path, spec, data, expected):
    write(tmp_path, PARTS)
    assert is_file_of_templates(f"{tmp_path}/{spec}")
    assert read_templates(f"{tmp_path}/{spec}", data) == expected
    options = LearnerOptions(data_name=data)
    filled = filled_options(options, "x", templates=(f"{tmp_path}/{spec}", "{}"), classnames=None)
    assert filled.templates == (*expected, "{}")


def test_a_list_and_a_single_data_set_need_no_name(tmp_path):
    assert read_templates(write(tmp_path, ["a {c}"])) == ("a {}",)
    assert read_templates(write(tmp_path, {"mine": ["my {c}"]}), "ImageNet") == ("my {}",)
    assert not is_file_of_templates("a {}.json")
    assert not is_file_of_templates("a {}, a .json: {}")


@pytest.mark.parametrize(
    ("value", "part", "message"),
    [
        (PARTS, "", "holds 3 data sets .'cifar10', 'vtab/pets', 'dtd'., and none is named; name"),
        (PARTS, ":cars", "and 'cars' is 0 of them; name one: d.json:NAME"),
        ({**PARTS, "oxford_pets": ["{}"]}, ":pets", "and 'pets' is 2 of them"),
        (["a {}"], ":cars", "holds no parts by data set, and 'cars' is asked for"),
        (["a photo"], "", "'a photo' has no single place for the class name"),
        (["{} and {c}"], "", "has no single place"),
        ([], "", r"it has list; expected a list of 1 to 1000 templates"),
        ("a {}", "", "expected a list of 1 to 1000 templates"),
        ({"cat": ["a {}"], "dog": 3}, "", "expected a list of 1 to 1000 templates"),
    ],
)
def test_files_of_templates_of_another_form_are_refused(tmp_path, value, part, message):
    with pytest.raises(DataError, match=message):
        read_templates(f"{write(tmp_path, value)}{part}")


REFUSED = [
    ([], "expected a JSON object of class names"),
    ({}, "expected a JSON object of class names"),
    ({"cat": []}, "class 'cat' has list; expected a list of 1 to 1000 sentences"),
    ({"cat": "purrs"}, "class 'cat' has 'purrs'; expected a list"),
    ({"cat": ["a", 5]}, "expected a list of 1 to 1000"),
    ({"cat": ["a"] * 1001}, "expected a list of 1 to 1000"),
    ({"cat": ["a" * 2001]}, "class 'cat' has one of its sentences above 2000 letters"),
    ({"big_cat": ["a"], "Big Cat": ["b"]}, "two classes have one name"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_files_of_another_form_are_refused(tmp_path, value, message):
    with pytest.raises(DataError, match=message) as refusal:
        read_descriptions(write(tmp_path, value))
    assert len(str(refusal.value).splitlines()) == 1


def test_what_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_descriptions(tmp_path / "none.json")
    (tmp_path / "d.json").write_text("{")
    with pytest.raises(DataError, match="not readable as JSON"):
        read_descriptions(tmp_path / "d.json")
