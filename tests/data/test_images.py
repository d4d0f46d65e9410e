import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ncscope.data.classes import select_classes
from ncscope.data.draw import draw_training
from ncscope.data.files import FileLoader
from ncscope.data.folders import natural
from ncscope.data.images import ImageSet, Subset, image_digest, open_images, subset
from ncscope.errors import DataError
from tests.data.label_sets import image_set, name_of

GROCERY = Path(__file__).parents[2].parent / "shared" / "data" / "grocery38"


def picture(path, *, seed=0, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return values


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(["class10/b.png", "class10/a.png", "class2/1.png", "class2/10.png"]):
        picture(tmp_path / "set" / name, seed=i)
    return tmp_path / "set"


@pytest.fixture
def divided(tmp_path):
    for name in ["train/cat/1.png", "train/dog/2.png", "test/dog/3.png", "val/cat/4.png"]:
        picture(tmp_path / "set" / name, seed=int(name[-5]))
    (tmp_path / "set/test/cat").mkdir()
    return tmp_path / "set"


def test_a_folder_of_class_folders_is_labelled_in_natural_order(folder):
    images = open_images(folder)
    assert images.classnames == ("class2", "class10")
    assert images.items == ("class2/1.png", "class2/10.png", "class10/a.png", "class10/b.png")
    assert images.labels == (0, 0, 1, 1)
    assert (len(images), images.part, images.warnings) == (4, None, ())


def test_images_load_as_they_are(folder):
    images = open_images(folder)
    expected = picture(folder / "class2/1.png", seed=2)
    np.testing.assert_array_equal(np.asarray(images.load(0)), expected)
    assert images.load(0).mode == "RGB"


def test_stray_files_are_passed_over_and_deeper_ones_found(folder):
    for name in [".DS_Store", "Thumbs.db", "desktop.ini", "class2/.hidden.png", "class2/Thumbs.db"]:
        (folder / name).write_bytes(b"x")
    (folder / "README.md").write_text("beside the classes")
    (folder / ".git").mkdir()
    picture(folder / "__MACOSX/1.png")
    picture(folder / "class2/deeper/still/2.png")
    images = open_images(folder)
    assert images.classnames == ("class2", "class10")
    assert "class2/deeper/still/2.png" in images.items
    assert len(images) == 5


@pytest.mark.parametrize(
    ("part", "items"),
    [
        (None, ("test/dog/3.png",)),
        ("train", ("train/cat/1.png", "train/dog/2.png")),
        ("val", ("val/cat/4.png",)),
    ],
)
def test_divided_data_give_one_part_with_the_labels_of_all(divided, part, items):
    images = open_images(divided, part=part)
    assert images.items == items
    assert images.classnames == ("cat", "dog")
    assert images.part == (part or "test")


def test_a_class_without_images_keeps_its_label_and_is_a_warning(divided):
    images = open_images(divided)
    assert images.labels == (1,)
    assert images.warnings == ("1 class(es) without images: cat",)


def test_another_part_than_test_is_said(divided):
    shutil.rmtree(divided / "test")
    picture(divided / "meta/x/1.png")
    images = open_images(divided)
    assert images.part == "val"
    assert "no part `test` in set; took `val`" in images.warnings
    assert "folders beside val/ were not read: meta" in images.warnings


def test_a_part_that_is_not_there_is_refused(divided):
    shutil.rmtree(divided / "val")
    with pytest.raises(DataError, match="no part `val`; it has test, train"):
        open_images(divided, part="val")


def test_a_part_of_undivided_data_is_refused(folder):
    with pytest.raises(DataError, match="no part `train`; it is not divided into parts"):
        open_images(folder, part="train")


def test_classes_called_like_parts_are_classes(tmp_path):
    for name in ["train", "bus"]:
        picture(tmp_path / name / "1.png")
    assert open_images(tmp_path).classnames == ("bus", "train")


def test_folders_of_parts_are_known_by_their_other_names(tmp_path):
    for name in ["Training/cat/1.png", "Training/dog/2.png", "validation/cat/3.png"]:
        picture(tmp_path / name)
    images = open_images(tmp_path)
    assert (images.classnames, images.part) == (("cat", "dog"), "val")
    assert images.items == ("validation/cat/3.png",)
    assert len(open_images(tmp_path, part="train")) == 2
    picture(tmp_path / "val/cat/1.png")
    with pytest.raises(DataError, match="'val' and 'validation' both stand for the part val"):
        open_images(tmp_path)


def test_a_linked_folder_within_a_class_is_not_followed_and_that_is_said(folder, tmp_path):
    picture(tmp_path / "elsewhere/1.png")
    (folder / "class2/more").symlink_to(tmp_path / "elsewhere")
    (folder / "class11").symlink_to(tmp_path / "elsewhere")
    images = open_images(folder)
    assert images.classnames == ("class2", "class10", "class11")
    assert len(images) == 5
    assert images.warnings == ("1 link(s) to folders were not followed: class2/more",)


def test_class_names_that_are_wordnet_ids_are_a_warning(tmp_path):
    for name in ["n01440764/1.png", "n01443537/1.png"]:
        picture(tmp_path / name)
    [warning] = open_images(tmp_path).warnings
    assert warning.startswith("the class names are WordNet ids (n01440764, …)")
    assert "imagenet:ROOT" in warning
    picture(tmp_path / "cat/1.png")
    assert open_images(tmp_path).warnings == ()


def test_a_class_name_in_another_encoding_is_refused_as_text_that_can_be_printed(tmp_path):
    folder = tmp_path / os.fsdecode("caf\xe9".encode("latin-1"))
    try:
        picture(folder / "1.png")
    except OSError:
        pytest.skip("the file system takes no such name")
    with pytest.raises(DataError, match=r"the class name 'caf\\udce9' is not UTF-8; rename it"):
        open_images(tmp_path)
    with pytest.raises(DataError, match=r"the path '.*caf\\udce9' is not UTF-8; rename it"):
        open_images(folder)


def test_numbers_longer_than_an_integer_may_be_are_in_order():
    long = ["9" * 5000, "1" + "0" * 5000, "007", "7", "10"]
    assert sorted(long, key=natural) == ["007", "7", "10", "9" * 5000, "1" + "0" * 5000]


def test_files_that_are_no_images_are_counted_and_named(folder):
    (folder / "class2/notes.txt").write_text("not an image")
    (folder / "class10/empty.png").write_bytes(b"")
    with pytest.raises(
        DataError,
        match=r"2 of 6 files cannot be read as images: class2/notes.txt, "
        r"class10/empty.png; remove them; analyze and extract leave them out with --skip-bad",
    ):
        open_images(folder)
    images = open_images(folder, skip_bad=True)
    assert len(images) == 4
    assert images.warnings == (
        "left out 2 unreadable file(s): class2/notes.txt, class10/empty.png",
    )


def test_the_digest_follows_content_names_and_labels_and_not_the_place(folder, tmp_path):
    digest = open_images(folder).digest
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, copy)
    assert open_images(copy).digest == digest
    picture(copy / "class2/1.png", seed=99)
    assert open_images(copy).digest != digest
    shutil.rmtree(copy)
    shutil.copytree(folder, copy)
    (copy / "class2").rename(copy / "class3")
    assert open_images(copy).digest != digest


