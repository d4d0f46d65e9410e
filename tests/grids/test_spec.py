"""Grids from TOML files: their runs and names, and what is refused before anything starts."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.paper_cost import Speed, by_method
from ncscope.comparison.read import read_outcomes
from ncscope.comparison.rows import label_rows, without_duplicates
from ncscope.data.known import parse_known
from ncscope.errors import DataError
from ncscope.grids.batch import tasks_of
from ncscope.grids.spec import (
    OPTIONS,
    read_about,
    read_spec,
    ready_names,
    run_name,
    spec_path,
    tune_options,
)
from ncscope.toy.tasks import find_task
from tests.grids.grids import GRID, spec
from tests.run_files import run as case
from tests.run_files import write

# What typer makes of the command has options, which its type leaves open.
# pyright: reportAttributeAccessIssue=false


def test_a_grid_is_every_combination_with_what_is_fixed(tmp_path):
    runs = read_spec(spec(tmp_path, GRID))
    assert len(runs) == len({run.name for run in runs}) == 16
    last = runs[-1]
    assert last.options == {
        "method": "maple", "data": "toy:fish", "tau": 0.05, "seed": 1, "lcd_weight": 0.1,
        "mid_weight": 1.0, "recipe": "toy", "csc": False, "centred": True,
        "target": ["toy:shapes", "toy:fish@sketch"],
    }  # fmt: skip
    assert last.arguments() == [
        "maple", "--data=toy:fish", "--tau=0.05", "--seed=1", "--lcd-weight=0.1",
        "--mid-weight=1.0", "--recipe=toy", "--centred", "--target", "toy:shapes", "--target",
        "toy:fish@sketch",
    ]  # fmt: skip
    assert last.name.startswith("maple-fish-tau0.05-seed1-lcd0.1-mid1-")


def test_a_changed_option_is_another_run():
    options = {"method": "coop", "data": "toy:fish", "seed": 0, "recipe": "toy"}
    assert run_name(options) == run_name(dict(reversed(options.items())))
    assert run_name(options) != run_name({**options, "recipe": "authors"})
    assert "/" not in run_name({**options, "data": "../../etc"})
    assert not run_name({**options, "method": "..", "data": ".."}).startswith(".")


def test_the_options_are_those_of_the_command():
    from typer.main import get_command

    from ncscope_cli.main import app

    taken = {p.name for p in get_command(app).get_command(None, "tune").params}
    not_of_a_grid = {"out", "resume", "extend", "quiet", "tensorboard", "wandb", "compile", "cache"}
    assert taken - not_of_a_grid == set(OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid", r"spec\.toml: not TOML"),
        ("[runs]", r"runs: no table of a grid; those are grid, fixed and about"),
        ("grid = 3", r"grid must be a table of options; found 3"),
        ('[grid]\nmethod="coop"', r"grid\.data is missing"),
        ('[grid]\ndata="d"', r"grid\.method is missing"),
        ('[grid]\nmethod="coop"\ndata="d"\nlearning=[1]', r"grid\.learning: not an option"),
        ('[grid]\nmethod="coop"\ndata="d"\nseed=["a"]', r"grid\.seed must be a whole number"),
        ('[grid]\nmethod="coop"\ndata="d"\nseed=[true]', r"grid\.seed must be a whole number"),
        ('[grid]\nmethod="coop"\ndata="d"\ntau=[]', r"grid\.tau: an empty list makes no run"),
        ('[grid]\nmethod="coop"\ndata="d"\nweights=[1]', r"grid\.weights must be a table"),
        ('[grid]\nmethod="coop"\ndata="d"\nweights=[{lcd=1}]', r"grid\.weights\.lcd: not an opt"),
        ('[grid]\nmethod="coop"\ndata="d"\n[fixed]\nmethod="vpt"', r"method: given twice"),
        ('[grid]\nmethod="coop"\ndata="d"\n[fixed]\ntarget=[1]', r"fixed\.target must be a list"),
        (
            '[grid]\nmethod="coop"\ndata="d"\nseed=[1, 1]',
            r"the same run comes twice: coop-d-seed1-\w+; a list r",
        ),
        ("weights=[{}, {lcd_weight=0}]", r"the same run comes twice: .*; a weight of 0 is none$"),
        ("[fixed]\nweights=[{}]", r"fixed\.weights: its tables make a run each, in \[grid\]"),
        ("[fixed]\ntau=[1.0]", r"fixed\.tau: a list, .*, is for \[grid\]; expected a number$"),
        ("seed=-1", r"grid\.seed must be 0 to 2\^32 - 1; found -1"),
        ("tau=nan", r"grid\.tau must be a finite number; found nan"),
        ("tau=0", r"grid\.tau must be above 0, and 1 at most; found 0$"),
        (f"tau=1{'0' * 320}", r"grid\.tau must be a finite number; found 10{56}\.\.\.$"),
        (f"seed=1{'0' * 320}", r"grid\.seed must be 0 to 2\^32 - 1; found 10{56}\.\.\.$"),
        ("epochs=0", r"grid\.epochs must be 1 or more; found 0"),
        ("lcd_weight=-1", r"grid\.lcd_weight must be 0 or more; found -1"),
        ("lr=0.0", r"grid\.lr must be above 0; found 0\.0"),
        ("views=0", r"grid\.views must be a number of 1 to 9999, or online; found 0"),
        ("views=10000", r"grid\.views must be a number of 1 to 9999, or online; found 10000"),
        ('split="a\\u0000b"', r"grid\.split must be a text without a NUL character; found "),
        ('recipe="mine"', r"grid\.recipe must be one of authors, authors-f.*coop-cross.*; found"),
        (
            'centred=true\nweights=[{mid_weight=1.0}, {mid_weight=1.0, mid_form="align"}]',
            r"the run coop-d-mid1-\w+: `mid_form` 'align' has no centred form; centred ones: push",
        ),
        ('lcd_form="nosuch"', r"the run coop-d-\w+: `lcd_form` is 'nosuch'; expected one of cos"),
        ('loss="focal"', r"the run coop-d-\w+: `loss` is 'focal'; expected one of ce, balanced"),
        ("rank=4", r"the run coop-d-\w+: `rank` has no effect on coop; it is for shared-text"),
        (
            '[grid]\nmethod=["taskres", "coop"]\ndata="a/f.npz"',
            r"the run coop-a_f\.npz-\w+: coop needs the towers, and `data` is features of images",
        ),
        (
            '[grid]\nmethod="shared-text"\ndata="toy:fish"',
            r"the run shared-text-fish-\w+: shared-text is trained on features, and `data` is of",
        ),
        (
            '[grid]\nmethod="tip-adapter-f"\ndata="f.npz"\nlcd_weight=1.0',
            r"the run tip-adapter-f-f\.npz-lcd1-\w+: tip-adapter-f trains its cache, and neither",
        ),
        ('[about]\nwhy="x"', r"about\.why must be a text, and one of makes, time, then"),
    ],
)
def test_a_wrong_grid_is_refused_by_its_key(tmp_path, text, message):
    if not text.startswith(("[grid", "[runs", "grid")):
        text = f'[grid]\nmethod="coop"\ndata="d"\n{text}'
    with pytest.raises(DataError, match=message):
        read_spec(spec(tmp_path, text))


def test_an_unknown_method_is_refused_unless_it_is_a_checkpoint(tmp_path):
    path, file = spec(tmp_path, '[grid]\nmethod="nosuch"\ndata="d"'), tmp_path / "c.pth"
    with pytest.raises(DataError, match=r"grid\.method must be one of coop, .*, or a checkpoint"):
        read_spec(path)
    file.touch()
    path.write_text(path.read_text().replace("nosuch", str(file)))
    assert [run.options["method"] for run in read_spec(path)] == [str(file)]


def test_views_may_be_a_number(tmp_path):
    path = spec(tmp_path, '[grid]\nmethod="coop"\ndata="d"\nviews=[4, "4", "online"]')
    with pytest.raises(DataError, match="the same run comes twice"):
        read_spec(path)
    path.write_text(path.read_text().replace(', "4"', ""))
    assert [run.options["views"] for run in read_spec(path)] == ["4", "online"]


def test_long_seeds_are_told_apart_by_their_names():
    names = [run_name({"method": "coop", "data": "d", "seed": s}) for s in (1234567, 1234568)]
    assert [name.rpartition("-")[0] for name in names] == [
        "coop-d-seed1234567",
        "coop-d-seed1234568",
    ]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "nosuch.toml", "spec.toml/x"])
def test_a_grid_that_cannot_be_found_is_refused_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    spec(tmp_path, "")
    with pytest.raises(
        DataError, match=r"cannot be read \(|no such file, and no ready grid"
    ) as error:
        spec_path(name)
    assert "\n" not in str(error.value)


NAMES = ready_names()


def data_of(run):
    return [run.options["data"], *run.options.get("target", [])]


def test_every_item_of_the_paper_has_a_grid():
    assert {
        "toy-figure1", "toy-figure2", "toy-base-to-novel", "toy-cross-dataset", "toy-domain",
        "toy-sensitivity", "toy-ablation", "paper-base-to-novel", "paper-imbalanced",
        "paper-cross-dataset", "paper-domain", "paper-sensitivity", "paper-select-maple",
        "toy-select-coop", "toy-select-maple", "toy-study-coop", "toy-study-maple",
        "toy-study-transfer", "toy-study-check", "toy-study-both", "real-rates", "real-select",
        "real-select-adapters", "real-train", "real-train-adapters",
    } == set(NAMES)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_grid_has_runs_that_tune_takes_on_data_there_are(name):
    runs = read_spec(spec_path(name), root="/data")
    assert set(read_about(spec_path(name))) == {"makes", "time", "then"}
    for run in runs:
        tune_options(run.options)
    for data in {str(data) for run in runs for data in data_of(run)}:
        if name.startswith("toy-"):
            find_task(data.removeprefix("toy:"))
        elif name.startswith("real-"):  # a feature file that benchmarks/real_tasks.py writes
            assert re.fullmatch(r"/data/related/[01]\d\.npz", data)
        else:
            assert parse_known(data) is not None
            assert data.endswith(":/data")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("paper-")])
def test_a_grid_on_real_data_wants_their_folder_and_is_the_same_wherever_they_lie(name):
    with pytest.raises(DataError, match=r"\{root\}: name the folder of the data sets by --root"):
        read_spec(spec_path(name))
    here, there = (read_spec(spec_path(name), root=root) for root in ("/a", "/b"))
    assert [run.name for run in here] == [run.name for run in there]
    assert here[0].options["data"] != there[0].options["data"]


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("paper-")])
def test_a_grid_on_real_data_says_the_hours_that_are_counted_for_it(name):
    hours = sum(one.seconds for one in by_method(name, Speed()).values()) / 3600
    assert read_about(spec_path(name))["time"].startswith(f"about {hours:.0f} GPU-hour")


def test_the_page_of_the_paper_names_every_grid_of_the_toy():
    page = (Path(__file__).parents[2] / "docs" / "paper.md").read_text()
    for name in (name for name in NAMES if name.startswith("toy-")):
        assert f"`ncscope sweep {name} --out" in page


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_of_a_grid_can_be_compared(name, tmp_path):
    files, runs = [], read_spec(spec_path(name), root="/data")
    firsts = {key: list(dict.fromkeys(run.options.get(key) for run in runs))[:2]
              for key in ("data", "seed")}  # fmt: skip
    for run in runs:
        if any(run.options.get(key) not in some for key, some in firsts.items()):
            continue  # two of each tell rows apart as well as twenty
        told = asdict(tune_options(run.options))
        told |= {"name": tune_options(run.options).name, "backbone": run.options.get("backbone")}
        measured = [case(told["data"], told["split"], 0.5)]
        files.append(write(tmp_path / run.name, {"format": 1, "runs": measured, "tune": told}))
    rows, notes = without_duplicates(label_rows(read_outcomes(files)))
    assert len(rows) == len(files)
    assert notes == []


def test_an_unknown_grid_is_refused_with_those_there_are():
    with pytest.raises(DataError, match="no such file, and no ready grid: paper-base-to-novel, "):
        spec_path("toy-figure3")


def test_what_a_grid_says_of_itself_is_text(tmp_path):
    (tmp_path / "a.toml").write_text("[about]\nmakes = 3")
    with pytest.raises(DataError, match=r"about\.makes must be a text"):
        read_about(tmp_path / "a.toml")


def test_runs_of_one_text_prompt_on_one_task_train_together():
    tasks = tasks_of(read_spec(spec_path("toy-base-to-novel")))
    assert len(tasks) == 10
    assert {len(task) for task in tasks} == {30}
    assert {str(run.options["method"]) for task in tasks for run in task} == {"coop"}


@pytest.mark.parametrize(
    "line",
    ["csc = true", "batch_size = 8", 'sampler = "balanced"', "log_every = 5", 'recipe = "authors"',
     "relative_weights = true", "accumulate = 2", "eval_every = 1"],
)  # fmt: skip
def test_a_run_that_takes_other_steps_or_is_to_log_is_done_by_itself(tmp_path, line):
    recipe = "" if line.startswith("recipe") else 'recipe = "toy"\n'
    path = tmp_path / "a.toml"
    path.write_text(f'[grid]\nmethod="coop"\ndata="toy:fish"\nseed=[1, 2]\n[fixed]\n{recipe}{line}')
    assert tasks_of(read_spec(path)) == []


def test_a_grid_of_more_runs_than_anybody_means_is_refused_before_they_are_made(tmp_path):
    lines = [f"{key} = [{', '.join(map(str, range(1, 1000)))}]" for key in ("seed", "epochs")]
    path = tmp_path / "g.toml"
    path.write_text('[grid]\nmethod = ["coop"]\ndata = ["toy:fish"]\n' + "\n".join(lines))
    with pytest.raises(DataError, match="998001 runs; expected at most 20000 of one grid"):
        read_spec(path)
