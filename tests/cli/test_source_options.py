"""Options that say of a checkpoint what it does not tell: used, warned of, or refused in a line."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from ncscope_cli.main import main
from tests import learner_states
from tests.new_states import tap_vision
from tests.tiny_clip import save_folder
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS
from tests.zoo.learners.test_promptkd import WIDE, teacher_state

TRAINED = ("cat", "grey_seal", "oak tree", "St. Bernard", "7 spot ladybird")
OTHERS = ("bus", "fox", "owl", "sea otter", "tram")  # after the others, so the new half


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Ten classes of one image each, the small CLIP, and runs trained on the first five."""
    root = tmp_path_factory.mktemp("options")
    random = np.random.default_rng(0)
    for name in (*TRAINED, *OTHERS):
        (root / "images" / name).mkdir(parents=True)
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / name / "1.png")
    save_folder(root / "clip", config=case.CONFIG)
    for method in ("CoOp", "CoCoOp", "MaPLe", "TaskRes", "VPT", "PromptKD", "DPC", "MMRL"):
        RUNS[method](root / method)
    specific = learner_states.coop_csc(case.SIZES)
    case.save(root / "CSC", case.prompted(specific, "X X X X"), settings={"CSC": True})
    case.save(root / "TAP", tap_vision(case.SIZES), trainer="TAP")
    (root / "all.txt").write_text("\n".join((*TRAINED, *OTHERS)))
    return root


@pytest.fixture
def run(place, monkeypatch, capsys, tmp_path):
    """`ncscope extract` on a run of the place: its exit status and stderr."""

    def run(source, *more, backbone="clip", verb="extract"):
        monkeypatch.chdir(place)
        out = ("--out", tmp_path / "f.npz") if verb == "extract" else ("--out", tmp_path)
        given = [verb, source, "--data", "images", "--cache", "off", "--quiet", "--workers", 0]
        given += ["--backbone", backbone, *out, *more]
        monkeypatch.setattr("sys.argv", ["ncscope", *map(str, given)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().err

    return run


BASE = ("--classnames", "all.txt", "--split", "base")
NEW = ("--classnames", "all.txt", "--split", "new")
REFUSED = {
    "a table, new classes": ("TaskRes", NEW, "no text features for 'bus', 'fox'"),
    "a table, names unknown": ("TaskRes", (), r"give a file of 5 class names .*--classnames FILE"),
    "class-specific contexts, new classes": ("CSC", NEW, "contexts belong to .* 'bus', 'fox'"),
    "a class list of other data": ("CoOp", ("--classnames", "wrong.txt"), "do not match"),
    "condition of no kind": ("CoCoOp", ("--condition", "some"), "`condition` is 'some'; expected"),
    "class condition without images": (
        "CoCoOp", ("--condition", "class", "--part", "test"), "divided|part",
    ),
    "image feature of no kind": ("MMRL", ("--image-feature", "both"), "expected fused, class"),
    "position of no kind": ("CoOp", ("--class-token-position", "top"), "'top'; expected end, mid"),
    "transform of no kind": ("CoOp", ("--transform", "crop"), "expected current or squash"),
    "a teacher that is not there": ("PromptKD", ("--teacher", "none.pth"), "none.pth"),
    "a teacher without a known backbone": (
        "PromptKD", ("--teacher", "CoOp"), "teacher CoOp: .*--backbone",
    ),
    "a base that is not there": ("DPC", ("--base", "none.pth"), "none.pth"),
    "a split of no kind": ("CoOp", ("--split", "old"), "`split`.*base"),
    "a refused method": ("TAP", (), "recognised but gives no features: its text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(run, place, tmp_path, name):
    (place / "wrong.txt").write_text("\n".join(("hen", *TRAINED, *OTHERS[1:])))
    source, more, message = REFUSED[name]
    code, said = run(source, *more)
    assert (code, said.count("\n"), said[:9]) == (1, 1, "ncscope: "), said
    assert re.search(message, said), said
    assert not (tmp_path / "f.npz").exists()


def test_no_towers_in_the_file_and_no_vocabulary_are_refused(run):
    code, said = run("CoOp", backbone="checkpoint")
    assert (code, said.count("\n")) == (1, 1)
    assert "holds no towers; name its backbone" in said
    code, said = run("MaPLe", *NEW, backbone="checkpoint")
    assert (code, said.count("\n")) == (1, 1)
    assert "no text features for 'bus', 'fox'" in said
    code, said = run("VPT", backbone="checkpoint")
    assert "the file has no vocabulary; name its backbone" in said


def test_the_towers_in_the_file_run_its_training_classes(run):
    assert run("MaPLe", *BASE, backbone="checkpoint")[0] == 0


@pytest.mark.parametrize(
    ("source", "split"), [("CoOp", NEW), ("MaPLe", BASE), ("VPT", NEW), ("CoCoOp", ())]
)
def test_learned_prompts_take_any_classes(run, source, split):
    code, said = run(source, *split)
    assert code == 0, said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (BASE, None),
        (NEW, "none of the 5 classes here are among the 5 it was trained on"),
        ((), "5 of the 10 classes here are among the 5 it was trained on: "),
    ],
)
def test_how_many_classes_are_those_of_training_is_said(run, more, said):
    code, err = run("CoOp", *more)
    assert code == 0, err
    assert (said in err) if said else ("it was trained on" not in err)


def test_a_table_is_of_the_first_half_of_a_list_that_is_twice_as_long(run, tmp_path):
    assert run("TaskRes", *BASE, "--residual-scale", "0")[0] == 0
    with np.load(tmp_path / "f.npz") as file:
        table = learner_states.taskres(case.SIZES)["base_text_features"].float().numpy()
        np.testing.assert_array_equal(file["text"], table)
        assert tuple(file["classnames"]) == TRAINED


OPTIONS = {
    "--condition": ("none", "CoCoOp, CoCoOp_ATP and CoCoOp_AnchorOPT"),
    "--image-feature": ("class", "MMRL and MMRL++"),
    "--residual-scale": ("0.5", "TaskRes"),
    "--adapter-scale": ("0.5", "MMA, LwEIB and CLIP-Adapter"),
    "--base": ("CoOp", "DPC, AnchorOPT, CoCoOp_AnchorOPT and TextRefiner"),
}


def test_options_without_effect_are_said(run):
    given = [word for option, (value, _) in OPTIONS.items() for word in (option, value)]
    code, said = run("CoOp", *given)
    assert code == 0, said
    for option, (_, users) in OPTIONS.items():
        assert f"{option} has no effect on CoOp; it is for {users}" in said
    assert "has no effect" not in run("CoCoOp", "--condition", "none")[1]
    assert "has no effect on MaPLe" in run("MaPLe", "--class-token-position", "front")[1]


@pytest.mark.parametrize("condition", ["mean", "class", "none", "per-image"])
def test_the_condition_is_stated_in_the_output(run, tmp_path, condition):
    code, _ = run("CoCoOp", "--condition", condition, "--no-html", verb="analyze")
    assert code == 0
    [record] = json.loads((tmp_path / "metrics.json").read_text())["runs"]
    assert any(f"under condition '{condition}'" in warning for warning in record["warnings"])
    assert record["provenance"]["learner"]["condition"] == condition


def test_a_teacher_gives_the_student_its_text_side(run, place, tmp_path):
    case.save(place / "teacher", teacher_state(), log=None)
    code, said = run("PromptKD", *BASE, "--teacher", "teacher")
    assert code == 0, said
    with np.load(tmp_path / "f.npz") as file:
        assert file["text"].shape == (5, WIDE["embed_dim"])
