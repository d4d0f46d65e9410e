from pathlib import Path

import pytest

from ncscope.data.lists import list_split
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import known, picture, write_tree

SPLITS = Path(__file__).parents[2].parent / "shared" / "data" / "coop_splits"


needs_splits = pytest.mark.skipif(not SPLITS.is_dir(), reason="shared/data/coop_splits is absent")


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
