"""Bad input to the commands: one line on stderr, exit status 1, nothing half-written."""

import re

import numpy as np
import pytest
from PIL import Image

from ncscope_cli.main import main

GOOD = {
    "image": np.eye(6, 4, dtype=np.float32) + 0.1,
    "label": np.array([0, 1, 2, 0, 1, 2]),
    "text": np.eye(3, 4, dtype=np.float32) + 0.1,
    "classnames": np.array(["a", "b", "c"]),
}


def changed(**arrays):
    return {**GOOD, **arrays}


def nan_row():
    image = GOOD["image"].copy()
    image[4, 2] = np.nan
    return changed(image=image)


BAD_FILES = {
    "wrong dtype": (changed(image=GOOD["image"].astype(np.int32)), r"`image`.*float"),
    "NaN row": (nan_row(), r"`image` has NaN or inf in 1 of 6 rows: 4"),
    "label out of range": (changed(label=np.array([0, 1, 3, 0, 1, 2])), r"`label`.*0\.\.2"),
    "labels of another length": (changed(label=np.array([0, 1])), r"`label`"),
    "C mismatch": (changed(classnames=np.array(["a", "b"])), r"`text`.*2"),
    "D mismatch": (changed(text=np.ones((3, 5), np.float32)), r"`text`"),
    "a number for a row an image": (changed(image=np.float32(3)), "`image` must be .*2-D"),
    "a class without a name": (
        changed(classnames=np.array(["a", " ", "c"])),
        "`classnames` must be names; entry 1",
    ),
    "one class": (
        {"text": GOOD["text"][:1], "classnames": np.array(["a"])},
        "at least 2 classes are needed",
    ),
    "all images of one class, and no text": (
        {"image": GOOD["image"], "label": np.zeros(6, int), "classnames": GOOD["classnames"]},
        "only 1 of 3 classes",
    ),
    "text with a row an image": (
        {
            "image": np.eye(9, 4, dtype=np.float32) + 0.1,
            "label": np.arange(9) % 2,
            "text": np.arange(1, 37, dtype=np.float32).reshape(9, 4),
        },
        "`text` has 9 rows, as many as there are images, of 2 labels: .* row an image; expected",
    ),
    "nothing in it": ({"other": np.ones(3)}, "neither|no `image`"),
}


def run(monkeypatch, capsys, *arguments):
    """The exit status and stderr of a command line."""
    monkeypatch.setattr("sys.argv", ["ncscope", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, capsys.readouterr().err


def assert_refused(code, err, pattern, out):
    assert code == 1
    assert err.startswith("ncscope: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert re.search(pattern, err), err
    assert not out.exists() or not any(out.iterdir()), list(out.iterdir())


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_feature_file_is_one_line(case, tmp_path, monkeypatch, capsys):
    arrays, pattern = BAD_FILES[case]
    np.savez(tmp_path / "bad.npz", **arrays)
    out = tmp_path / "out"
    code, err = run(monkeypatch, capsys, "analyze", tmp_path / "bad.npz", "--out", out)
    assert_refused(code, err, pattern, out)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_truncated_feature_file_is_one_line(suffix, tmp_path, monkeypatch, capsys):
    path = tmp_path / f"cut.{suffix}"
    np.savez(tmp_path / "whole.npz", **GOOD)
    path.write_bytes((tmp_path / "whole.npz").read_bytes()[:300])
    code, err = run(monkeypatch, capsys, "analyze", path, "--out", tmp_path / "out")
    assert_refused(code, err, f"cut.{suffix}", tmp_path / "out")


def test_a_pickled_array_is_not_read(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "bad.npz", text=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    code, err = run(monkeypatch, capsys, "analyze", tmp_path / "bad.npz", "--out", tmp_path / "o")
    assert_refused(code, err, "pickle", tmp_path / "o")


def test_a_missing_file_is_one_line(tmp_path, monkeypatch, capsys):
    code, err = run(monkeypatch, capsys, "analyze", tmp_path / "no.npz", "--out", tmp_path / "o")
    assert_refused(code, err, "no.npz", tmp_path / "o")


def test_a_source_without_data_says_what_is_missing(tmp_path, monkeypatch, capsys):
    code, err = run(monkeypatch, capsys, "analyze", "zero-shot", "--out", tmp_path / "o")
    assert_refused(code, err, "--data", tmp_path / "o")


def test_bad_training_counts_name_the_line(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "good.npz", **GOOD)
    (tmp_path / "counts.txt").write_text("16\nmany\n1\n")
    code, err = run(
        *(monkeypatch, capsys, "analyze", tmp_path / "good.npz", "--out", tmp_path / "o"),
        *("--train-counts", tmp_path / "counts.txt"),
    )
    assert_refused(code, err, "line 2.*'many'", tmp_path / "o")


@pytest.fixture
def photos(tmp_path):
    """Two class folders of two small pictures."""
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(2):
            Image.new("RGB", (8, 8), (40 * k, 90, 10)).save(tmp_path / "photos" / name / f"{k}.png")
    return tmp_path / "photos"


def extract(monkeypatch, capsys, photos, *more):
    out = photos.parent / "features.npz"
    backbone = () if "--backbone" in more else ("--backbone", "RN50", "--pretrained", "random")
    code, err = run(
        *(monkeypatch, capsys, "extract", "zero-shot", "--data", photos, "--out", out),
        *(*backbone, "--cache", "off", "--quiet", *more),
    )
    assert not out.exists()
    return code, err, out


def test_an_unknown_backbone_names_near_ones(photos, monkeypatch, capsys):
    code, err, out = extract(monkeypatch, capsys, photos, "--backbone", "ViT-B-61")
    assert_refused(code, err, "ViT-B-61.*ViT-B-16", out)


def test_a_file_that_is_no_image_is_named(photos, monkeypatch, capsys):
    (photos / "cat" / "2.png").write_text("not a picture")
    code, err, out = extract(monkeypatch, capsys, photos)
    assert_refused(code, err, r"1 .*cat/2\.png.*--skip-bad", out)


def test_a_folder_without_classes_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    code, err, out = extract(monkeypatch, capsys, tmp_path / "empty")
    assert_refused(code, err, "class", out)


def test_a_template_without_a_place_for_the_class_is_refused(photos, monkeypatch, capsys):
    code, err, out = extract(monkeypatch, capsys, photos, "--template", "a photo")
    assert_refused(code, err, r"\{\}", out)


@pytest.mark.parametrize("words", [("--seed", 2**64), ("--bootstrap", 10**12)])
def test_numbers_that_no_generator_takes_or_nobody_waits_for_are_wrong_usage(
    tmp_path, monkeypatch, capsys, words
):
    code, err = run(monkeypatch, capsys, "analyze", "x.npz", "--out", tmp_path / "o", *words)
    assert code == 2
    assert "is not in the range" in err or "less than or equal to" in err