def test_the_digest_cannot_be_shifted_between_its_parts():
    assert image_digest(["a", "b"], ["x"], [0], ["h"]) != image_digest(["a"], ["x"], [0], ["h"])
    assert image_digest(["a"], ["x", "y"], [0, 1], ["h", "h"]) != image_digest(
        ["a"], ["x", "y"], [1, 0], ["h", "h"]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "no such folder or file"),
        (lambda root: root, "no class folders in it; expected one folder a class"),
        (lambda root: (root / "cat").mkdir() or root, r"1 class folder\(s\), all empty: cat"),
        (lambda root: (root / "a.zip").touch() or root / "a.zip", "got a file"),
    ],
)
def test_what_holds_no_images_is_refused(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        open_images(make(tmp_path))


def test_a_folder_of_nothing_readable_is_refused_even_when_skipping(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/a.png").write_text("no")
    with pytest.raises(DataError, match="none of the 1 files is a readable image"):
        open_images(tmp_path, skip_bad=True)


def test_an_image_set_needs_a_label_an_image_in_range():
    def make(labels):
        return ImageSet("x", ("a", "b"), labels, ("1", "2"), "digest", FileLoader((), ()))

    assert len(make((1, -1))) == 2
    with pytest.raises(DataError, match="1 labels for 2 images"):
        make((0,))
    with pytest.raises(DataError, match=r"labels 0\.\.2; expected 0\.\.1"):
        make((0, 2))


@pytest.mark.skipif(not GROCERY.is_dir(), reason="shared/data/grocery38 is absent")
def test_real_photographs_are_read():
    images = open_images(GROCERY)
    assert (len(images), len(images.classnames), images.part) == (931, 38, "test")
    assert images.warnings == ()
    assert images.load(930).mode == "RGB"
    assert len(open_images(GROCERY, part="train")) == 1396


def test_a_selection_keeps_order_labels_and_what_loads():
    images = subset(image_set([0, 1, 2, 1]), [3, 0])
    assert (images.items, images.labels) == (("3.png", "0.png"), (1, 0))
    assert images.classnames == ("c0", "c1", "c2")
    assert [images.load(i) for i in range(2)] == [3, 0]
    inner = subset(images, [1])
    assert inner.load == Subset(name_of, (0,))  # pyright: ignore
    assert len({images.digest, inner.digest, "digest"}) == 3
    with pytest.raises(DataError, match=r"set: rows -1\.\.0 asked for; expected 0\.\.3"):
        subset(image_set([0, 1, 2, 1]), [0, -1])


def test_a_drawn_set_loads_after_pickling_and_carries_its_own_paths_only(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    for i, path in enumerate(paths):
        Image.new("RGB", (2, 2), (i, 0, 0)).save(path)
    names = tuple(path.name for path in paths)
    load = FileLoader(tuple(map(str, paths)), names)
    train = ImageSet("set", ("a", "b"), tuple(i % 2 for i in range(20)), names, "digest", load)
    draw = draw_training(train, shots=2, tau=0.5, split="all")
    copy = pickle.loads(pickle.dumps(draw.images.load))
    assert [f"{copy(i).getpixel((0, 0))[0]}.png" for i in range(3)] == list(draw.images.items)
    assert len(copy.paths) == 3
    new = select_classes(draw.images, "new")
    assert f"{new.load(0).getpixel((0, 0))[0]}.png" == new.items[0]  # pyright: ignore
