"""Features as others save them: names, shapes, formats; what fits in two ways is refused."""

# Features made here have both sides, which their type leaves open.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ncscope
from ncscope.errors import DataError, ShapeError
from ncscope.features.arranged import is_feature_source
from ncscope.features.bundle import read_features
from ncscope.features.cut import half_of, read_cut
from ncscope.features.parts import read_parts
from ncscope.zoo.load import load_learner

N, C, D = 8, 4, 6
rng = np.random.default_rng(0)
IMAGE = rng.normal(size=(N, D)).astype(np.float32)
TEXT = rng.normal(size=(C, D)).astype(np.float32)
LABEL = np.arange(N) % C
NAMES = np.array(["ant", "bee", "cat", "dog"])


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path / "f.npz", **arrays)
    return path / "f.npz"


def same(features, *, image=IMAGE, label=LABEL, text=TEXT):
    for got, wanted in ((features.image, image), (features.label, label), (features.text, text)):
        if wanted is None:
            assert got is None
        else:
            np.testing.assert_array_equal(got.numpy(), wanted)


@pytest.mark.parametrize(
    ("image", "label", "text"),
    [
        ("image_features", "labels", "text_features"),
        ("features", "targets", "zeroshot_weights"),
        ("Image_Embeds", "y", "text_embeds"),
        ("embeddings", "target", "classifier"),
        ("X", "y", "class_embeddings"),
    ],
)
def test_usual_other_names_are_read_and_said(tmp_path, image, label, text):
    weights = TEXT.T if text in ("zeroshot_weights", "classifier") else TEXT
    found = read_features(npz(tmp_path, **{image: IMAGE, label: LABEL, text: weights}))
    same(found)
    for theirs, ours in ((image, "image"), (label, "label"), (text, "text")):
        assert f"f.npz: `{theirs}` is read as `{ours}`" in found.warnings
    turned = f"f.npz: `{text}` is (6, 4) and read as (D, C): only so it fits"
    assert (turned in found.warnings) == (weights is not TEXT)


def test_our_name_counts_first_then_the_name_that_says_the_side(tmp_path):
    other = {"features": IMAGE + 1, "image_features": IMAGE}
    found = read_features(npz(tmp_path, **other, label=LABEL, text=TEXT))
    same(found)
    assert "f.npz: arrays passed over: features" in found.warnings
    found = read_features(npz(tmp_path, image=IMAGE, image_features=IMAGE + 1, label=LABEL))
    same(found, text=None)
    assert "f.npz: arrays passed over: image_features" in found.warnings


@pytest.mark.parametrize(
    ("arrays", "kind", "words"),
    [
        (
            {"features": IMAGE, "embeddings": IMAGE},
            DataError,
            "`features` and `embeddings` could each be `image`; leave one, or call it `image`",
        ),
        (
            {"labels": LABEL, "targets": LABEL, "image": IMAGE},
            DataError,
            "`labels` and `targets` could each be `label`",
        ),
        (
            {"image": IMAGE, "zeroshot_weights": IMAGE[:D, :]},
            DataError,
            r"`zeroshot_weights` is \(6, 6\), which may be \(C, D\) or \(D, C\): nothing tells",
        ),
        ({"classifier": TEXT}, DataError, r"`classifier` is \(4, 6\), which may be"),
        (
            {"imgae_features": IMAGE, "other": LABEL},
            DataError,
            r"f.npz: neither image nor text features among its arrays \(imgae_features, other\); "
            "is `imgae_features` what is called `image` here",
        ),
        ({"a": LABEL}, DataError, r"among its arrays \(a\); expected `image` \(N, D\) with"),
        (
            {"image": IMAGE, "text": TEXT, "labels": NAMES[LABEL]},
            DataError,
            "`labels` holds names, and nothing tells which row of `text` is whose; add `classn",
        ),
        (
            {"image": IMAGE, "classnames": NAMES[:3], "labels": NAMES[LABEL]},
            DataError,
            "`labels` holds 'dog', which the class names do not; expected 'ant', 'bee', 'cat'",
        ),
        (
            {"image": IMAGE, "labels": np.ones((N, C))},
            DataError,
            r"`labels` is \(8, 4\) and not one-hot; expected a class number an image",
        ),
        ({"image": IMAGE, "text": TEXT[:, :5]}, ShapeError, "`image` is 6 wide and `text` 5"),
    ],
)
def test_what_fits_in_two_ways_or_none_is_refused(tmp_path, arrays, kind, words):
    with pytest.raises(kind, match=words):
        read_features(npz(tmp_path, **arrays))


