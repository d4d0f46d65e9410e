import json
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.errors import DataError, ShapeError
from ncscope.features.bundle import Features, read_features, write_features

NAMES = ("cat", "sour cream", "dög")
both_formats = pytest.mark.parametrize("suffix", [".safetensors", ".npz"])


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def full(**changes):
    given = {
        "image": rows(5, 4),
        "label": torch.tensor([0, 1, 2, -1, 0]),
        "text": rows(3, 4, seed=1),
        "classnames": NAMES,
        "logit_scale": torch.tensor(100.0),
        "text_frozen": rows(3, 4, seed=2),
        "provenance": {"source": "zero-shot", "warnings": ["a note"]},
    }
    return Features(**{**given, **changes})


def assert_same(one, other):
    for name in ("image", "label", "text", "logit_scale", "text_frozen"):
        assert_close(getattr(one, name), getattr(other, name), atol=0, rtol=0)
    assert (one.classnames, one.provenance) == (other.classnames, other.provenance)


def test_sizes_are_told():
    features = full()
    assert (features.num_samples, features.num_classes, features.width) == (5, 3, 4)
    assert features.warnings == ["a note"]


def test_one_side_is_enough():
    text_only = Features(image=None, label=None, text=rows(3, 4), classnames=NAMES)
    image_only = Features(image=rows(5, 4), label=None, text=None, classnames=())
    assert (text_only.num_samples, text_only.width) == (0, 4)
    assert (image_only.num_classes, image_only.width) == (0, 4)


def test_text_may_depend_on_the_image():
    assert full(text=rows(5, 3, 4)).num_classes == 3


def test_half_precision_becomes_single_with_a_note():
    features = full(image=rows(5, 4).half(), text=rows(3, 4).bfloat16())
    assert features.image is not None
    assert features.image.dtype == torch.float32
    assert features.warnings == [
        "a note",
        "`image` was half precision and is kept as float32",
        "`text` was half precision and is kept as float32",
    ]


def test_double_precision_is_kept_and_brings_the_rest_along():
    features = full(image=rows(5, 4).double())
    for name in ("image", "text", "text_frozen", "logit_scale"):
        assert getattr(features, name).dtype == torch.float64


def test_the_callers_provenance_is_not_changed():
    provenance = {"source": "x"}
    full(image=rows(5, 4).half(), provenance=provenance)
    assert provenance == {"source": "x"}


def test_labels_become_int64():
    label = full(label=torch.tensor([0, 1, 2, 0, 1], dtype=torch.uint8)).label
    assert label is not None
    assert label.dtype == torch.int64


