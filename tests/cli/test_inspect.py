import json
import subprocess
import sys

import open_clip
import pytest
import torch
import typer
from typer.testing import CliRunner

from ncscope.errors import CheckpointError, DataError
from ncscope_cli.inspect import inspect
from tests import dassl_tree
from tests.dassl_files import log_text, save_dassl, save_run
from tests.learner_states import Sizes, coop, maple, promptkd
from tests.tiny_clip import save_folder, tiny_state

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(inspect)
NAMES = ("abyssinian", "bengal", "beagle")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A CoOp run on a small backbone, which is saved beside it."""
    root = tmp_path_factory.mktemp("run")
    save_folder(root / "tiny")
    table = tiny_state()["token_embedding.weight"]
    ids = open_clip.SimpleTokenizer()([f"X X X X {name}." for name in NAMES])
    log = log_text().replace("# classes  19", "# classes  3")
    save_run(root / "seed1", coop(Sizes(classes=3), prompts=table[ids].half()), log=log)
    return root


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_text_says_method_classes_settings_and_needs(run):
    result = invoke(run / "seed1")
    assert result.exit_code == 0, result.output
    rows = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    said = {row[0]: row[1] for row in rows if len(row) == 2}
    assert said["method"] == "CoOp (by its keys, and the trainer CoOp in log.txt)"
    assert said["accuracy"] == "95.12 %, macro F1 94.98 % (log.txt)"
    assert said["classes"] == "3, the base classes"
    assert said["names"].startswith("in the file as tokens; needs --backbone")
    assert said["backbone"] == "ViT-B/16 (log.txt)"
    assert said["ctx"] == "float16   (4, 64)"
    assert max(map(len, result.stdout.splitlines())) <= 200


def test_a_backbone_recovers_the_names_and_a_list_is_checked(run, tmp_path):
    listed = tmp_path / "names.txt"
    listed.write_text("Abyssinian\nBengal\nbeagle\nBoxer\nPug\n")
    options = ("--backbone", run / "tiny", "--classnames", listed)
    result = invoke(run / "seed1", *options)
    assert result.exit_code == 0, result.output
    assert "abyssinian, bengal, beagle (from the tokens in the file)" in result.stdout
    assert "the same names in order: base of it" in result.stdout
    found = json.loads(invoke(run / "seed1", *options, "--json").stdout)
    assert (found["class_names"], found["part_of_list"]) == (list(NAMES), "base")
    listed.write_text("bengal\nabyssinian\nbeagle\n")
    assert isinstance(invoke(run / "seed1", *options).exception, DataError)
    refusal = invoke(run / "seed1", "--classnames", listed).exception
    assert isinstance(refusal, CheckpointError)
    assert "no class names to compare with" in str(refusal)


def test_json_is_complete_and_nothing_else_is_printed(run):
    result = invoke(run / "seed1", "--json")
    found = json.loads(result.stdout)
    assert (found["format"], found["method"], found["accuracy"]) == (1, "CoOp", 95.12)
    assert found["tensors"]["ctx"] == {"shape": [4, 64], "dtype": "float16"}
    assert found["settings"]["class_token_position"] == "end"
    assert result.stderr == ""


def test_towers_and_numbered_prompts_are_summed_up(tmp_path):
    save_dassl(tmp_path / "model.pth.tar", maple(Sizes(depth=4)))
    lines = invoke(tmp_path).stdout.splitlines()
    (line,) = [line for line in lines if "compound_prompts_text" in line]
    assert line.split(maxsplit=2)[::2] == [
        "prompt_learner.compound_prompts_text.*",
        "(4, 64) x 3",
    ]
    (line,) = [line for line in lines if "image_encoder.*" in line]
    assert "tensors, " in line
    assert len(lines) < 60


def test_an_unknown_file_shows_where_it_differs(tmp_path):
    save_dassl(tmp_path / "model.pth.tar", {"ctxx": torch.zeros(4, 512)})
    said = invoke(tmp_path).stdout
    assert "unknown: its keys fit no known method" in said
    assert "it lacks      ctx" in said


def test_options_that_are_missing_are_named(tmp_path):
    save_dassl(tmp_path / "model.pth.tar", promptkd(Sizes()))
    said = invoke(tmp_path).stdout
    assert "give --teacher (the student has no text side)" in said
    assert "without --teacher only image measures" in said


def test_refusals_are_errors_of_one_line(tmp_path):
    refusal = invoke(tmp_path / "absent").exception
    assert isinstance(refusal, CheckpointError)
    assert "\n" not in str(refusal)


def test_help_does_not_import_torch():
    code = (
        "import sys, typer; from ncscope_cli.inspect import inspect; app = typer.Typer(); "
        "app.command()(inspect); app(['--help'], standalone_mode=False); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "CHECKPOINT" in done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Runs of two methods, three data sets and seeds, one damaged; one has its best model, too."""
    root = tmp_path_factory.mktemp("tree") / "output"
    dassl_tree.write_runs(root)
    dassl_tree.damage(root)
    best = next(root.glob("**/dtd/**/CoOp/*/seed1/prompt_learner")) / "model-best.pth.tar"
    save_dassl(best, dassl_tree.state("CoOp", 1), epoch=30)
    return root


def test_a_folder_of_runs_is_a_table_and_the_damaged_are_named(tree):
    result = invoke(tree)
    assert result.exit_code == 1
    head, *rows = result.stdout.split("\n\n")[0].splitlines()
    assert head.split() == [
        "run", "method", "data", "classes", "shots", "seed", "epoch", "accuracy", "%", "needs"
    ]  # fmt: skip
    assert len(rows) == 17
    [row] = [row for row in rows if "eurosat/shots_16/MaPLe/vit_b16_c2_ep5/seed3" in row]
    assert row.split()[1:] == ["MaPLe", "EuroSAT", "base", "16", "3", "50", "53.00", "–"]
    [row] = [row for row in rows if "dtd/shots_16/CoOp/vit_b16_ep50/seed1 " in row]
    assert row.split()[-3:] == ["30", "51.00*", "–"]
    assert "model-best is read where other epochs lie beside it (--load-epoch N" in result.stdout
    assert "seed2 cannot be read: " in result.stderr
    assert "1 of 18 runs cannot be read" in result.stderr


def test_an_epoch_is_chosen_in_all_runs_and_a_list_is_printed(tree):
    result = invoke(tree, "--load-epoch", "50", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert len(found) == 18
    assert {one["extras"]["epoch"] for one in found if one["error"] is None} == {50}
    [bad] = [one for one in found if one["error"]]
    assert (bad["method"], set(bad)) == (None, set(found[-1]))
    assert bad["path"].endswith("eurosat/shots_16/CoOp/vit_b16_ep50/seed2")


def test_an_epoch_that_no_run_has_leaves_no_table(tree):
    result = invoke(tree / "train_base" / "dtd", "--load-epoch", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no model.pth.tar-7, which --load-epoch asks for; there are" in result.stderr
