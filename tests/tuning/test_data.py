"""What `tune` takes as data, and what it refuses before anything is computed."""

# What is refused is of no type that is taken.
# pyright: reportArgumentType=false

import json
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

import ncscope
from ncscope.data.draw import draw_training
from ncscope.data.images import open_images
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from ncscope.toy.model import load_toy_clip
from tests.data.coop_trees import known, write_pickle, write_tree
from tests.pictures import save_pictures


@pytest.fixture(scope="module")
def clip():
    return load_toy_clip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Path(save_pictures(tmp_path_factory.mktemp("pictures")))


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_tree(root, known("OxfordPets"))
    return root


def short(clip, data, **changes):
    options = {"recipe": "toy", "shots": 2, "epochs": 1, "cache": "off", **changes}
    return ncscope.tune("coop", data=data, backbone=clip, **options)


def test_objects_by_part_are_tuned_on_as_their_folder_is(clip, folder, tmp_path):
    objects = {part: ImageFolder(folder / part) for part in ("train", "test")}
    ours = short(clip, objects, out=tmp_path / "objects")
    theirs = short(clip, folder, out=tmp_path / "folder")
    assert ours.record["counts"] == theirs.record["counts"]
    assert ours.accuracy == theirs.accuracy
    config = json.loads((tmp_path / "objects/config.json").read_text())
    assert config["data"] == "torchvision ImageFolder"
    assert json.loads((tmp_path / "folder/config.json").read_text())["data"] == str(folder)


def test_image_sets_by_part_are_taken_by_the_names_of_parts(clip, folder):
    parts = {"Training": open_images(folder, part="train"), "test": open_images(folder)}
    assert short(clip, parts).record["data"] == str(folder)
    with pytest.raises(DataError, match="`data` has train, test; expected 'val' among them"):
        short(clip, parts, test_part="val")


def test_one_object_is_refused_as_it_would_be_trained_and_tested_on(folder):
    message = "and training and test images would be the same; expected a path, NAME:ROOT, or"
    for data in (ImageFolder(folder / "train"), open_images(folder)):
        with pytest.raises(DataError, match=message):
            short("nowhere", data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"train": 1}, r"`data` has 'train'; expected \{'train': \.\.\., 'test'"),
        ({"train": 1, "test": 2, "more": 3}, "`data` has 'train', 'test', 'more'; expected"),
        ({}, "`data` has nothing; expected"),
        ({"train": "photos", "test": "photos"}, r"`data\['test'\]` is a path; expected an object"),
        ({"train": 1, "test": 2, "eval": 3}, "'eval' and 'test' both stand for the part test"),
        ({"train": 1, "test": 2}, "builtins int: has no length"),
    ],
)
def test_parts_that_are_none_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        short("nowhere", data)


def test_training_and_test_classes_that_differ_are_refused_at_once(folder):
    train, test = open_images(folder, part="train"), open_images(folder)
    first, *others = test.classnames
    renamed = test.__class__(**{**vars(test), "classnames": ("another", *others)})
    with pytest.raises(DataError, match=f"without {first} and with another; expected the same"):
        short("nowhere", {"train": train, "test": renamed})
    turned = test.__class__(**{**vars(test), "classnames": (*others, first)})
    with pytest.raises(DataError, match="test classes, in another order; expected the same"):
        short("nowhere", {"train": train, "test": turned})


def listed(pets, path, *, seed=3):
    draw = draw_training(open_known(f"pets:{pets}", part="train"), shots=2, seed=seed)
    images = draw.images
    rows = [
        (f"/home/kaiyang/data/oxford_pets/images/{item}", label, images.classnames[label])
        for item, label in zip(images.items, images.labels, strict=True)
    ]
    write_pickle(path, {"train": rows})
    return path


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_a_list_of_images_is_trained_on_as_the_draw_it_was_written_of(clip, pets, tmp_path, tau):
    path = listed(pets, tmp_path / "shot_2-seed_3.pkl")
    options = {"tau": tau, "split": "all", "seed": 3}
    drawn = short(clip, f"pets:{pets}", **options)
    read = short(clip, f"pets:{pets}", shots=16, few_shot=path, out=tmp_path / "run", **options)
    assert read.record["counts"] == drawn.record["counts"]
    for ours, theirs in zip(read.features.values(), drawn.features.values(), strict=True):
        assert (ours.text == theirs.text).all()
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert (config["few_shot"], config["shots"], read.record["shots"]) == (str(path), 2, 2)


def test_a_list_that_the_shots_or_the_data_do_not_fit_is_refused(folder, pets, tmp_path):
    path = listed(pets, tmp_path / "shot_2-seed_3.pkl")
    with pytest.raises(DataError, match=r"up to 2 images of a class, and `shots` is 4; leave --sh"):
        short("nowhere", f"pets:{pets}", shots=4, few_shot=path)
    with pytest.raises(DataError, match="expected NAME:ROOT of a known data set"):
        short("nowhere", folder, few_shot=path)
