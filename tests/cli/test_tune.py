"""`ncscope tune` and `ncscope export` from the command line, and what they refuse in one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ncscope.checkpoint.inspect import inspect
from ncscope.tuning.published import PUBLISHED_RECIPES
from ncscope_cli.main import main
from tests.pictures import save_pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


def run(monkeypatch, capsys, *arguments):
    """Exit status, stdout and stderr of a command line."""
    monkeypatch.setattr("sys.argv", ["ncscope", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    shown = capsys.readouterr()
    return stop.value.code or 0, shown.out, shown.err


def test_tune_prints_a_table_and_export_writes_what_inspect_recognises(
    data, tmp_path, monkeypatch, capsys
):
    code, out, err = run(
        *(monkeypatch, capsys, "tune", "coop", "--data", data, "--backbone", "toy"),
        *("--recipe", "toy", "--shots", "2", "--epochs", "2", "--cache", "off"),
        *("--lcd-weight", "0.1", "--out", tmp_path / "run"),
    )
    assert code == 0, err
    assert re.search(r"base % +\d+\.\d +\d+\.\d", out)
    assert re.search(r"new % +\d+\.\d +\d+\.\d", out)
    assert re.search(r"delta_lcd raw, .* base +\d\.\d+", out)
    assert err.count("step ") >= 2  # evaluations before and after
    assert f"wrote {tmp_path / 'run'}" in err
    code, out, err = run(
        *(monkeypatch, capsys, "export", tmp_path / "run", "--out", tmp_path / "authors"),
    )
    assert code == 0, err
    assert (tmp_path / "authors" / "prompt_learner" / "model.pth.tar-2").exists()
    assert inspect(tmp_path / "authors").method == "CoOp"


REFUSED = {
    "unknown method": (["cup"], "`method` is 'cup'; expected one of coop, cocoop"),
    "unknown loss": (["coop", "--loss", "focal"], "`loss` is 'focal'; expected one of ce, bal"),
    "unknown form": (
        ["coop", "--lcd-weight", "1", "--lcd-form", "cos"],
        "`lcd_form` is 'cos'; expected one of cosine",
    ),
    "unknown split": (["coop", "--split", "old"], "`split` is 'old'; expected base, new or all"),
    "unknown sampler": (["coop", "--sampler", "fair"], "`sampler` is 'fair'; expected one of"),
    "unknown recipe": (["coop", "--recipe", "mine"], "`recipe` is 'mine'; expected one of"),
    "unknown optimiser": (["coop", "--optimizer", "lion"], "`optimizer` is 'lion'; expected"),
    "unknown views": (["coop", "--views", "all"], "`views` is 'all'; expected a number"),
    "option of another": (["coop", "--depth", "3"], "`depth` has no effect on coop; it is for"),
    "tau": (["coop", "--tau", "2"], "tau"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_leaves_no_run_behind(case, data, tmp_path, monkeypatch, capsys):
    arguments, message = REFUSED[case]
    folder = tmp_path / "run"
    code, _, err = run(
        *(monkeypatch, capsys, "tune", *arguments, "--data", data, "--backbone", "toy"),
        *("--quiet", "--cache", "off", "--out", folder),
    )
    assert code == 1
    assert err.startswith("ncscope: ")
    assert err.count("\n") == 1, err
    assert message in err
    assert not folder.exists() or not any(folder.iterdir())


def test_export_refuses_what_is_no_run_and_another_format(tmp_path, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "export", tmp_path, "--out", tmp_path / "o")
    assert (code, err.count("\n")) == (1, 1)
    more = ("--format", "onnx", "--out", tmp_path / "o")
    code, _, err = run(monkeypatch, capsys, "export", tmp_path, *more)
    assert (code, "`format` is 'onnx'; expected dassl" in err) == (1, True)


def test_help_shows_every_authors_recipe_and_starts_without_torch():
    code = (
        "import sys; sys.argv = ['ncscope', 'tune', '--help']\n"
        "from ncscope_cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    paths = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'cli')]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", paths + code], capture_output=True, text=True, check=True
    )
    for name, found in PUBLISHED_RECIPES.items():
        r = found.recipe
        wanted = rf"^ *{name}\*? +\[?{r.lr}\]? +{r.batch_size} +\[?{r.epochs}\]? "
        assert re.search(wanted, done.stdout, re.MULTILINE), name
    assert "docs/recipes.md" in done.stdout


def test_the_authors_recipe_is_taken_and_written_down(data, tmp_path, monkeypatch, capsys):
    code, _, err = run(
        *(monkeypatch, capsys, "tune", "maple", "--data", data, "--backbone", "toy", "--quiet"),
        *("--shots", "1", "--epochs", "1", "--cache", "off", "--out", tmp_path / "run"),
    )
    assert code == 0, err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    found = [config[name] for name in ("lr", "batch_size", "ctx", "optimizer", "views")]
    assert found == [0.0035, 4, 2, "sgd", "online"]


def test_what_is_said_of_the_data_is_shown_though_quiet(tmp_path, monkeypatch, capsys):
    save_pictures(tmp_path / "data")
    for part in ("train", "test"):
        for i, folder in enumerate(sorted((tmp_path / "data" / part).iterdir())):
            folder.rename(folder.with_name(f"n0144000{i}"))
    code, _, err = run(
        *(monkeypatch, capsys, "tune", "coop", "--data", tmp_path / "data", "--backbone", "toy"),
        *("--recipe", "toy", "--shots", "9", "--epochs", "1", "--cache", "off", "--quiet"),
        *("--out", tmp_path / "run"),
    )
    assert code == 0, err
    shown = [line.removeprefix(f"ncscope: {tmp_path / 'data'}: ") for line in err.splitlines()]
    assert [line[:44] for line in shown] == [
        "the class names are WordNet ids (n01440000, ",
        "3 class(es) have fewer than 9 training image",
    ]
