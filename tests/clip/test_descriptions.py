import json

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.descriptions import described, read_descriptions
from ncscope.clip.prompts import ZeroShot
from ncscope.errors import DataError
from ncscope.features.sources import open_source
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


def test_a_learner_takes_no_descriptions(tmp_path, backbone):
    with pytest.raises(DataError, match="is not zero-shot; expected them for zero-shot alone"):
        open_source(tmp_path, backbone=backbone, options=LearnerOptions(descriptions=SENTENCES))


REFUSED = [
    ([], "expected a JSON object of class names"),
    ({}, "expected a JSON object of class names"),
    ({"cat": []}, "class 'cat' has list; expected a list of 1 to 1000 sentences"),
    ({"cat": "purrs"}, "class 'cat' has 'purrs'; expected a list"),
    ({"cat": ["a", 5]}, "expected a list of 1 to 1000"),
    ({"cat": ["a"] * 1001}, "expected a list of 1 to 1000"),
    ({"cat": ["a" * 2001]}, "class 'cat' has a sentence above 2000 letters"),
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
