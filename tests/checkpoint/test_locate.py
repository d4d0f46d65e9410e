import pytest

from ncscope.checkpoint.locate import locate
from ncscope.errors import CheckpointError


@pytest.fixture
def run(tmp_path):
    """A run folder with two epochs of one model, its log, and a test run's log below."""
    seed = tmp_path / "nctx16_cscFalse_ctpend" / "seed1"
    for epoch in (5, 50, 9):
        make(seed / "prompt_learner" / f"model.pth.tar-{epoch}")
    make(seed / "prompt_learner" / "checkpoint")
    make(seed / "log.txt")
    make(seed / "tensorboard" / "events.pt")
    make(seed / "evaluation" / "log.txt")
    return seed


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize("level", ["model", "seed", "run", "above"])
def test_every_level_of_a_run_leads_to_its_last_epoch(run, level):
    start = {
        "model": run / "prompt_learner",
        "seed": run,
        "run": run.parent,
        "above": run.parent.parent,
    }
    found = locate(start[level])
    assert found.path == run / "prompt_learner" / "model.pth.tar-50"
    assert found.logs == (run / "log.txt",)
    assert found.notes == ("read model.pth.tar-50 of 3 files: the last epoch",)


def test_a_file_is_itself_and_has_its_log(run):
    file = run / "prompt_learner" / "model.pth.tar-5"
    assert locate(file).path == file
    assert locate(file).logs == (run / "log.txt",)


def test_a_relative_file_has_its_log_too(run, monkeypatch):
    monkeypatch.chdir(run / "prompt_learner")
    assert len(locate("model.pth.tar-5").logs) == 1


def test_the_best_on_validation_goes_before_the_last(run):
    best = make(run / "prompt_learner" / "model-best.pth.tar")
    assert locate(run).path == best
    assert "the best on validation" in locate(run).notes[0]


@pytest.mark.parametrize(
    "folder",
    ["MultiModalPromptLearner", "VLPromptLearner", "adapter_learner", "whatever the name"],
)
def test_names_of_model_folders_do_not_matter(tmp_path, folder):
    file = make(tmp_path / folder / "model.pth.tar")
    assert locate(tmp_path).path == file


def test_several_runs_are_listed(run):
    make(run.parent / "seed2" / "prompt_learner" / "model.pth.tar-50")
    with pytest.raises(CheckpointError, match=r"several runs; name one of seed1/.*, seed2/prompt"):
        locate(run.parent)
    for i in range(30):
        make(run.parent / f"seed{i}" / "prompt_learner" / "model.pth.tar-50")
    with pytest.raises(CheckpointError, match=r"\.\.\. \(30 in all\)$"):
        locate(run.parent)


def test_a_memory_or_an_anchor_is_a_companion(tmp_path):
    main = make(tmp_path / "prompt_learner" / "model.pth.tar-20")
    memory = make(tmp_path / "Memory" / "model.pth.tar-20")
    found = locate(tmp_path)
    assert (found.path, found.companions) == (main, (memory,))
    assert found.notes == ("other models of this run: Memory",)
    anchor = make(tmp_path / "b" / "anchor_prompt_learner" / "model.pth.tar")
    assert locate(tmp_path / "b").path == anchor
    normal = make(tmp_path / "b" / "normal_prompt_learner" / "model.pth.tar")
    assert locate(tmp_path / "b").path == normal


def test_several_unrelated_models_or_files_are_listed(tmp_path):
    make(tmp_path / "one" / "model.pth.tar")
    make(tmp_path / "two" / "model.pth.tar")
    with pytest.raises(CheckpointError, match="several models; name one of one, two"):
        locate(tmp_path)
    make(tmp_path / "one" / "a.pt").parent.joinpath("model.pth.tar").unlink()
    make(tmp_path / "one" / "b.pt")
    with pytest.raises(CheckpointError, match=r"several files; name one of a\.pt, b\.pt"):
        locate(tmp_path / "one")


def test_files_of_other_projects_are_found_by_their_usual_names(tmp_path):
    lora = make(tmp_path / "vitb16" / "eurosat" / "16shots" / "seed1" / "lora_weights.pt")
    assert locate(tmp_path).path == lora
    for name in ("keys_16shots.pt", "values_16shots.pt", "best_F_16shots.pt", "test_f.pt"):
        make(tmp_path / "caches" / name)
    assert locate(tmp_path / "caches").path.name == "best_F_16shots.pt"


def test_a_folder_without_a_checkpoint_says_what_was_looked_for(tmp_path):
    make(tmp_path / "log.txt")
    make(tmp_path / ".hidden" / "model.pth.tar")
    make(tmp_path / "prompt_learner" / ".model.pth.tar-50.part")
    with pytest.raises(CheckpointError, match="no checkpoint in this folder or below it"):
        locate(tmp_path)


def test_later_logs_follow_the_first(run):
    later = make(run / "log.txt-2023-01-02-03-04-05")
    assert locate(run).logs == (run / "log.txt", later)


def test_links_that_lead_back_do_not_hang(run):
    (run / "loop").symlink_to(run.parent, target_is_directory=True)
    assert locate(run).path.name == "model.pth.tar-50"
