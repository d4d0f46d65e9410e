"""`ncscope analyze DIR`: a Dassl tree of two methods, three data sets, three seeds, one damaged."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ncscope.page import folder
from ncscope.page.folder_plan import Task
from ncscope_cli.main import app
from tests import dassl_tree
from tests.dassl_files import save_dassl
from tests.processes import assert_same_measures, together

PAGE = Path(__file__).parents[2] / "docs" / "folders.md"
RUNS = 2 * len(dassl_tree.DATA) * len(dassl_tree.SEEDS)


def invoke(*arguments):
    return CliRunner().invoke(app, ["analyze", *map(str, arguments)])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    root = tmp_path_factory.mktemp("work")
    dassl_tree.write_all(root)
    return root


@pytest.fixture(autouse=True)
def here(work, monkeypatch):
    monkeypatch.chdir(work)


def measured(out, *more, sources=("output",)):
    where = ("--data-root", "data", "--backbone", "clip", "--out", out)
    return invoke(*sources, *where, "--cache", "cache", "--bootstrap", 0, *more)


def commands():
    """Those of docs/folders.md, on the files of the tests."""
    stand_ins = {"/data": "data", "ViT-B-16.pt": "clip", "output/": "output/base2new/"}
    for line in PAGE.read_text().splitlines():
        if line.startswith("$ ncscope "):
            for real, stand_in in stand_ins.items():
                line = line.replace(real, stand_in)
            more = " --cache cache --bootstrap 0" if " analyze " in line else ""
            more += " --no-html" if line.endswith("--out eurosat") else ""
            yield (line.removeprefix("$ ncscope ") + more).split()


@pytest.fixture(scope="module")
def page(work):
    """What the page's commands gave, each by its verb and its --out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        found = {}
        for words in commands():
            result = CliRunner().invoke(app, words)
            assert result.exception is None or isinstance(result.exception, SystemExit), words
            out = words[words.index("--out") + 1] if "--out" in words else ""
            found[words[0], out] = result
    return found


@pytest.fixture(scope="module")
def whole(work, page):
    return page["analyze", "measured"], work / "measured"


def test_the_commands_of_the_page_do_what_it_says(page, work):
    assert {key: result.exit_code for key, result in page.items()} == {
        ("inspect", ""): 1, ("analyze", "measured"): 1, ("analyze", "eurosat"): 1,
        ("compare", "table.tex"): 0, ("compare", "measures.csv"): 0,
    }  # fmt: skip
    assert r"delta\_lcd.centred" in (work / "table.tex").read_text()
    assert "Measures, base classes, against CoOp" in (work / "measures.csv").read_text()
    beside = json.loads((work / "eurosat" / "metrics.json").read_text())
    assert beside["runs"][0]["source"] == "zero-shot"
    assert len(beside["runs"]) == 1 + 5


def test_every_run_is_measured_on_what_its_log_says_and_the_damaged_is_named(whole):
    result, out = whole
    assert result.exit_code == 1, result.output
    found = json.loads((out / "metrics.json").read_text())
    runs = [run for run in found["runs"] if run["run"]]
    assert len(runs) == RUNS - 1
    [bad] = found["left_out"]
    assert "eurosat/shots_16/CoOp/vit_b16_ep50/seed2" in bad["source"]
    assert f"{bad['source']} is left out: {bad['reason']}" in result.stderr
    assert f"left out 1 of {RUNS + 3} runs" in result.stderr
    for run in runs:
        told = run["run"]
        assert run["data"].partition(":")[0] == told["dataset"]
        assert (run["split"], told["trained_split"]) == ("base", "base")
        assert [row["name"] for row in run["per_class"]] == list(dassl_tree.BASE)
        assert f"seed{told['seed']}" in run["source"]
        assert f"/{told['method']}/" in run["source"]
    assert {run["against"]["reference"] for run in runs} == {"zero-shot"}
    assert len(result.stdout.splitlines()) == 1 + len(found["runs"])
    assert {path.name for path in out.iterdir()} == {"metrics.json", "metrics.csv", "report.html"}


