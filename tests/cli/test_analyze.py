"""`ncscope analyze`, as a user runs it: files written, table on stdout, the rest on stderr."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false, reportArgumentType=false

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from ncscope_cli.main import app, main
from tests.made_features import noisy


@pytest.fixture
def feature_file(tmp_path):
    features = noisy()
    np.savez(
        tmp_path / "set.npz",
        image=features.image.numpy(),
        label=features.label.numpy(),
        text=features.text.numpy(),
        logit_scale=np.float32(20),
        classnames=np.array(features.classnames),
    )
    return tmp_path / "set.npz"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_writes_three_files_and_prints_the_table(feature_file, tmp_path):
    out = tmp_path / "new" / "out"
    result = invoke("analyze", feature_file, "--out", out, "--bootstrap", 5)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {"metrics.json", "metrics.csv", "report.html"}
    assert "Δ LCD, centred" in result.stdout
    assert "wrote" in result.stderr
    assert "wrote" not in result.stdout
    found = json.loads((out / "metrics.json").read_text())
    assert found["format"] == 1
    assert found["runs"][0]["source"] == str(feature_file)
    assert found["runs"][0]["intervals"]["replicates"] == 5


def test_several_sources_stand_side_by_side(feature_file, tmp_path):
    other = tmp_path / "other.npz"
    other.write_bytes(feature_file.read_bytes())
    result = invoke("analyze", feature_file, other, "--out", tmp_path / "out", "--bootstrap", 0)
    assert result.exit_code == 0, result.output
    runs = json.loads((tmp_path / "out" / "metrics.json").read_text())["runs"]
    assert [run["source"] for run in runs] == [str(feature_file), str(other)]
    assert runs[0]["summary"] == runs[1]["summary"]
    assert "set.npz" in result.stdout
    assert "other.npz" in result.stdout


def test_the_answer_is_ten_lines_and_verbose_is_all(feature_file, tmp_path):
    words = ("analyze", feature_file, "--out", tmp_path / "out", "--no-html", "--bootstrap", 0)
    brief, whole = invoke(*words).stdout.splitlines(), invoke(*words, "-v").stdout.splitlines()
    assert len(brief) <= 10 < len(whole)
    assert brief[0].startswith("The text classifies ")
    assert "range at K = 6" in "\n".join(brief)
    assert set(brief[:2]) <= set(whole)
    assert "Effective rank, text" in "\n".join(whole)


def test_a_warning_of_several_sources_is_said_once(feature_file, tmp_path):
    stored = dict(np.load(feature_file)) | {"label": np.load(feature_file)["label"] * 0}
    names = [tmp_path / f"{name}.npz" for name in "abc"]
    for name in names:
        np.savez(name, **stored)
    words = (*names, "--out", tmp_path / "out", "--no-html", "--bootstrap", 0)
    lines = invoke("analyze", *words).stderr.splitlines()
    warnings = [line.split(": ", 2)[2] for line in lines if ".npz: " in line]
    assert warnings
    assert len(warnings) == len(set(warnings))
    assert any(all(str(name) in line for name in names) for line in lines)


def test_quiet_says_nothing_but_the_table(feature_file, tmp_path):
    result = invoke(
        "analyze", feature_file, "--out", tmp_path / "out", "--quiet", "--no-html", "--bootstrap", 0
    )
    assert result.stderr == ""
    assert not (tmp_path / "out" / "report.html").exists()


def test_pairs_make_a_class_of_each_row(tmp_path):
    rows = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    np.savez(tmp_path / "pairs.npz", image=rows, text=rows)
    out = tmp_path / "out"
    result = invoke("analyze", tmp_path / "pairs.npz", "--pairs", "--out", out, "--no-html")
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "metrics.json").read_text())["runs"][0]["summary"]
    assert summary["delta_mid"]["raw"] == pytest.approx(0, abs=1e-6)
    assert summary["accuracy"]["top1"] == 1


def test_training_counts_form_groups(feature_file, tmp_path):
    (tmp_path / "counts.txt").write_text("16\n8\n4\n2\n1\n1\n")
    out = tmp_path / "out"
    result = invoke(
        *("analyze", feature_file, "--out", out, "--bootstrap", 0, "--no-html"),
        *("--train-counts", tmp_path / "counts.txt"),
    )
    assert result.exit_code == 0, result.output
    groups = json.loads((out / "metrics.json").read_text())["runs"][0]["groups"]
    assert groups["head"]["count_max"] == 16


def test_moves_are_estimated_on_half_of_the_images_or_on_a_file(feature_file, tmp_path):
    other = tmp_path / "train.npz"
    stored = dict(np.load(feature_file))
    np.savez(other, **stored | {"image": stored["image"] + 0.1})
    for said, told in ([], "half of"), ([other], "a training file"):
        words = ("analyze", "--intervene", *said, "--bootstrap", 0, "--no-html", "--out", tmp_path)
        result = invoke(*words[:2], *said, *words[2 + len(said) :], "--quiet", "--", feature_file)
        assert result.exit_code == 0, result.output
        [run] = json.loads((tmp_path / "metrics.json").read_text())["runs"]
        assert told in run["conventions"]["interventions"]["estimated_on"]
        assert {row["step"] for row in run["interventions"]} == {0, 0.25, 0.5, 0.75, 1}
        assert "Closing the modality gap" in result.stdout


def test_a_run_without_out_is_wrong_usage(feature_file):
    assert invoke("analyze", feature_file).exit_code == 2


@pytest.mark.parametrize("verb", [[], ["analyze"], ["extract"], ["inspect"], ["demo"]])
def test_help_imports_no_library(verb):
    code = (
        "import sys\n"
        f"sys.argv = ['ncscope', *{verb!r}, '--help']\n"
        "from ncscope_cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'plotly', 'open_clip', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_version_is_the_package_s(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ncscope", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None)
    assert capsys.readouterr().out.startswith("ncscope 0.")


def test_tables_are_written_in_the_formats_asked_for(feature_file, tmp_path):
    options = ["--out", tmp_path / "out", "--bootstrap", 0, "--no-html"]
    result = invoke("analyze", feature_file, *options, "--tables", "md", "--tables", "tex")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out" / "tables").iterdir()}
    assert names == {
        f"{table}.{form}" for table in ("summary", "classes-1") for form in ("md", "tex")
    }


@pytest.mark.parametrize("option", ["--tables", "--images"])
def test_an_unknown_format_is_one_line(feature_file, tmp_path, monkeypatch, capsys, option):
    command = ["ncscope", "analyze", str(feature_file), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", [*command, "--bootstrap", "0", option, "doc"])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("got 'doc'")


def test_thumbnails_are_on_the_page_unless_they_are_not_wanted(tmp_path):
    pages = {}
    for name, switch in (("with", "--thumbnails"), ("without", "--no-thumbnails")):
        options = ["--out", tmp_path / name, "--cache", tmp_path / "cache", "--bootstrap", 0]
        result = invoke("analyze", "zero-shot", "--data", "toy:fish", *options, "--quiet", switch)
        assert result.exit_code == 0, result.output
        pages[name] = (tmp_path / name / "report.html").read_text()
    assert "Pointing at an image shows it" in pages["with"]
    assert '"/9j/' in pages["with"]  # how every JPEG begins in base64
    assert '"/9j/' not in pages["without"]
