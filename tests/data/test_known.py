from pathlib import Path

import pytest

from ncscope.data.known import parse_known
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import known, write_tree


@pytest.mark.parametrize("name", ["eurosat", "EuroSAT", "EUROSAT"])
def test_names_are_matched_whatever_their_spelling(name, tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    assert len(open_known(f"{name}:{tmp_path}")) == 6


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("imagenet-r:/data", "ImageNetR"),
        ("imagenet_a:/data", "ImageNetA"),
        ("imagenetv2:/data", "ImageNetV2"),
        ("imagenet-sketch:/data", "ImageNetSketch"),
        ("oxford_pets:/data", "OxfordPets"),
        ("caltech-101:/data", "Caltech101"),
        ("food101:/data", "Food101"),
        ("dtd:/data", "DescribableTextures"),
        ("sun397:/data", "SUN397"),
    ],
)
def test_the_names_people_use_are_known(spec, name):
    parsed = parse_known(spec)
    assert parsed is not None
    assert (parsed[0].name, parsed[1]) == (name, Path("/data"))


def test_other_data_are_not_taken_for_a_known_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("eurosat:here").mkdir()
    for spec in ["photos", "C:/photos", "toy:shapes", "cats:/data", "eurosat", "eurosat:here"]:
        assert parse_known(spec) is None
    with pytest.raises(DataError, match="cats:/data: expected NAME:ROOT of a known data set: Cal"):
        open_known("cats:/data")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "nowhere: no such folder; expected the folder that holds"),
        (lambda root: root, "no folder eurosat/ in it; expected"),
    ],
)
def test_a_folder_without_the_data_set_is_refused(make, message, tmp_path):
    with pytest.raises(DataError, match=message):
        open_known(f"eurosat:{make(tmp_path)}")
    with pytest.raises(DataError, match="eurosat:: no folder after the colon"):
        open_known("eurosat:")


def test_a_folder_of_images_alone_is_not_taken_for_the_data_set(tmp_path):
    (tmp_path / "images/somebody").mkdir(parents=True)
    for name in ("food101", "pets", "imagenet", "aircraft"):
        with pytest.raises(DataError, match=r"no folder .*/ in it; expected"):
            open_known(f"{name}:{tmp_path}")
    home = write_tree(tmp_path, known("OxfordPets")).rename(tmp_path / "my-pets")
    assert len(open_known(f"pets:{home}")) == 6