def test_labels_may_be_names_or_one_hot(tmp_path):
    names = np.char.upper(NAMES)
    arrays = {"image": IMAGE, "text": TEXT, "class_names": NAMES}
    found = read_features(npz(tmp_path, **arrays, labels=names[LABEL]))
    same(found)
    assert found.classnames == tuple(NAMES)
    assert "f.npz: `labels` holds names, which are numbered as the 4 class names" in found.warnings
    found = read_features(npz(tmp_path, **arrays, labels=np.eye(C)[LABEL]))
    same(found)
    found = read_features(npz(tmp_path, image=IMAGE, labels=NAMES[::-1][LABEL]))
    assert found.classnames == tuple(NAMES)
    same(found, label=C - 1 - LABEL, text=None)


def test_a_torch_file_is_read_as_data_and_runs_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    path = tmp_path / "feat.pt"
    image, text = torch.from_numpy(IMAGE), torch.from_numpy(TEXT)
    names = NAMES.tolist()
    torch.save(
        {"image": image.half(), "label": LABEL.tolist(), "text": text, "classnames": names,
         "extra": Bomb(), "more": torch.zeros(2)}, path,
    )  # fmt: skip
    assert is_feature_source(path)
    found = ncscope.analyze(path, bootstrap=0).runs[0].features
    same(found, image=image.half().float().numpy())
    assert found.classnames == tuple(names)
    assert any(
        words.startswith("feat.pt: not read: extra (an object of") for words in found.warnings
    )
    assert "feat.pt: arrays passed over: more" in found.warnings
    assert not (tmp_path / "touched").exists()
    torch.save({"image": image, "label": torch.from_numpy(LABEL)}, path)
    with pytest.raises(ncscope.CheckpointError, match="takes them as they are, without --data"):
        load_learner(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_pairs_and_nested_parts_of_torch_files(tmp_path, zipped):
    pair = (torch.from_numpy(IMAGE), torch.from_numpy(LABEL))
    path = tmp_path / "f.pt"
    torch.save(pair, path, _use_new_zipfile_serialization=zipped)
    same(read_features(path), text=None)
    torch.save({"train": pair, "test": {"features": pair[0] + 1, "targets": pair[1]}}, path,
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    stored = read_parts(path)
    assert list(stored.parts) == ["train", "test"]
    same(read_features(path, part="train"), text=None)
    found = read_features(path)
    same(found, image=IMAGE + 1, text=None)
    assert "of its parts train, test: test is taken; --part says otherwise" in found.warnings


def test_a_tip_adapter_cache_is_a_folder_of_parts(tmp_path):
    torch.save(torch.from_numpy(IMAGE.T.copy()), tmp_path / "keys_2shots.pt")
    torch.save(torch.eye(C)[LABEL], tmp_path / "values_2shots.pt")
    torch.save(torch.from_numpy(IMAGE[::-1].copy()), tmp_path / "test_f.pt")
    torch.save(torch.from_numpy(LABEL[::-1].copy()), tmp_path / "test_l.pt")
    torch.save(torch.zeros(2, 2), tmp_path / "best_F_2shots.pt")  # another thing: not ours
    assert is_feature_source(tmp_path)
    same(read_features(tmp_path, part="train"), text=None)
    same(read_features(tmp_path), image=IMAGE[::-1], label=LABEL[::-1], text=None)
    said = read_parts(tmp_path).warnings
    assert (
        f"{tmp_path.name}: `keys_2shots` is (6, 8) and read as (D, N), as Tip-Adapter saves it"
        in (said)
    )
    np.savez(tmp_path / "t.npz", text=TEXT, classnames=NAMES)
    found = read_features(f"{tmp_path},text={tmp_path / 't.npz'}", part="test")
    same(found, image=IMAGE[::-1], label=LABEL[::-1])
    assert found.classnames == tuple(NAMES)


@pytest.mark.parametrize("suffix", ["pt", "npy"])
def test_a_folder_of_bare_arrays_is_one_file(tmp_path, suffix):
    for part, shift in (("train", 0), ("test", 1)):
        for name, array in (("features", IMAGE + shift), ("targets", LABEL)):
            path = tmp_path / f"{name}_{part}.{suffix}"
            if suffix == "pt":
                torch.save(torch.from_numpy(array), path)
            else:
                np.save(path, array)
    assert is_feature_source(tmp_path)
    same(read_features(tmp_path, part="train"), text=None)
    same(read_cut(tmp_path, split="test"), image=IMAGE + 1, text=None)
    a, b = (tmp_path / f"{n}_test.{suffix}" for n in ("features", "targets"))
    same(read_features(f"image={a},label={b}"), image=IMAGE + 1, text=None)


def test_files_a_part_in_a_folder_need_no_words(tmp_path):
    for part in ("train", "val"):
        np.savez(tmp_path / f"{part}.npz", image=IMAGE, label=LABEL)
    np.savez(tmp_path / "text.npz", text=TEXT, classnames=NAMES)
    stored = read_parts(tmp_path)
    assert list(stored.parts) == ["train", "val"]
    np.testing.assert_array_equal(stored.text, TEXT)
    assert stored.classnames == tuple(NAMES)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{0}/f.npz,text={0}/g.npz,text={0}/g.npz", "expected FILE, or FILE,text=FILE, or train="),
        ("train=", "expected FILE, or FILE,text=FILE, or train="),
        ("text={0}/f.npz", "f.npz: no `text` in it, which text= says it holds"),
        ("train={0}/g.npz", "g.npz: no `image` in it, which train= says it holds"),
        ("train={0}/none.npz", "none.npz: no such feature file"),
    ],
)
def test_a_list_of_files_is_refused_by_the_file(tmp_path, source, words):
    np.savez(tmp_path / "f.npz", image=IMAGE, label=LABEL)
    np.savez(tmp_path / "g.npz", text=TEXT)
    with pytest.raises(DataError, match=words):
        read_features(source.format(tmp_path))


