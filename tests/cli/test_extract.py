import subprocess
import sys

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from ncscope.errors import DataError
from ncscope.features.bundle import read_features
from ncscope_cli.extract import extract
from tests.tiny_clip import save_folder

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(extract)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Arguments for three images of two classes and a small model."""
    root = tmp_path_factory.mktemp("given")
    for i, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png"]):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (80 * i, 0, 99)).save(root / "images" / name)
    model = save_folder(root / "tiny")
    return ["zero-shot", "--data", root / "images", "--backbone", model, "--cache", root / "cache"]


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_writes_a_feature_file_and_says_so_on_stderr(given, tmp_path, suffix):
    out = tmp_path / "new" / f"f{suffix}"
    result = invoke(*given, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr == f"wrote {out}: 3 images, 2 classes, 32 wide\n"
    features = read_features(out)
    assert features.classnames == ("cat", "dog")
    assert features.label is not None
    assert features.label.tolist() == [0, 0, 1]


def test_options_reach_the_library(given, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Dog\nCat\n")
    result = invoke(
        *given, "--out", tmp_path / "f.npz", "--classnames", names, "--template", "a {}.",
        "--template", "the {}", "--split", "base", "--batch-size", 2, "--workers", 0,
        "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    features = read_features(tmp_path / "f.npz")
    assert features.classnames == ("Dog",)
    assert features.provenance["learner"]["templates"] == ["a {}.", "the {}"]


def test_quiet_says_nothing_and_random_weights_are_warned_of(given, tmp_path):
    result = invoke(*given, "--out", tmp_path / "f.npz", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    result = invoke(*given, "--out", tmp_path / "f.npz", "--pretrained", "random", "--seed", 1)
    assert "warning: the backbone's weights are random" in result.stderr


def test_a_file_that_cannot_be_written_is_refused_before_any_work(given, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    for out, message in [
        ("f.pt", "a feature file ends in .safetensors or .npz"),
        ("file/f.npz", "cannot be written"),
        ("folder.npz", "a folder; expected the name of a feature file"),
    ]:
        result = invoke(*given[:2], tmp_path / "nowhere", "--out", tmp_path / out)
        assert isinstance(result.exception, DataError)
        assert message in str(result.exception)


def test_an_unreadable_image_is_refused_or_skipped(given, tmp_path):
    root = tmp_path / "images"
    for name in ("cat/1.jpg", "dog/1.jpg", "dog/2.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / name)
    (root / "dog/2.jpg").write_bytes((root / "dog/2.jpg").read_bytes()[:-900])
    arguments = ["zero-shot", "--data", root, *given[3:], "--out", tmp_path / "f.npz"]
    result = invoke(*arguments)
    assert isinstance(result.exception, DataError)
    assert "1 of 3 files cannot be read as images: dog/2.jpg" in str(result.exception)
    assert not (tmp_path / "f.npz").exists()
    result = invoke(*arguments, "--skip-bad")
    assert result.exit_code == 0
    assert "warning: left out 1 unreadable image(s): dog/2.jpg" in result.stderr


def test_help_waits_for_no_library():
    heavy = "{'torch', 'open_clip', 'tqdm', 'numpy'}"
    code = f"import sys, ncscope_cli.extract; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
