"""Every run below a folder is found, links, pipes and huge trees are borne."""

import os

import pytest

from ncscope.checkpoint import walk
from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.locate import locate
from ncscope.checkpoint.run_facts import run_facts
from ncscope.checkpoint.runs import find_runs
from ncscope.errors import CheckpointError
from tests.dassl_files import log_text, save_run
from tests.learner_states import Sizes, coop


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def names(top):
    return [str(path.relative_to(top)) for path in find_runs(top).paths]


def test_runs_at_any_depth_are_found_each_by_the_folder_to_give(tmp_path):
    deep = "base2new/train_base/eurosat/shots_16/CoOp/vit_b16_ep50"
    for seed in (1, 2):
        make(tmp_path / deep / f"seed{seed}" / "prompt_learner" / "model.pth.tar-50")
        make(tmp_path / deep / f"seed{seed}" / "log.txt")
    for run in ("ours/a", "ours/b"):  # as `ncscope tune` leaves them
        for name in ("checkpoint", "trajectory", "state"):
            make(tmp_path / run / f"{name}.safetensors")
    make(tmp_path / "stray.pt")
    assert names(tmp_path) == [f"{deep}/seed1", f"{deep}/seed2", "ours/a", "ours/b", "stray.pt"]
    assert locate(tmp_path / deep / "seed1").path.name == "model.pth.tar-50"


def test_loose_files_are_a_run_each_and_companions_none(tmp_path):
    for name in ("coop.pt", "maple.pt"):
        make(tmp_path / "loose" / name)
    make(tmp_path / "refined" / "prompt_learner" / "model.pth.tar-20")
    make(tmp_path / "refined" / "Memory" / "model.pth.tar-20")
    assert names(tmp_path) == ["loose/coop.pt", "loose/maple.pt", "refined"]
    assert locate(tmp_path / "refined").companions


def test_a_file_is_itself_and_an_empty_folder_is_refused(tmp_path):
    file = make(tmp_path / "a.pt")
    assert find_runs(file).paths == (file,)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint in this folder or below it"):
        find_runs(tmp_path / "empty")


def test_links_are_named_not_followed_and_pipes_are_no_runs(tmp_path):
    make(tmp_path / "far" / "seed1" / "model.pth.tar-5")
    top = tmp_path / "top"
    make(top / "seed1" / "model.pth.tar-5")
    (top / "far").symlink_to(tmp_path / "far")
    (top / "seed1" / "loop").symlink_to(top)
    os.mkfifo(top / "pipe.pt")
    (top / "to_pipe.pt").symlink_to(top / "pipe.pt")
    (top / "gone.pt").symlink_to(top / "nowhere.pt")
    found = find_runs(top)
    assert found.paths == (top / "seed1",)
    [note] = found.notes
    assert note.startswith(f"{top}: 2 links to folders were not followed; name what they lead to: ")
    assert "seed1/loop" in note


def test_a_tree_that_is_too_large_is_refused_before_it_is_walked(tmp_path, monkeypatch):
    for k in range(8):
        make(tmp_path / f"run{k}" / "model.pth.tar-1")
    for limit, most in (("MOST_FOLDERS", 5), ("MOST_ENTRIES", 10)):
        with monkeypatch.context() as patch:
            patch.setattr(walk, limit, most)
            with pytest.raises(CheckpointError, match="below it; name a folder further down"):
                find_runs(tmp_path)
    assert len(find_runs(tmp_path).paths) == 8


def test_what_lies_too_deep_is_said(tmp_path):
    make(tmp_path / "a" / "model.pth.tar-1")
    make(tmp_path.joinpath(*(f"d{k}" for k in range(30))) / "model.pth.tar-1")
    found = find_runs(tmp_path)
    assert found.paths == (tmp_path / "a",)
    assert "deeper than 24 levels" in found.notes[0]


def test_an_epoch_is_chosen_beside_the_best_or_refused_with_what_there_is(tmp_path):
    for name in ("model.pth.tar-10", "model.pth.tar-50", "model-best.pth.tar"):
        make(tmp_path / "seed1" / "prompt_learner" / name)
    assert locate(tmp_path / "seed1").path.name == "model-best.pth.tar"
    found = locate(tmp_path / "seed1", epoch=10)
    assert found.path.name == "model.pth.tar-10"
    assert found.notes == ("read model.pth.tar-10 of 3 files: --load-epoch",)
    with pytest.raises(CheckpointError, match=r"no model\.pth\.tar-9, which .* model\.pth\.tar-10"):
        locate(tmp_path / "seed1", epoch=9)
    with pytest.raises(CheckpointError, match="this is one file"):
        locate(found.path, epoch=50)
    assert locate(found.path, epoch=10).path == found.path


def test_what_tells_runs_apart_is_the_log_and_the_options_of_tune_beside_it(tmp_path):
    log = log_text(seed=4, settings={"N_CTX": 16})
    save_run(tmp_path / "seed9", coop(Sizes()), log=log)
    facts = run_facts(inspect(tmp_path / "seed9"))
    assert (facts.method, facts.dataset, facts.trained_split) == ("CoOp", "OxfordPets", "base")
    assert (facts.seed, facts.epoch, facts.accuracy) == (4, 50, 95.12)
    assert facts.settings["TRAINER.COOP.N_CTX"] == "16"
    assert not {"SEED", "DATASET.NAME", "DATASET.ROOT", "backbone"} & set(facts.settings)
    beside = tmp_path / "seed9" / "prompt_learner" / "config.json"
    for text, added in (
        ('{"recipe_in_force": "toy", "lcd_weight": 0.1, "seed": 3, "data": "x"}', {"lcd_weight"}),
        ('{"lcd_weight": 0.1}', set()),  # somebody else's
        ("[" * 10_000, set()),
    ):
        beside.write_text(text)
        found = run_facts(inspect(tmp_path / "seed9")).settings
        assert set(found) - set(facts.settings) - {"recipe_in_force", "cpt_weights"} == added


def test_without_a_log_the_folder_tells_the_seed_and_nothing_the_data(tmp_path):
    save_run(tmp_path / "seed9", coop(Sizes()))
    facts = run_facts(inspect(tmp_path / "seed9"))
    assert (facts.seed, facts.dataset, facts.accuracy, facts.settings) == (9, None, None, {})
