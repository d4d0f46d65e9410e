import json
import shutil

import pytest

from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import known, write_tree


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
