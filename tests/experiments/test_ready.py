from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.paper_cost import Speed, by_method
from ncscope.comparison.read import read_outcomes
from ncscope.comparison.rows import label_rows, without_duplicates
from ncscope.data.known import parse_known
from ncscope.errors import DataError
from ncscope.grids.batch import _tune_options, tasks_of
from ncscope.grids.spec import read_about, read_spec, ready_names, spec_path
from ncscope.toy.tasks import find_task
from tests.experiments.cases import run as case
from tests.experiments.cases import write

NAMES = ready_names()


def data_of(run):
    return [run.options["data"], *run.options.get("target", [])]


def test_every_item_of_the_paper_has_a_grid():
    assert {
        "toy-figure1", "toy-figure2", "toy-base-to-novel", "toy-cross-dataset", "toy-domain",
        "toy-sensitivity", "toy-ablation", "paper-base-to-novel", "paper-imbalanced",
        "paper-cross-dataset", "paper-domain", "paper-sensitivity", "paper-select-maple",
        "toy-select-coop", "toy-select-maple", "toy-study-coop", "toy-study-maple",
        "toy-study-transfer", "toy-study-check", "toy-study-both",
    } == set(NAMES)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_grid_has_runs_that_tune_takes_on_data_there_are(name):
    runs = read_spec(spec_path(name), root="/data")
    assert set(read_about(spec_path(name))) == {"makes", "time", "then"}
    for run in runs:
        _tune_options(run)
    for data in {str(data) for run in runs for data in data_of(run)}:
        if name.startswith("toy-"):
            find_task(data.removeprefix("toy:"))
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


def test_the_readme_names_every_grid_of_the_toy():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name in (name for name in NAMES if name.startswith("toy-")):
        assert f"`ncscope sweep {name} --out" in readme


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_of_a_grid_can_be_compared(name, tmp_path):
    files = []
    for run in read_spec(spec_path(name), root="/data"):
        told = asdict(_tune_options(run))
        told |= {"name": _tune_options(run).name, "backbone": run.options.get("backbone")}
        runs = [case(told["data"], told["split"], 0.5)]
        files.append(write(tmp_path / run.name, {"format": 1, "runs": runs, "tune": told}))
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
