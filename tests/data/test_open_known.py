import pickle
from pathlib import Path

import pytest

from ncscope.data.draw import draw_training
from ncscope.data.known import KNOWN
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import NAMES, write_tree

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
