import pytest
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.prompts import ZeroShot, known_data
from ncscope.data.images import ImageSet
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from ncscope.features.extract import extract
from ncscope.features.sources import default_templates, name_of_data, open_data
from ncscope.zoo.settings import LearnerOptions
from tests.data.coop_trees import known, write_tree
from tests.tiny_clip import save_folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_backbone(save_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for name in ("DescribableTextures", "ImageNetA"):
        write_tree(root, known(name))
    return root


def test_a_known_data_set_is_measured_with_its_own_template(clip, data):
    features = extract("zero-shot", data=f"dtd:{data}", backbone=clip, cache="off")
    assert features.classnames == ("apple pie", "Boeing 747", "zebra_crossing")
    expected = ZeroShot(clip, ("{} texture.",)).text_features(features.classnames)
    assert features.text is not None
    assert_close(features.text, expected)
    assert features.provenance["learner"]["templates"] == ["{} texture."]
    assert features.provenance["data"] == f"dtd:{data}"
    assert features.provenance["part"] == "test"


def test_the_callers_template_goes_before_it(clip, data):
    features = extract(
        "zero-shot", data=f"dtd:{data}", backbone=clip, cache="off", template="a {} surface"
    )
    assert features.provenance["learner"]["templates"] == ["a {} surface"]


def test_a_half_of_the_classes_is_cut(data):
    images = open_data(f"imagenet-a:{data}", split="new")
    assert images.classnames == ("great white shark",)
    assert images.labels == (0, 0)


def test_the_name_and_the_template_of_data_are_known(data):
    assert name_of_data(f"dtd:{data}") == "DescribableTextures"
    assert default_templates(f"imagenet-a:{data}") == ("a photo of a {}.",)
    assert default_templates("toy:shapes")
    for other in ("photos", data, open_known(f"dtd:{data}")):
        assert name_of_data(other) is None
        assert default_templates(other) == ()
    assert isinstance(open_data(f"dtd:{data}"), ImageSet)


def test_an_unknown_name_lists_the_known_ones_and_a_missing_path_is_a_path():
    with pytest.raises(DataError, match=r"cifar:/x: expected NAME:ROOT .*Caltech101, .*ImageNetR"):
        open_data("cifar:/x")
    with pytest.raises(DataError, match="C:/x: no such folder or file"):
        open_data("C:/x")
    with pytest.raises(DataError, match="folder/x:y: no such folder or file"):
        open_data("folder/x:y")


@pytest.mark.parametrize("name", ["dtd", "DTD", "describable_textures"])
def test_a_data_set_may_be_named_as_people_call_it(clip, data, name):
    features = extract(
        "zero-shot", data=data / "dtd/images", backbone=clip, cache="off",
        options=LearnerOptions(data_name=name),
    )  # fmt: skip
    assert features.provenance["learner"]["templates"] == ["{} texture."]


def test_a_name_of_no_data_set_is_refused_with_those_there_are(clip, data):
    with pytest.raises(
        DataError, match=r"'nonsense' is no data set with a template .* Caltech101,"
    ):
        extract(
            "zero-shot", data=data / "dtd/images", backbone=clip, cache="off",
            options=LearnerOptions(data_name="nonsense"),
        )  # fmt: skip
    assert known_data("oxford_pets") == "OxfordPets"
    assert known_data("nonsense") is None