@pytest.mark.parametrize(
    "damage", [b"", b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (3,)}"]
)
def test_damaged_and_pickled_bare_arrays_are_refused(tmp_path, damage):
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    content = path.read_bytes()
    for broken in (content[:-4], content[:20], damage or content + b"1"):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"image\.npy: "):
            read_features(path)


def test_a_checkpoint_is_no_feature_file(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"state_dict": {"ctx": torch.zeros(4, 8)}}, path)
    with pytest.raises(
        DataError, match=r"neither image nor text features among its arrays \(.*ctx \(4"
    ):
        ncscope.analyze(path)
    for source in ("zero-shot", str(tmp_path)):
        with pytest.raises(DataError, match="say on which images it is to be measured: --data FOL"):
            ncscope.analyze(source)


def test_a_half_of_the_classes_is_measured_as_if_it_were_saved_alone(tmp_path):
    arrays = {"image": IMAGE, "label": LABEL, "text": TEXT, "classnames": NAMES}
    new = read_cut(npz(tmp_path, **arrays), split="new")
    rows = LABEL >= 2
    same(new, image=IMAGE[rows], label=LABEL[rows] - 2, text=TEXT[2:])
    assert new.classnames == ("cat", "dog")
    with pytest.raises(DataError, match=r"no part 'val' \(`image_val`\); it has no parts"):
        read_cut(tmp_path / "f.npz", part="val")
    with pytest.raises(DataError, match="`split` is 'val' and `part` 'test'; expected one part"):
        read_cut(tmp_path / "f.npz", part="test", split="val")
    with pytest.raises(DataError, match="`split` is 'old'; expected base, new or all"):
        half_of(new, "old")
