import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import ToTensor

from ncscope.data.draw import draw_training
from ncscope.data.images import ImageSet
from ncscope.data.objects import images_of
from ncscope.errors import DataError
from ncscope.features.sources import open_data
from tests.data.coop_trees import picture


class ClassLabel:
    names = ("cat", "dog")


class Rows:
    """Of the shape of a Hugging Face data set: rows with columns, columns by name."""

    features = {"image": None, "label": ClassLabel()}  # noqa: RUF012

    def __init__(self, labels):
        self.column_names = list(self.features)
        self.rows = [{"image": grey(40 * i), "label": label} for i, label in enumerate(labels)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        return [row[key] for row in self.rows] if isinstance(key, str) else self.rows[key]


class Pairs(list):
    """Of the shape of a torchvision data set that keeps its labels to itself."""

    classes = ("cat", "dog")


def grey(level):
    return Image.new("L", (3, 2), level)


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["cat/a.png", "cat/b.png", "dog/c.png"]):
        picture(tmp_path / name, grey=i)
    return tmp_path


def test_a_torchvision_data_set_is_read_with_its_names_and_labels(folder):
    images = images_of(ImageFolder(folder), part="test")
    assert (images.classnames, images.labels) == (("cat", "dog"), (0, 0, 1))
    assert (images.name, images.part, images.items) == (
        "torchvision ImageFolder", "test", ("0", "1", "2"),
    )  # fmt: skip
    assert images.load(2).getpixel((0, 0)) == (2, 2, 2)
    assert pickle.loads(pickle.dumps(images.load))(2).mode == "RGB"
    assert draw_training(images, shots=1).counts == (1, 1)


def test_a_subset_of_one_keeps_names_and_labels(folder):
    subset = torch.utils.data.Subset(ImageFolder(folder), [2, 0])
    images = images_of(subset)
    assert (images.classnames, images.labels) == (("cat", "dog"), (1, 0))
    assert images.load(0).getpixel((0, 0)) == (2, 2, 2)


def test_a_hugging_face_data_set_is_read_by_its_columns():
    images = images_of(Rows([1, 0, -1]))
    assert (images.classnames, images.labels) == (("cat", "dog"), (1, 0, -1))
    assert images.load(1).getpixel((0, 0)) == (40, 40, 40)
    with pytest.raises(DataError, match=r"no column 'picture'; it has 'image', 'label'"):
        images_of(Rows([0]), image="picture")


def test_any_object_of_pairs_will_do_and_data_takes_it_as_it_is():
    pairs = Pairs([(grey(0), 1), (grey(9), np.int64(0)), (grey(5), torch.tensor(1))])
    images = open_data(pairs, split="new")
    assert isinstance(images, ImageSet)
    assert (images.classnames, images.labels) == (("dog",), (0, 0))
    assert images.load(1).getpixel((0, 0)) == (5, 5, 5)


def test_names_can_be_given_and_are_needed():
    data = FakeData(size=3, image_size=(3, 8, 8), num_classes=2)
    assert images_of(data, classnames=["a", "b"]).classnames == ("a", "b")
    named = Pairs([(grey(0), 1)])
    assert images_of(named, classnames=["katze", "hund"]).classnames == ("katze", "hund")
    with pytest.raises(DataError, match="tests Pairs: 3 `classnames` for 2 classes; name each"):
        images_of(named, classnames=["a", "b", "c"])
    assert open_data(named, classnames=["dog", "cat"]).labels == (0,)
    with pytest.raises(DataError, match="torchvision FakeData: it does not name its classes"):
        images_of(data)


def test_of_several_names_of_a_class_the_first_is_taken():
    pairs = Pairs([(grey(0), 1)])
    synonyms = (("tench", "Tinca tinca"), ("goldfish", "Carassius auratus"))
    pairs.classes = synonyms  # pyright: ignore[reportAttributeAccessIssue]
    assert images_of(pairs).classnames == ("tench", "goldfish")


def test_a_subset_of_rows_keeps_their_columns():
    rows: Any = Rows([1, 0, 1])
    images = images_of(torch.utils.data.Subset(rows, [2, 1]))
    assert (images.classnames, images.labels) == (("cat", "dog"), (1, 0))
    assert images.load(0).getpixel((0, 0)) == (80, 80, 80)


def test_a_damaged_image_is_named_or_left_out(folder):
    Image.effect_noise((64, 64), 50).save(folder / "cat/b.jpg")
    (folder / "cat/b.jpg").write_bytes((folder / "cat/b.jpg").read_bytes()[:-500])
    data = ImageFolder(folder)  # a.png, b.jpg, b.png of cat; c.png of dog
    with pytest.raises(DataError, match=r"ImageFolder: image 1 cannot be read \(.*truncated"):
        images_of(data)
    images = open_data(data, skip_bad=True)
    assert (images.items, images.labels) == (("0", "2", "3"), (0, 0, 1))
    assert images.warnings == ("left out 1 unreadable image(s): 1",)
    assert images.load(2).getpixel((0, 0)) == (2, 2, 2)
    with pytest.raises(DataError, match="image 1 cannot be read"):
        images_of(data, digest="v1").load(1)
    with pytest.raises(DataError, match="image 1 cannot be read"):
        images_of(ImageFolder(folder, target_transform=int))


def test_the_digest_follows_the_pixels_or_is_given():
    digests = [images_of(Pairs([(grey(level), 0)])).digest for level in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]
    given = [images_of(Pairs([(grey(level), 0)]), digest="v1").digest for level in (0, 1)]
    assert given[0] == given[1] != digests[0]


def test_labels_are_those_of_the_pairs_where_a_transform_changes_them(folder):
    data = ImageFolder(folder, target_transform=lambda label: 1 - label)
    assert images_of(data).labels == (1, 1, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: Pairs(), "no images in it"),
        (lambda _: iter(()), "has no length; expected a data set with a length and an image at"),
        (lambda _: {"train": Pairs()}, "holds 'train'; expected one data set: take one of them"),
        (lambda _: Pairs([(grey(0), 0.5)]), "label 0.5 of image 0; expected a whole number"),
        (lambda _: Pairs([(grey(0), "cat")]), "label 'cat' of image 0; expected a whole number"),
        (lambda _: Pairs([grey(0)]), "expected an image and its label each"),
        (lambda _: Pairs([(grey(0), 7)]), r"labels 7\.\.7; expected 0\.\.1"),
        (lambda _: Pairs([(Image.new("F", (2, 2)), 0)]), "image 0 cannot be read .*floating"),
        (
            lambda root: ImageFolder(root, transform=ToTensor()),
            "image 0 is a Tensor; expected a PIL image: take the data set without a transform",
        ),
    ],
)
def test_objects_that_hold_no_labelled_images_are_refused(make, message, folder):
    with pytest.raises(DataError, match=message):
        images_of(make(folder))
