import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ncscope.data.lists import list_split, open_split
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import SPLITS, known, needs_splits, write_tree


def test_the_order_is_that_of_the_split_file(tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    images = open_known(f"eurosat:{tmp_path}", part="val")
    assert images.labels == (2, 2, 0, 0, 1, 1)
    assert images.items[0] == "zebra_crossing/val0.png"


@pytest.mark.parametrize(
    "path",
    ["../x.png", "a/../../x.png", "/etc/passwd", "..\\x.png", "C:\\x.png", "C:/x.png", "", ".",
     "a\0b", "a\x1b[2J.png", "\ud800.png", 7, None],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_is_refused(path, tmp_path):
    split = {"train": [], "val": [], "test": [["ok.png", 0, "a"], [path, 0, "a"]]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    with pytest.raises(DataError, match=r"test\[1\]: (path .* leaves|expected the path of an im)"):
        list_split(tmp_path / "split.json", tmp_path, part="test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected an object of parts, got list"),
        ("{}", "expected the parts train, val and test, got no keys"),
        ('{"images": []}', "got the keys 'images'"),
        ('{"test": {}}', r"test: expected a list of \[path, label, class name\]"),
        ('{"test": [["a.png", 0]]}', r"test\[0\]: expected \[path, label, class name\], got"),
        ('{"test": [["a.png", "0", "a"]]}', r"test\[0\]: label '0'; expected a whole number"),
        ('{"test": [["a.png", true, "a"]]}', r"test\[0\]: label True;"),
        ('{"test": [["a.png", -1, "a"]]}', "label -1;"),
        ('{"test": [["a.png", 1000000, "a"]]}', "label 1000000;"),
        ('{"test": [["a.png", 0, ""]]}', r"test\[0\]: class name ''; expected plain text"),
        ('{"test": [["a.png", 0, "\\u001b[2J"]]}', "expected plain text"),
        ('{"test": [["a.png", 0, "\\ud800"]]}', "expected plain text"),
        (
            '{"test": [["a.png", 1, "a"]]}',
            "no image of label 0; the labels are 1..1, which looks like counting from 1",
        ),
        ('{"test": [["a.png", 0, "a"], ["b.png", 0, "b"]]}', "label 0 is called 'b' at b.png and"),
        ('{"test": [["a.png", 0, "a"]', "cannot be read as JSON"),
        ('{"train": [], "test": [], "train": []}', "the key 'train' comes twice in one object"),
        ('{"train": [], "test": []}', "lists no image in train, test"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"train": [["a.png", 0, "a"]], "test": []}', "no images listed"),
    ],
)
def test_a_split_file_that_says_nothing_clear_is_refused(content, message, tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    (home / "split_zhou_EuroSAT.json").write_text(content)
    with pytest.raises(DataError, match=message):
        open_known(f"eurosat:{tmp_path}")


def test_another_part_than_test_is_said(tmp_path):
    path = write_tree(tmp_path, known("EuroSAT")) / "split_zhou_EuroSAT.json"
    content = json.loads(path.read_text())
    del content["test"]
    path.write_text(json.dumps(content))
    images = open_known(f"eurosat:{tmp_path}")
    assert images.part == "val"
    assert images.warnings == ("no part `test` in split_zhou_EuroSAT.json; took `val`",)


def test_a_part_that_the_split_file_lacks_is_refused(tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    with pytest.raises(DataError, match="no part `other`; it has test, train, val"):
        open_known(f"eurosat:{tmp_path}", part="other")


@needs_splits
@pytest.mark.parametrize(
    ("name", "classes", "sizes", "first"),
    [
        ("Caltech101", 100, (4128, 1649, 2465), "face"),
        ("OxfordPets", 37, (2944, 736, 3669), "abyssinian"),
        ("StanfordCars", 196, (6509, 1635, 8041), "2000 AM General Hummer SUV"),
        ("OxfordFlowers", 102, (4093, 1633, 2463), "pink primrose"),
        ("DescribableTextures", 47, (2820, 1128, 1692), "banded"),
        ("EuroSAT", 10, (13500, 5400, 8100), "Annual Crop Land"),
        ("UCF101", 101, (7639, 1898, 3783), "Apply_Eye_Makeup"),
    ],
)
def test_the_real_split_files_are_read(name, classes, sizes, first):
    path = SPLITS / known(name).split_file
    parts = [list_split(path, Path("x"), part=part) for part in ("train", "val", "test")]
    assert tuple(len(listing.items) for listing in parts) == sizes
    for listing in parts:
        assert len(listing.classnames) == classes
        assert set(listing.labels) == set(range(classes))
        assert listing.classnames[0] == first


def test_a_missing_picture_is_named_or_left_out(tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    (home / "2750/apple pie/test1.png").unlink()
    (home / "2750/Boeing 747/test0.png").write_bytes(b"")
    with pytest.raises(
        DataError,
        match=r"2 of 6 listed images are missing or empty: apple pie/test1\.png, Boeing 747/test0",
    ):
        open_known(f"eurosat:{tmp_path}")
    images = open_known(f"eurosat:{tmp_path}", skip_bad=True)
    assert len(images) == 4
    assert images.warnings == (
        "left out 2 missing file(s): apple pie/test1.png, Boeing 747/test0.png",
    )
    shutil.rmtree(home / "2750")
    with pytest.raises(DataError, match="6 of 6 listed images are missing"):
        open_known(f"eurosat:{tmp_path}", skip_bad=True)


def test_a_folder_or_a_broken_link_is_no_picture(tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    (home / "2750/apple pie/test1.png").unlink()
    (home / "2750/apple pie/test1.png").mkdir()
    (home / "2750/apple pie/test0.png").unlink()
    (home / "2750/apple pie/test0.png").symlink_to("nowhere")
    with pytest.raises(DataError, match="2 of 6 listed images are missing"):
        open_known(f"eurosat:{tmp_path}")


def test_the_digest_follows_the_list_and_the_sizes(tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    digest = open_known(f"eurosat:{tmp_path}").digest
    copy = tmp_path / "copy"
    shutil.copytree(home, copy / "eurosat")
    assert open_known(f"eurosat:{copy}").digest == digest
    with (copy / "eurosat/2750/apple pie/test0.png").open("ab") as file:
        file.write(b"x")
    assert open_known(f"eurosat:{copy}").digest != digest
    rows = json.loads((home / "split_zhou_EuroSAT.json").read_text())
    rows["test"].reverse()
    (home / "split_zhou_EuroSAT.json").write_text(json.dumps(rows))
    assert open_known(f"eurosat:{tmp_path}").digest != digest


def test_a_split_file_of_ones_own_finds_its_images_beside_it_or_one_folder_below(tmp_path):
    for folder in ("", "pictures"):
        home = tmp_path / f"of-{folder}"
        (home / folder / "a").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(home / folder / "a" / "0.png")
        path = home / "split_mine.json"
        path.write_text('{"test": [["a/0.png", 0, "cat"]]}')
        images = open_split(path)
        assert images.classnames == ("cat",)
        assert images.load(0).size == (4, 4)
    path.write_text('{"test": [["a/9.png", 0, "cat"]]}')
    with pytest.raises(DataError, match=r"1 of 1 listed images are missing or empty: a/9\.png"):
        open_split(path)
