import json

import open_clip
import pytest
import torch

from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.trainers import named_by, other_method
from ncscope.errors import CheckpointError
from tests.dassl_files import log_text, save_dassl, save_lift, save_lora, save_run
from tests.learner_states import (
    STATES,
    Sizes,
    clip_lora,
    cocoop,
    coop,
    kgcoop,
    lift,
    maple,
    promptkd,
    promptsrc,
    taskres,
    tip_adapter,
    vpt,
)

SMALL = Sizes(classes=19, layers=2, depth=2)
KEYS = {
    "format", "path", "file_format", "method", "candidates", "decided_by", "base_method",
    "nearest", "missing_keys", "unexplained_keys", "shapes", "class_names", "class_names_from",
    "fixed_words", "subset", "settings", "config", "accuracy", "macro_f1", "evaluations", "needs",
    "extras", "tensors", "logs", "companions", "warnings", "notes",
}  # fmt: skip


@pytest.mark.parametrize("level", ["", "prompt_learner", "prompt_learner/model.pth.tar-50"])
def test_a_run_says_its_method_settings_and_accuracy(tmp_path, level):
    save_run(tmp_path, coop(SMALL), log=log_text())
    found = inspect(tmp_path / level)
    assert (found.method, found.subset) == ("CoOp", "base")
    assert found.decided_by == "its keys, and the trainer CoOp in log.txt"
    assert found.log is not None
    assert (found.log.accuracy, found.log.backbone) == (95.12, "ViT-B/16")
    assert found.checkpoint.extras["epoch"] == 50
    needs = {need.what: need.value for need in found.needs}
    assert needs == {"backbone": "ViT-B/16", "class token position": "end"}
    assert found.warnings == ()
    assert found.names_from == "in the file as tokens; needs --backbone to recover them"


@pytest.mark.parametrize("name", STATES)
def test_json_has_the_same_keys_for_every_file(tmp_path, name):
    save_dassl(tmp_path / "model.pth.tar", STATES[name](Sizes(layers=2, depth=2), 0))
    found = inspect(tmp_path).to_json()
    assert set(found) == KEYS
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["method"] is not None


@pytest.mark.parametrize(
    ("trainer", "method"),
    [("ProGrad", "ProGrad"), ("CoOpNemesis", "Nemesis"), ("DPC_CoOp", "DPC"), ("CoOp", "CoOp")],
)
def test_the_trainer_in_the_log_parts_methods_with_the_same_keys(tmp_path, trainer, method):
    save_run(tmp_path, coop(SMALL), log=log_text(trainer=trainer))
    assert inspect(tmp_path).method == method


def test_a_folder_name_is_a_hint_and_said_to_be_one(tmp_path):
    run = tmp_path / "output" / "DeKg" / "seed1"
    save_run(run, kgcoop(SMALL))
    found = inspect(run)
    assert found.method == "DeKg"
    assert "the folder name DeKg, which is a hint only" in found.decided_by
    misleading = tmp_path / "output" / "MaPLe" / "seed1"
    save_run(misleading, coop(SMALL))
    assert inspect(misleading).method == "CoOp"


def test_undecided_candidates_are_all_named(tmp_path):
    save_run(tmp_path / "x", promptsrc(SMALL))
    found = inspect(tmp_path)
    assert found.method == "PromptSRC"
    assert "ProMetaR" in found.recognition.candidates
    assert "the trainer's name in log.txt would say" in found.decided_by


def test_a_log_of_another_run_is_noticed(tmp_path):
    text = log_text(trainer="MaPLe", backbone="RN50", settings={"N_CTX": 16}).replace(
        "# classes  19", "# classes  37"
    )
    sizes = Sizes(classes=19, text=512, embed=512, layers=1)
    save_run(tmp_path, cocoop(sizes), log=text.replace("  COOP:", "  MAPLE:"))
    warnings = " / ".join(inspect(tmp_path).warnings)
    assert "the trainer MaPLe (MaPLe), which the keys are not" in warnings
    assert "the backbone RN50; the shapes fit ViT-B/16, ViT-B/32, RN101" in warnings
    assert "context length: 16 in log.txt, 4 in the file" in warnings
    assert "number of classes: 37 in log.txt, 19 in the file" in warnings


def test_a_diverged_training_is_noticed(tmp_path):
    state = coop(SMALL)
    state["ctx"][0, 0] = torch.nan
    save_run(tmp_path, state)
    assert inspect(tmp_path).warnings[0] == (
        "NaN or infinite values in `ctx`: the training diverged"
    )


@pytest.mark.parametrize(
    ("state", "warning"),
    [
        (promptsrc, "averages over epochs"),
        (cocoop, "depend on the image"),
        (promptkd, "without --teacher only image measures"),
    ],
)
def test_what_a_reader_should_know_of_a_method_is_said(tmp_path, state, warning):
    save_dassl(tmp_path / "model.pth.tar", state(SMALL))
    assert any(warning in text for text in inspect(tmp_path).warnings)


@pytest.mark.parametrize(
    ("state", "option"),
    [
        (promptkd, "--teacher"),
        (taskres, "--residual-scale"),
        (taskres, "--classnames"),
        (vpt, "--template"),
        (cocoop, "--condition"),
        (coop, "--class-token-position"),
        (tip_adapter, "--data-name"),
    ],
)
def test_what_the_file_does_not_say_is_asked_for(tmp_path, state, option):
    name = "keys_16shots.pt" if state is tip_adapter else "model.pth.tar"
    save_dassl(tmp_path / name, state(SMALL))
    needed = {need.option: need.value for need in inspect(tmp_path).needs}
    assert needed[option] is None