def test_a_run_measured_in_the_folder_has_the_numbers_of_one_measured_alone(work, whole):
    _, out = whole
    runs = json.loads((out / "metrics.json").read_text())["runs"]
    [there] = [run for run in runs if "dtd/shots_16/MaPLe/vit_b16_c2_ep5/seed2" in run["source"]]
    alone = invoke(
        there["source"], "--data", f"dtd:{work / 'data'}", "--split", "base", "--backbone",
        work / "clip", "--out", work / "alone", "--cache", "off", "--bootstrap", 0, "--no-html",
    )  # fmt: skip
    assert alone.exit_code == 0, alone.output
    [run] = json.loads((work / "alone" / "metrics.json").read_text())["runs"]
    assert run["summary"] == there["summary"]


def test_two_processes_measure_the_runs_that_one_does_and_tell_the_same(whole, tmp_path):
    """Of a tree with a damaged file, one of whose runs was measured before."""
    tree = "output/base2new/train_base/eurosat/shots_16/CoOp"
    runs = json.loads((whole[1] / "metrics.json").read_text())["runs"]
    runs = [run for run in runs if run["data"].startswith("EuroSAT:")]
    wanted = [run for run in runs if run["source"] == "zero-shot" or tree in run["source"]]
    (tmp_path / "unfinished.jsonl").write_text(json.dumps(wanted[1]))
    done = together(
        "analyze", "zero-shot", tree, "--data-root", "data", "--backbone", "clip",
        "--out", tmp_path, "--cache", "cache", "--bootstrap", 0,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("1 runs were measured before") == 1
    assert done.stderr.count("is left out") == done.stderr.count("left out 1 of 4 runs") == 1
    assert done.stderr.count("2 of 2: ") == 1
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert [one["source"][-5:] for one in found["left_out"]] == ["seed2"]
    assert [run["source"] for run in found["runs"]] == [run["source"] for run in wanted]
    for run, other in zip(found["runs"], wanted, strict=True):
        assert_same_measures(run["measures"], other["measures"])
        assert run["provenance"]["inputs"] == other["provenance"]["inputs"]
        assert run.get("against", {}).keys() == other.get("against", {}).keys()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"metrics.json", "metrics.csv", "report.html"}


def test_what_is_measured_already_is_not_measured_again(whole, monkeypatch):
    _, out = whole
    before = json.loads((out / "metrics.json").read_text())
    with monkeypatch.context() as patch:
        patch.setattr("ncscope.page.folder.extract", None)  # whoever calls it fails
        again = measured(out, "--no-html", sources=("zero-shot", "output"))
    assert again.exit_code == 1, again.output
    assert json.loads((out / "metrics.json").read_text()) == before
    held = len(before["runs"])
    assert f"{held} runs were measured before with the same inputs" in again.stderr
    few = ("output/base2new/train_base/dtd/shots_16/CoOp",)
    other = measured(out, "--no-html", "--split", "new", sources=few)
    assert "were measured before with the same inputs" not in other.stderr
    assert f"{held} runs measured before are not among these, or have other" in other.stderr
    assert {run["split"] for run in json.loads((out / "metrics.json").read_text())["runs"]} == {
        "new"
    }


def test_what_was_cut_short_goes_on(tmp_path, monkeypatch):
    calls = []

    def once(source, **how):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(source)
        return extracted(source, **how)

    extracted = folder.extract
    runs = "output/base2new/train_base/caltech-101/shots_16/CoOp"
    with monkeypatch.context() as patch:
        patch.setattr(folder, "extract", once)
        measured(tmp_path, "--no-html", sources=(runs,))
    assert not (tmp_path / "metrics.json").exists()
    kept = (tmp_path / "unfinished.jsonl").read_text()
    assert kept.count("\n") == 2
    (tmp_path / "unfinished.jsonl").write_text(kept + kept[:99])  # cut off as it was written
    with monkeypatch.context() as patch:
        patch.setattr(folder, "extract", lambda s, **how: calls.append(s) or extracted(s, **how))
        done = measured(tmp_path, "--no-html", sources=(runs,))
    assert done.exit_code == 0, done.output
    assert [path.rpartition("/")[2] for path in calls] == ["seed1", "seed2", "seed3"]
    assert "2 runs were measured before with the same inputs" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "metrics.csv"}