def spoiled(row):
    image = rows(5, 4)
    image[row, 1] = float("nan")
    return image


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": rows(5)}, r"`image` must be a floating 2-D tensor; got torch.float32 \(5,\)"),
        ({"image": torch.ones(5, 4, dtype=torch.int64)}, "`image` must be a floating 2-D tensor"),
        ({"image": "ones"}, "`image` must be a tensor, array or list of numbers; got str"),
        ({"image": rows(0, 4), "label": None}, r"`image` is empty; got \(0, 4\)"),
        ({"image": spoiled(3)}, "`image` has NaN or inf in 1 of 5 rows: 3"),
        ({"text": rows(3, 4) / 0}, "`text` has NaN or inf in 3 of 3 rows: 0, 1, 2"),
        ({"text": rows(2, 4)}, "`text` has 2 rows for 3 class names"),
        ({"text_frozen": rows(4, 4)}, "`text_frozen` has 4 rows for 3 class names"),
        ({"text": rows(3, 5)}, "`image` is 4 wide and `text` 5; expected one D"),
        ({"text_frozen": rows(3, 5)}, "`text_frozen` is 5 wide; expected D = 4"),
        ({"text": rows(4, 3, 4)}, "`text` has features for 4 images and `image` 5 rows"),
        ({"text": rows(4)}, r"`text` must be a floating \(C, D\) or \(N, C, D\) tensor"),
        ({"label": torch.tensor([0, 1])}, "`label` has 2 entries for 5 samples"),
        ({"label": torch.tensor([0, 1, 3, 0, 7])}, r"0\.\.2, .*; row 2 is 3 \(2 of 5 rows"),
        ({"label": torch.tensor([0, 1, -2, 0, 1])}, "row 2 is -2"),
        ({"label": torch.full((5,), 0.5)}, "`label` must be an integer"),
        ({"label": torch.tensor([1, 2, 3, 1, 2])}, "row 2 is 3 .*; the labels are counted from 1"),
        ({"logit_scale": torch.tensor(4.6052)}, r"is 4\.6052 = ln 100: .*; expected the multi"),
        ({"logit_scale": torch.tensor(2.6593)}, r"is 2\.6593 = ln 14\.29: the logarithm, as CLIP"),
        ({"label": torch.zeros(5, dtype=torch.bool)}, "`label` must be an integer"),
        ({"image": None}, "`label` is given without `image`"),
        ({"logit_scale": torch.tensor([100.0])}, r"of shape \(\); got torch.float32 \(1,\)"),
        ({"logit_scale": torch.tensor(-1.0)}, r"finite and above 0; got -1\.0"),
        ({"logit_scale": torch.tensor(float("inf"))}, "finite and above 0; got inf"),
        ({"classnames": ("a", 1, "b")}, "`classnames` must be strings; entry 1 is 1"),
        ({"image": None, "label": None, "text": None}, "neither `image` nor `text` is given"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(changes, message):
    with pytest.raises(ShapeError, match=message):
        full(**changes)


@both_formats
def test_a_file_gives_back_what_was_written(tmp_path, suffix):
    path = tmp_path / "new folder" / f"f{suffix}"
    write_features(full(), path)
    assert_same(read_features(path), full())
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@both_formats
def test_one_side_is_written_and_read(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    write_features(Features(None, None, rows(3, 4), NAMES), path)
    features = read_features(path)
    assert features.image is None
    assert features.classnames == NAMES


def test_other_programs_find_the_documented_names_and_types(tmp_path):
    write_features(full(image=rows(5, 4).double()), tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as stored:
        assert {name: (stored[name].dtype.str, stored[name].shape) for name in
                ("image", "label", "text", "logit_scale", "text_frozen")} == {
            "image": ("<f4", (5, 4)), "label": ("<i8", (5,)), "text": ("<f4", (3, 4)),
            "logit_scale": ("<f4", ()), "text_frozen": ("<f4", (3, 4)),
        }  # fmt: skip
        assert stored["classnames"].tolist() == list(NAMES)
    write_features(full(), tmp_path / "f.safetensors")
    with safe_open(tmp_path / "f.safetensors", framework="np") as stored:
        metadata = stored.metadata()
        assert json.loads(metadata["classnames"]) == list(NAMES)
        assert json.loads(metadata["provenance"])["source"] == "zero-shot"
        assert metadata["format"] == "ncscope features 1"
        assert stored.get_tensor("label").dtype == np.int64


@both_formats
def test_an_interrupted_write_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"f{suffix}"
    write_features(full(), path)

    def full_disk(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full_disk)
    monkeypatch.setattr("ncscope.features.arrays.save_file", full_disk)
    with pytest.raises(DataError, match=r"cannot be written .*No space left"):
        write_features(full(image=rows(5, 4, seed=9)), path)
    assert_same(read_features(path), full())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@both_formats
def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    write_features(full(), path)
    old = path.read_bytes()
    with path.open("rb") as reader:
        write_features(full(image=rows(5, 4, seed=9)), path)
        assert reader.read() == old


def test_an_npz_of_somebody_elses_is_read(tmp_path):
    np.savez(tmp_path / "f.npz", image=np.ones((2, 4), np.float16), label=np.array([0, 2], ">i4"),
             text=np.ones((3, 4), ">f8"), extra=np.ones(3), notes=np.array("hello"))  # fmt: skip
    features = read_features(tmp_path / "f.npz")
    assert features.classnames == ("class 0", "class 1", "class 2")
    assert features.image is not None
    assert features.image.dtype == torch.float64
    assert features.warnings == [
        "f.npz: arrays passed over: extra, notes",
        "f.npz: no class names; numbered after the rows of `text`, 3 classes",
        "`image` was half precision and is kept as float32",
    ]


def test_without_text_classes_are_numbered_after_the_labels(tmp_path):
    np.savez(tmp_path / "f.npz", image=np.ones((2, 4)), label=np.array([0, 3]))
    features = read_features(tmp_path / "f.npz")
    assert features.num_classes == 4
    assert "after the largest label" in features.warnings[0]
    np.savez(tmp_path / "g.npz", image=np.ones((2, 4)))
    assert read_features(tmp_path / "g.npz").classnames == ()


def test_pickled_arrays_are_refused_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    np.savez(tmp_path / "f.npz", image=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="holds pickled objects"):
        read_features(tmp_path / "f.npz")
    assert not (tmp_path / "touched").exists()


@both_formats
@pytest.mark.parametrize("keep", [0, 1, 100, -10])
def test_a_file_cut_short_is_refused(tmp_path, suffix, keep):
    path = tmp_path / f"f{suffix}"
    write_features(full(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"damaged or cut short|pickled"):
        read_features(path)


def test_a_flipped_byte_in_an_npz_is_refused(tmp_path):
    write_features(full(image=rows(500, 4), label=None), tmp_path / "f.npz")
    content = bytearray((tmp_path / "f.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        read_features(tmp_path / "f.npz")


@both_formats
def test_damage_anywhere_is_a_refusal_or_does_no_harm(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    write_features(full(), path)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for position in random.integers(0, len(whole), random.integers(1, 4)):
            content[position] = random.integers(0, 256)
        path.write_bytes(content)
        with suppress(DataError, ShapeError):
            read_features(path)  # a changed number inside .safetensors cannot be noticed


def test_what_is_no_feature_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such feature file"):
        read_features(tmp_path / "f.npz")
    (tmp_path / "f.csv").write_text("1,2")
    with pytest.raises(DataError, match="unknown suffix; a feature file ends in"):
        read_features(tmp_path / "f.csv")
    with pytest.raises(DataError, match="unknown suffix"):
        write_features(full(), tmp_path / "f.pt")
    with (tmp_path / "bare.npz").open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DataError, match="one bare array"):
        read_features(tmp_path / "bare.npz")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("image.npy", b"not an array")
    with pytest.raises(DataError, match="`image` holds no array; expected numbers or text"):
        read_features(tmp_path / "zip.npz")


def test_arrays_that_do_not_fit_name_the_file(tmp_path):
    np.savez(tmp_path / "f.npz", image=np.ones((2, 4)), text=np.ones((3, 5)))
    with pytest.raises(ShapeError, match=r"f\.npz: `image` is 4 wide and `text` 5"):
        read_features(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", image=np.array(["a", "b"]))
    with pytest.raises(DataError, match="`image` holds text; expected numbers"):
        read_features(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", text=np.ones((3, 5)), classnames=np.array([1, 2, 3]))
    with pytest.raises(DataError, match="`classnames` holds int64"):
        read_features(tmp_path / "f.npz")


def test_a_newer_format_is_refused_and_a_foreign_one_ignored(tmp_path):
    save_file({"text": rows(3, 4)}, tmp_path / "f.safetensors", {"format": "ncscope features 2"})
    with pytest.raises(DataError, match="format 'ncscope features 2'; this version reads"):
        read_features(tmp_path / "f.safetensors")
    save_file({"text": rows(3, 4)}, tmp_path / "f.safetensors", {"format": "pt"})
    assert read_features(tmp_path / "f.safetensors").num_classes == 3


def test_damaged_metadata_are_refused_or_passed_over(tmp_path):
    path = tmp_path / "f.safetensors"
    save_file({"text": rows(3, 4)}, path, {"classnames": '["a", 2, "c"]'})
    with pytest.raises(DataError, match="`classnames` is no JSON list of strings"):
        read_features(path)
    save_file({"text": rows(3, 4)}, path, {"classnames": '["a", "b", "c"]', "provenance": "{"})
    assert "its provenance is no JSON" in read_features(path).warnings[0]


def test_a_provenance_that_is_not_json_is_refused(tmp_path):
    with pytest.raises(DataError, match="`provenance` cannot be written as JSON"):
        write_features(full(provenance={"path": tmp_path}), tmp_path / "f.npz")


def test_a_scale_that_looks_like_a_logarithm_is_said():
    for scale, said in ((3.9, True), (0.5, False), (1.0, False), (14.3, False), (100.0, False)):
        features = Features(
            image=None, label=None, text=rows(3, 4), classnames=("a", "b", "c"),
            logit_scale=torch.tensor(scale),
        )  # fmt: skip
        assert any("looks like the logarithm" in w for w in features.warnings) == said, scale


def test_labels_as_whole_floating_numbers_are_taken(tmp_path):
    np.savez(
        tmp_path / "f.npz",
        image=np.eye(4, dtype=np.float32),
        label=np.array([0, 1, 1, -1], np.float32),
    )
    features = read_features(tmp_path / "f.npz")
    assert features.label is not None
    assert features.label.tolist() == [0, 1, 1, -1]
    assert features.num_classes == 2