def test_settings_outside_the_file_are_found_in_the_log(tmp_path):
    text = log_text(trainer="TaskRes", section="TaskRes".upper(), settings={"RESIDUAL_SCALE": 0.5})
    save_run(tmp_path, taskres(SMALL), log=text)
    needs = {need.what: (need.value, need.origin) for need in inspect(tmp_path).needs}
    assert needs["residual scale"] == ("0.5", "log.txt")


def test_the_backbone_comes_from_the_log_the_shapes_or_the_file_itself(tmp_path):
    real = Sizes(text=512, vision=768, embed=512, grid=14, layers=1, depth=1)
    for name, state, value in (
        ("a", maple(real), "ViT-B/16"),
        ("b", maple(SMALL), "checkpoint"),
        ("c", coop(real), None),
    ):
        save_dassl(tmp_path / name / "model.pth.tar", state)
        (need,) = [n for n in inspect(tmp_path / name).needs if n.what == "backbone"]
        assert need.value == value
    assert need.origin == "its shapes fit ViT-B/16, ViT-B/32, RN50, RN101"


def test_initial_words_beyond_the_learned_tokens_are_noted(tmp_path):
    log = log_text(
        trainer="MaPLe", section="MAPLE", settings={"CTX_INIT": "a photo of a", "N_CTX": 2}
    )
    save_run(tmp_path, maple(Sizes(classes=19, context=2, layers=1, depth=1)), log=log)
    assert any("2 are learned; 'of a' is fixed" in note for note in inspect(tmp_path).notes)


def test_an_old_squashing_transform_is_a_warning(tmp_path):
    save_run(tmp_path, coop(SMALL), log=log_text(squash=True))
    assert any("squashed" in text for text in inspect(tmp_path).warnings)


def test_lora_and_lift_files_are_recognised_as_their_authors_write_them(tmp_path):
    save_lora(tmp_path / "seed1" / "lora_weights.pt", clip_lora(Sizes()))
    found = inspect(tmp_path / "seed1")
    assert found.method == "CLIP-LoRA"
    assert found.checkpoint.extras["metadata.alpha"] == 1
    save_lift(tmp_path / "run" / "checkpoint.pth.tar", lift(Sizes()))
    assert inspect(tmp_path / "run").method == "LIFT"


@pytest.mark.parametrize(
    ("name", "method"), [("best_F_16shots.pt", "Tip-Adapter-F"), ("keys_16shots.pt", "Tip-Adapter")]
)
def test_a_bare_tensor_is_told_by_its_name_only(tmp_path, name, method):
    torch.save(torch.nn.Parameter(torch.ones(48, 32)), tmp_path / name)
    assert inspect(tmp_path).method == method


def test_class_names_come_from_the_tokens_or_the_log(tmp_path):
    tokenizer = open_clip.SimpleTokenizer()
    table = torch.randn(49408, 64, generator=torch.Generator().manual_seed(0))
    names = ("abyssinian", "bengal cat", "beagle")
    prompts = table[tokenizer([f"X X X X {name}." for name in names])].half()
    text = log_text(names=names, dataset="Other").replace("Number", 'Initial context: "X X X X"\nN')
    save_run(tmp_path, coop(Sizes(classes=3), prompts=prompts), log=text)

    found = inspect(tmp_path, decode=tokenizer.decode, token_embedding=table)
    assert found.class_names is not None
    assert (found.class_names.names, found.names_from) == (names, "the tokens in the file")

    logged = inspect(tmp_path)
    assert logged.class_names is not None
    assert (logged.class_names.names, logged.names_from) == (names, "log.txt")

    (tmp_path / "log.txt").unlink()
    other = inspect(tmp_path, decode=tokenizer.decode, token_embedding=table.flip(1))
    assert other.class_names is None
    assert "trained on another backbone" in other.warnings[0]


def test_names_in_the_log_that_are_not_the_files_are_a_warning(tmp_path):
    tokenizer = open_clip.SimpleTokenizer()
    table = torch.randn(49408, 64, generator=torch.Generator().manual_seed(0))
    prompts = table[tokenizer(["X X X X cat.", "X X X X dog."])].half()
    text = log_text(names=("dog", "cat")).replace("Number", 'Initial context: "X X X X"\nN')
    save_run(tmp_path, coop(Sizes(classes=2), prompts=prompts), log=text)
    found = inspect(tmp_path, decode=tokenizer.decode, token_embedding=table)
    assert "the class names in log.txt are not those in the file" in found.warnings


def test_an_unknown_file_is_compared_with_the_nearest(tmp_path):
    save_dassl(tmp_path / "model.pth.tar", {"ctxx": torch.zeros(4, 512)})
    found = inspect(tmp_path)
    assert found.method is None
    assert found.recognition.nearest == "CoOp"
    assert found.needs == ()


def test_refusals_come_through(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint in this folder"):
        inspect(tmp_path)
    (tmp_path / "model.pth.tar").write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty file"):
        inspect(tmp_path)


def test_trainers_are_told_apart_by_their_whole_name():
    candidates = ("CoOp", "ProGrad", "Nemesis", "DPC")
    assert named_by("CoOp", candidates) == "CoOp"
    assert named_by("KgCoOp", candidates) is None
    assert other_method("KgCoOp", candidates) == "KgCoOp"
    assert other_method("MyOwnThing", candidates) is None
    assert named_by("ExtrasLinearProbeCoOp", ("DePT over CoOp", "DePT over ProGrad")) == (
        "DePT over CoOp"
    )
    assert named_by("CoOp_dyntoken_1anchor_template", ("AnchorOPT", "CoCoOp_AnchorOPT")) == (
        "AnchorOPT"
    )
