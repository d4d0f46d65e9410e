"""Feature files as data: their parts, and what of them is refused."""

# Features made here have both sides, which their type leaves open.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOptionalOperand=false

from typing import Any

import numpy as np
import pytest
import torch

from ncscope.data.classes import select_classes
from ncscope.data.images import subset
from ncscope.errors import DataError, ShapeError
from ncscope.features.parts import holds_features, read_parts, stored_rows
from ncscope.features.space import feature_space

rng = np.random.default_rng(0)
ROWS = {part: rng.normal(size=(6, 4)).astype(np.float32) for part in ("train", "val", "test")}
TEXT = rng.normal(size=(3, 4)).astype(np.float32)
LABEL = np.array([0, 1, 2, 0, 1, 2])


def saved(path, **changes):
    arrays = {f"image_{part}": rows for part, rows in ROWS.items()}
    arrays |= {f"label_{part}": LABEL for part in ROWS}
    arrays |= {"text": TEXT, "classnames": np.array(["cat", "dog", "Cat"])} | changes
    kept: dict[str, Any] = {n: value for n, value in arrays.items() if value is not None}
    np.savez(path, **kept)
    return str(path)


def test_each_part_has_its_rows_also_after_a_cut_and_a_draw(tmp_path):
    stored = read_parts(saved(tmp_path / "f.npz"))
    assert list(stored.parts) == ["train", "val", "test"]
    for part, images in stored.parts.items():
        assert torch.equal(stored_rows(images), torch.from_numpy(ROWS[part]))
        assert images.labels == tuple(LABEL)
    cut = select_classes(subset(stored.parts["test"], [5, 4, 3, 0]), "base")
    assert torch.equal(stored_rows(cut), torch.from_numpy(ROWS["test"][[4, 3, 0]]))
    with pytest.raises(DataError, match="no picture"):
        cut.load(0)


def test_a_file_a_part_is_one_file_of_parts(tmp_path):
    whole = read_parts(saved(tmp_path / "f.npz"))
    for part, rows in ROWS.items():
        np.savez(tmp_path / f"{part}.npz", image=rows, label=LABEL)
    np.savez(tmp_path / "text.npz", text=TEXT, classnames=np.array(["cat", "dog", "Cat"]))
    said = ",".join(f"{p}={tmp_path / p}.npz" for p in ("train", "val", "test", "text"))
    assert holds_features(said)
    apart = read_parts(said)
    assert [i.digest for i in apart.parts.values()] == [i.digest for i in whole.parts.values()]
    assert torch.equal(apart.text, whole.text)


def test_classes_of_one_name_are_told_apart_and_find_their_own_text(tmp_path):
    stored = read_parts(saved(tmp_path / "f.npz"))
    assert stored.classnames == ("cat", "dog", "Cat (2)")
    assert stored.warnings == (
        "classes of one name, case and `_` aside, are told apart as Cat (2)",
    )
    space = feature_space("f", stored, device=torch.device("cpu"))
    assert torch.equal(space.encode_text(["Cat (2)", "cat"]), torch.from_numpy(TEXT[[2, 0]]))
    assert space.logit_scale == 100
    assert "no `logit_scale`: CLIP's 100 is taken" in space.description["warnings"]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({f"image_{p}": None for p in ROWS}, DataError, "no images of a part; expected `image_tr"),
        ({"label_val": None}, DataError, "`image_val` without `label_val`; expected both"),
        ({"image_val": ROWS["val"][:, :3]}, ShapeError, "f.npz, val: `image` is 3 wide and `text`"),
        ({"label_test": LABEL + 1}, ShapeError, "f.npz, test: `label` must lie in 0..2"),
        ({"text": np.zeros((6, 3, 4), np.float32)}, ShapeError, "`text`"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_part(tmp_path, changes, kind, words):
    with pytest.raises(kind, match=words):
        read_parts(saved(tmp_path / "f.npz", **changes))


def test_two_files_that_disagree_are_refused(tmp_path):
    a, b = (saved(tmp_path / f"{n}.npz", image=ROWS["train"], label=LABEL) for n in "ab")
    saved(tmp_path / "b.npz", image=ROWS["val"], label=LABEL, text=TEXT + 1)
    with pytest.raises(DataError, match="another `text` than in a file before it"):
        read_parts(f"train={a},test={b}")
    saved(tmp_path / "b.npz", image=ROWS["val"], label=LABEL, classnames=np.array(list("abc")))
    with pytest.raises(DataError, match="other class names than in a file before it"):
        read_parts(f"train={a},test={b}")
