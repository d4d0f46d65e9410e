import pickle
from pathlib import Path

import pytest

from ncscope.data.draw import draw_training
from ncscope.data.known import KNOWN
from ncscope.data.lists import list_split
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import NAMES, SPLITS, known, needs_splits, picture, write_tree

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


@every_data_set
def test_the_docs_have_every_data_set_as_the_code_has_it(data):
    lists = {"split": f"`{data.split_file}`", "lists": "`variants.txt`, `images_variant_*.txt`"}
    listed = lists.get(data.listing, "class folders, `classnames.txt`")
    images = "/".join(filter(None, (data.folder, data.images)))
    row = f"| `{data.name.lower()}` | `{images}` | {listed} |"
    assert row in (Path(__file__).parents[2] / "docs" / "data.md").read_text()


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
