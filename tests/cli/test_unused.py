"""Every option of every verb does something, or says by name that it does nothing here."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import typer

import ncscope
from ncscope.errors import DataError
from ncscope.features.sources import unused_options
from ncscope.zoo.settings import LearnerOptions
from ncscope_cli.main import app, main

_APP: Any = typer.main.get_command(app)
VERBS = {verb: _APP.get_command(None, verb) for verb in _APP.list_commands(None)}
VALUED = [
    (verb, option.opts[0])
    for verb, command in VERBS.items()
    for option in command.params
    if option.opts[0].startswith("--") and not getattr(option, "is_flag", False)
]
HOW = {"quiet", "strict", "verbose"}  # how it is done and told, and no number


@pytest.fixture
def run(monkeypatch, capsys):
    """Exit status and stderr of a command line in this process."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["ncscope", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(("verb", "option"), VALUED, ids=lambda one: one)
def test_no_option_takes_an_empty_value(run, verb, option):
    if option == "--ctx-init":
        pytest.skip("no words to begin with are a value")
    for words in ((option, ""), (f"{option}=",)):
        code, said = run(verb, *words)
        assert code == 2
        assert f"{option} is empty" in said


def test_an_empty_source_is_no_folder(run, tmp_path):
    assert "an argument is empty" in run("analyze", "", "--out", tmp_path)[1]


def value_of(option, tmp_path):
    """Something that the option takes, and that is not its default."""
    words = {
        "setting": "A=1", "template": "a {}", "precision": "bf16", "tables": "md", "device": "mps",
        "images": "svg", "learner": "a:B", "part": "val", "split": "new",
    }  # fmt: skip
    if option.name in ("classnames", "train_counts"):
        (tmp_path / "lines.txt").write_text("1\n2\n3\n")
        return [tmp_path / "lines.txt"]
    if getattr(option, "is_flag", False):
        return []
    return [words.get(option.name, 7)]


@pytest.mark.parametrize("option", VERBS["analyze"].params, ids=lambda one: one.name)
def test_of_feature_files_every_option_counts_or_is_said(run, tmp_path, monkeypatch, option):
    np.savez(tmp_path / "f.npz", text=np.eye(3, dtype=np.float32))
    reached = []

    def analyze(*sources, **rest):
        made_here = ("extract", "check", "left_out", "spread")
        reached.append([sources, {k: v for k, v in rest.items() if k not in made_here}])
        raise DataError("far enough")

    monkeypatch.setattr(ncscope, "analyze", analyze)
    base = ("analyze", tmp_path / "f.npz", "--out", tmp_path / "o")
    if option.name in ("sources", "out", *HOW):
        return
    run(*base)
    flag = option.secondary_opts[0] if option.secondary_opts else option.opts[0]
    _, said = run(*base, flag, *value_of(option, tmp_path))
    if option.name in ("html", "thumbnails", "tables", "images"):  # of what is written
        return
    if option.name not in ("skip_bad",) and f"{option.opts[0]} has no effect" in said:
        assert reached[0] == reached[1]
        assert "on features, which are measured as they are" in said
    else:
        assert reached[0] != reached[1], said
        assert "has no effect" not in said


def test_where_a_source_needs_them_options_of_extraction_count(run, tmp_path, monkeypatch):
    monkeypatch.setattr(ncscope, "analyze", lambda *_, **__: 1 / 0)
    np.savez(tmp_path / "f.npz", text=np.eye(3, dtype=np.float32))
    words = ("zero-shot", "--data", "toy:fish", "--backbone", "toy", "--out", tmp_path / "o")
    assert "has no effect" not in run("analyze", tmp_path / "f.npz", *words)[1]
    assert "--thumbnails has no effect with --no-html" in run(
        "analyze", tmp_path / "f.npz", "--thumbnails", "--no-html", "--out", tmp_path / "o"
    )[1]  # fmt: skip


TAKEN = {"classnames", "data_name", "descriptions", "split", "template"}


@pytest.mark.parametrize("name", [field.name for field in fields(LearnerOptions)])
def test_of_zero_shot_every_option_counts_or_is_said(name):
    options = LearnerOptions(**{name: "x"})  # pyright: ignore[reportArgumentType]
    said = unused_options("zero-shot", options, learner=None)
    spelt = name.replace("_", "-") if name != "settings" else "setting"
    expected = [] if name in TAKEN else [f"--{spelt} has no effect on zero-shot; it is for che"]
    assert [line[: len(expected[0])] for line in said] == expected
    assert unused_options("run/model.pth.tar-5", options, learner=None) == []


def test_what_a_source_does_not_read_is_among_the_warnings(run, tmp_path):
    words = ("--data", "toy:fish", "--out", tmp_path / "f.npz", "--cache", "off", "--workers", 0)
    more = ("--method", "CoOp", "--setting", "A=1", "--seed", 3, "--condition", "none")
    code, said = run("extract", "zero-shot", *words, *more, "--quiet")
    assert code == 0
    for option in ("method", "setting", "condition"):
        assert f"warning: --{option} has no effect on zero-shot; it is for checkpoints" in said
    assert "warning: --seed has no effect without --pretrained random" in said


LCD, MID = ("--lcd-weight", 1), ("--mid-weight", 1)
BESIDE = {  # option and value: what else makes it count
    ("--lcd-form", "frobenius"): LCD,
    ("--mid-form", "align"): MID,
    ("--centred",): MID,
    ("--relative-weights",): LCD,
    ("--anchor", "fixed"): (*LCD, "--lcd-form", "anchored"),
    ("--cpt-clusters", 2): ("--regulariser", "cpt"),
    ("--adjustment", 2): ("--loss", "logit-adjusted"),
    ("--class-order", "random"): ("--tau", 0.1),
}


@pytest.mark.parametrize("option", BESIDE, ids=lambda option: option[0])
def test_options_of_tune_that_need_another_say_so(run, tmp_path, monkeypatch, option):
    def tune(*_, **__):
        raise DataError("far enough")

    monkeypatch.setattr(ncscope, "tune", tune)
    words = ("tune", "coop", "--data", "toy:fish", "--out", tmp_path / "o", "--quiet")
    said = f"warning: {option[0]} has no effect"
    assert said in run(*words, *option)[1]
    assert said not in run(*words, *option, *BESIDE[option])[1]
    assert "has no effect" not in run(*words, *BESIDE[option])[1]


def test_weights_of_terms_that_are_switched_off_say_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(ncscope, "tune", lambda *_, **__: 1 / 0)
    words = ("tune", "coop", "--data", "toy:fish", "--out", tmp_path / "o", "--quiet", *LCD, *MID)
    for which in ("none", "cpt"):
        said = run(*words, "--regulariser", which)[1]
        for option in ("--lcd-weight", "--mid-weight"):
            assert f"warning: {option} has no effect with --regulariser {which}" in said


def test_options_of_other_ways_to_sweep_and_inspect_say_so(run, tmp_path):
    said = run("sweep", "toy-figure1", "--out", tmp_path, "--dry-run", "--jobs", 2, "--slurm")[1]
    assert "--jobs has no effect with --dry-run" in said
    assert "--slurm has no effect with --dry-run" in said
    assert "--out has no effect with --list" in run("sweep", "--list", "--out", tmp_path)[1]
    (tmp_path / "none.toml").write_text("")
    said = run("sweep", tmp_path / "none.toml", "--out", tmp_path / "o", "--cpus", 2)[1]
    assert "--cpus has no effect without --slurm" in said
    said = run("inspect", tmp_path / "none.toml", "--pretrained", "openai")[1]
    assert "--pretrained has no effect without --backbone" in said