def test_a_run_beside_zero_shot_that_another_process_cannot_measure_is_measured_without_it():
    class Measuring:
        def has_reference(self, task):
            return task.data != "broken:/d"

        def __call__(self, task, *, zero_shot):
            return {"provenance": {}, "source": task.source, "zero_shot": zero_shot}

    measuring: Any = Measuring()
    facts: Any = SimpleNamespace(to_json=dict)
    for data, zero_shot in (("broken:/d", False), ("fine:/d", True)):
        reference = Task("zero-shot", data, "base", None, "a")
        run = Task("run", data, "base", None, "b", facts)
        taken = folder._attempt(measuring, run, [reference, run], {run.group}, strict=False)
        assert taken["record"]["zero_shot"] is zero_shot
        alone = folder._attempt(measuring, run, [run], {run.group}, strict=False)
        assert alone["record"]["zero_shot"] is True  # measured before, in a round of its own


def test_an_epoch_is_chosen_and_the_best_beside_it_is_another_run(work, tmp_path):
    run = work / "output/base2new/train_base/dtd/shots_16/CoOp/vit_b16_ep50/seed3"
    best = save_dassl(
        run / "prompt_learner" / "model-best.pth.tar", dassl_tree.state("CoOp", 9), epoch=7
    )
    try:
        epochs = []
        for more in ((), ("--load-epoch", 50)):
            assert measured(tmp_path, "--no-html", *more, sources=(run,)).exit_code == 0
            [found] = json.loads((tmp_path / "metrics.json").read_text())["runs"]
            said = [one for one in found["warnings"] if one.startswith("read ")]
            epochs.append((found["run"]["epoch"], found["run"]["chosen"], said))
    finally:
        best.unlink()
    best = "read model-best.pth.tar of 2 files: the best on validation"
    assert epochs == [
        (7, best, [f"{best}; --load-epoch N takes another"]),
        (50, "read model.pth.tar-50 of 2 files: --load-epoch", []),
    ]


def test_strict_ends_all_before_a_run_is_measured(tmp_path):
    result = measured(tmp_path / "out", "--strict")
    assert result.exit_code == 1
    assert "seed2" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_without_a_root_the_logs_say_what_is_missing(work, tmp_path):
    result = invoke(work / "output", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "its log names the data set Caltech101; say where the data sets lie: --data-root" in str(
        result.exception
    )
    gone = measured(tmp_path / "out", "--data-root", tmp_path)
    assert f"{tmp_path}: no folder" in str(gone.exception)


def test_options_of_single_runs_are_refused_by_name(tmp_path):
    result = measured(tmp_path, "--data", "dtd:/d", "--pairs")
    assert "--data, --pairs: not with many runs on data sets of their own" in str(result.exception)


def test_runs_below_a_folder_share_the_data_that_are_named(work, tmp_path):
    result = invoke(
        work / "output/base2new/train_base/eurosat/shots_16/CoOp", "--out", tmp_path, "--data",
        f"eurosat:{work / 'data'}", "--split", "base", "--backbone", work / "clip", "--cache",
        work / "cache", "--bootstrap", 0, "--no-html",
    )  # fmt: skip
    assert result.exit_code == 1, result.output
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert [run["source"][-5:] for run in found["runs"]] == ["seed1", "seed3"]
    assert found["left_out"][0]["source"].endswith("seed2")
