import json
import pickle
import shutil
from pathlib import Path

import pytest

from ncscope.data.draw import draw_training
from ncscope.data.known import KNOWN, parse_known
from ncscope.data.open_known import open_known
from ncscope.data.split_file import list_split
from ncscope.errors import DataError
from tests.data.coop_trees import NAMES, known, picture, write_tree

SPLITS = Path(__file__).parents[2].parent / "shared" / "data" / "coop_splits"
every_data_set = pytest.mark.parametrize("data", KNOWN, ids=lambda data: data.name)
SPLIT = ("apple pie", "Boeing 747", "zebra_crossing")


@every_data_set
def test_every_data_set_opens_from_both_folders(data, tmp_path):
    home = write_tree(tmp_path, data)
    images = open_known(f"{data.name}:{tmp_path}")
    own = open_known(f"{data.name}:{home}")
    assert (images.part, len(images), images.warnings) == ("test", 6, ())
    assert images.name == f"{data.name}:{tmp_path}"
    assert (images.items, images.labels, images.digest) == (own.items, own.labels, own.digest)
    names = {"split": SPLIT, "lists": ("707-320", "F/A-18", "Boeing 717")}
    assert images.classnames == names.get(data.listing, NAMES)
    grey = [images.load(i).getpixel((0, 0))[0] for i in range(6)]  # pyright: ignore
    assert grey == list(images.labels)
    assert pickle.loads(pickle.dumps(images.load))(5).size == (3, 2)


@every_data_set
def test_every_data_set_gives_its_training_images_or_says_that_it_has_none(data, tmp_path):
    write_tree(tmp_path, data)
    if data.listing in ("folders", "numbered"):
        with pytest.raises(DataError, match="no part `train`; it has test"):
            open_known(f"{data.name}:{tmp_path}", part="train")
        return
    train = open_known(f"{data.name}:{tmp_path}", part="train")
    assert (train.part, len(train)) == ("train", 6)
    assert not set(train.items) & set(open_known(f"{data.name}:{tmp_path}").items)
    assert draw_training(train, shots=1, split="base").counts == (1, 1)


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


def test_the_order_is_that_of_the_split_file(tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    images = open_known(f"eurosat:{tmp_path}", part="val")
    assert images.labels == (2, 2, 0, 0, 1, 1)
    assert images.items[0] == "zebra_crossing/val0.png"


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
        ('{"test": [["a.png", 1, "a"]]}', "no image of label 0; expected labels 0"),
        ('{"test": [["a.png", 0, "a"], ["b.png", 0, "b"]]}', "label 0 is called 'b' at b.png and"),
        ('{"test": [["a.png", 0, "a"]', "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"train": [["a.png", 0, "a"]], "test": []}', "no images listed"),
    ],
)
def test_a_split_file_that_says_nothing_clear_is_refused(content, message, tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    (home / "split_zhou_EuroSAT.json").write_text(content)
    with pytest.raises(DataError, match=message):
        open_known(f"eurosat:{tmp_path}")


def test_a_part_that_the_split_file_lacks_is_refused(tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    with pytest.raises(DataError, match="no part `other`; it has test, train, val"):
        open_known(f"eurosat:{tmp_path}", part="other")


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


def test_a_missing_split_file_is_named_with_where_it_is(tmp_path):
    home = write_tree(tmp_path, known("OxfordPets"))
    (home / "split_zhou_OxfordPets.json").unlink()
    with pytest.raises(
        DataError, match=r"split_zhou_OxfordPets\.json: no such file; .*CoOp's DATASETS\.md .*cross"
    ):
        open_known(f"oxford_pets:{tmp_path}")


def test_class_folders_stand_in_for_a_missing_split_file_and_it_is_said(tmp_path):
    images = tmp_path / "caltech-101" / "101_ObjectCategories"
    for folder in [
        "accordion",
        "Faces",
        "Faces_easy",
        "BACKGROUND_Google",
        "yin_yang",
        "airplanes",
    ]:
        picture(images / folder / "image_0001.jpg")
    found = open_known(f"caltech101:{tmp_path}")
    assert found.classnames == ("face", "accordion", "airplane", "yin_yang")
    assert found.items == tuple(
        f"{folder}/image_0001.jpg" for folder in ("Faces", "accordion", "airplanes", "yin_yang")
    )
    assert found.labels == (0, 1, 2, 3)
    assert found.part is None
    assert "numbers are not those of the published test split" in found.warnings[0]
    with pytest.raises(DataError, match=r"split_zhou_Caltech101\.json: no such file"):
        open_known(f"caltech101:{tmp_path}", part="train")


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


def test_the_class_names_may_lie_with_imagenet(tmp_path):
    write_tree(tmp_path, known("ImageNet"))
    home = write_tree(tmp_path, known("ImageNetR"))
    (home / "classnames.txt").unlink()
    assert open_known(f"imagenet-r:{tmp_path}").classnames == NAMES
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


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("variants.txt", None, r"variants\.txt: no such file; it comes with the images"),
        ("variants.txt", "a\na\n", r"variants\.txt: no variants, or one twice"),
        ("images_variant_test.txt", "1 Concorde\n", "line 1: '1 Concorde'; expected the name of"),
        ("images_variant_test.txt", "../1 707-320\n", "line 1: path '../1.jpg' leaves"),
        ("images_variant_test.txt", b"\xff\xfe", "cannot be read as lines of text"),
    ],
)
def test_aircraft_lists_that_say_nothing_clear_are_refused(file, content, message, tmp_path):
    path = write_tree(tmp_path, known("FGVCAircraft")) / file
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        open_known(f"aircraft:{tmp_path}")


@every_data_set
def test_the_docs_have_every_data_set_as_the_code_has_it(data):
    lists = {"split": f"`{data.split_file}`", "lists": "`variants.txt`, `images_variant_*.txt`"}
    listed = lists.get(data.listing, "class folders, `classnames.txt`")
    images = "/".join(filter(None, (data.folder, data.images)))
    row = f"| `{data.name.lower()}` | `{images}` | {listed} |"
    assert row in (Path(__file__).parents[2] / "docs" / "data.md").read_text()


needs_splits = pytest.mark.skipif(not SPLITS.is_dir(), reason="shared/data/coop_splits is absent")


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


@needs_splits
@pytest.mark.parametrize("name", ["Caltech101", "EuroSAT", "DescribableTextures"])
def test_the_rules_for_class_folders_give_the_names_and_order_of_the_split_file(name, tmp_path):
    data = known(name)
    whole = list_split(SPLITS / data.split_file, Path("x"), part="train")
    label_of = {Path(item).parts[0]: label for item, label in zip(whole.items, whole.labels)}  # noqa: B905
    for folder in label_of:
        picture(tmp_path / data.folder / data.images / folder / "1.jpg")
    found = open_known(f"{name}:{tmp_path}")
    assert found.classnames == whole.classnames
    assert [label_of[Path(item).parts[0]] for item in found.items] == list(found.labels)
