import shutil

import pytest

from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import NAMES, known, picture, write_tree


def test_imagenets_validation_images_are_its_test_part_and_no_other(tmp_path):
    write_tree(tmp_path, known("ImageNet"))
    assert open_known(f"imagenet:{tmp_path}").items[0] == "n01440764/val0.JPEG"
    with pytest.raises(DataError, match="no part `val`; it has train, test; its validation images"):
        open_known(f"imagenet:{tmp_path}", part="val")


def test_a_variant_has_the_classes_of_its_folders(tmp_path):
    home = write_tree(tmp_path, known("ImageNetA"))
    shutil.rmtree(home / "imagenet-a" / "n01443537")
    (home / "imagenet-a" / "README.txt").write_text("beside the folders")
    images = open_known(f"imagenet-a:{tmp_path}")
    assert images.classnames == ("tench", "great white shark")
    assert images.labels == (0, 0, 1, 1)


@pytest.mark.parametrize("name", ["ImageNet", "ImageNetSketch", "ImageNetV2"])
def test_a_partly_unpacked_data_set_is_refused_with_what_is_missing(name, tmp_path):
    data = known(name)
    home = write_tree(tmp_path, data)
    inner = "val" if name == "ImageNet" else ""
    gone = "1" if name == "ImageNetV2" else "n01443537"
    shutil.rmtree(home / data.images / inner / gone)
    with pytest.raises(DataError, match=rf"(1 of 3 class folders|and 1) are missing: {gone}"):
        open_known(f"{name}:{tmp_path}")
    if name == "ImageNet":
        assert len(open_known(f"{name}:{tmp_path}", part="train").classnames) == 3


def test_validation_images_that_are_in_no_folders_are_refused_with_what_to_do(tmp_path):
    home = write_tree(tmp_path, known("ImageNet"))
    shutil.rmtree(home / "images/val")
    picture(home / "images/val/ILSVRC2012_val_00000001.JPEG")
    message = r"its 1 files, 'ILSVRC2012_val_00000001\.JPEG' among them, belong in a folder a class"
    with pytest.raises(DataError, match=message):
        open_known(f"imagenet:{tmp_path}")


def test_stray_files_are_no_images(tmp_path):
    home = write_tree(tmp_path, known("ImageNetA"))
    (home / "imagenet-a" / "n01440764" / "Thumbs.db").write_bytes(b"x")
    assert len(open_known(f"imagenet-a:{tmp_path}")) == 6


def test_numbered_folders_are_in_the_order_of_their_numbers(tmp_path):
    home = write_tree(tmp_path, known("ImageNetV2"))
    names = [f"name {label}" for label in range(11)]
    lines = [f"n{label:08d} {name}" for label, name in enumerate(names)]
    (home / "classnames.txt").write_text("\n".join(lines))
    for label in range(11):
        picture(home / known("ImageNetV2").images / str(label) / "x.jpeg", grey=label)
    images = open_known(f"imagenetv2:{tmp_path}")
    assert images.classnames == tuple(names)
    assert all(
        item.startswith(f"{k}/") for k, item in zip(images.labels, images.items, strict=True)
    )


def test_the_class_names_may_lie_with_imagenet(tmp_path, monkeypatch):
    write_tree(tmp_path, known("ImageNet"))
    home = write_tree(tmp_path, known("ImageNetR"))
    (home / "classnames.txt").unlink()
    assert open_known(f"imagenet-r:{tmp_path}").classnames == NAMES
    monkeypatch.chdir(home)
    assert open_known("imagenet-r:.").classnames == NAMES
    (tmp_path / "imagenet" / "classnames.txt").unlink()
    with pytest.raises(DataError, match=r"classnames\.txt: no such file; it names the classes"):
        open_known(f"imagenet-r:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "names", "message"),
    [
        ("imagenet-r", "n01440764 tench\n", "2 of 3 folders are not in classnames.txt: n01443537"),
        ("imagenet-r", "n01440764\n", "line 1 is 'n01440764'; expected a folder"),
        ("imagenet-r", "n01440764 a\nn01440764 b\n", "line 2 is 'n01440764 b'"),
        ("imagenet-r", "\n", "no class names in it"),
        ("imagenetv2", "n01440764 tench\n", r"expected the folders 0\.\.0, one a line"),
    ],
)
def test_class_names_that_do_not_fit_the_folders_are_refused(name, names, message, tmp_path):
    data = known({"imagenet-r": "ImageNetR", "imagenetv2": "ImageNetV2"}[name])
    (write_tree(tmp_path, data) / "classnames.txt").write_text(names)
    with pytest.raises(DataError, match=message):
        open_known(f"{name}:{tmp_path}")


@pytest.mark.parametrize("name", ["ImageNet", "ImageNetV2", "ImageNetSketch"])
def test_missing_folders_are_refused(name, tmp_path):
    home = write_tree(tmp_path, known(name))
    shutil.rmtree(home / known(name).images)
    with pytest.raises(DataError, match=r"expected a folder of class folders \(No such file"):
        open_known(f"{name}:{tmp_path}")
    (home / known(name).images / "val").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no folders of classes in it|expected the folders|not in"):
        open_known(f"{name}:{tmp_path}")
