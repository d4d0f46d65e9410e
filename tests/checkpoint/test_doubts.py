"""A file that may be another method's is refused by name, and the caller may say whose it is."""

import re

import pytest
import torch

from ncscope.checkpoint.inspect import inspect
from ncscope.errors import CheckpointError
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states as states
from tests.dassl_files import log_text, save_dassl, save_run
from tests.learner_states import Sizes
from tests.zoo.learners import case

SMALL = Sizes(classes=19, layers=2, depth=2)
WIDE = torch.zeros(4, 8)
# Files of other papers, as their keys differ from those of the method they were taken for
STRANGERS = {
    "TAC": (states.promptsrc, {"topk": WIDE, "VPT_topk_t.weight": WIDE, "VPT_topk_v.weight": WIDE}),
    "SurPL": (
        states.promptsrc,
        {"SFG.ln_1": WIDE, "fg_signals": WIDE, "feature_proj.linear": WIDE},
    ),
    "BIP": (states.tcp, {"ctx_visual": WIDE, "meta_vises.0.linear1.weight": WIDE}),
    "DPC-PromptKD": (states.promptkd, {"prompt_learner.ctx": WIDE}),
}


@pytest.mark.parametrize("method", STRANGERS)
def test_files_of_other_papers_are_told_by_their_keys(tmp_path, method):
    make, more = STRANGERS[method]
    save_run(tmp_path, {**make(SMALL), **more})
    assert inspect(tmp_path).method == method


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (states.coop, "my_gate.weight"),
        (states.maple, "prompt_learner.gate"),
        (states.maple_atp, "prompt_learner.gate"),
        (states.coprompt, "prompt_learner.crazy_fc.weight"),
        (states.ivlp, "image_encoder.transformer.resblocks.1.adapter.weight"),
        (states.promptsrc, "text_encoder.gate"),
        (states.vpt, "image_encoder.my_proj"),
        (states.mmrl, "image_encoder.C"),
        (states.tcp, "meta_vis.linear1.weight"),
    ],
)
def test_learned_keys_that_the_method_does_not_have_refuse_the_file(tmp_path, backbone, make, key):
    save_run(tmp_path, {**make(case.SIZES), key: WIDE})
    with pytest.raises(CheckpointError, match=rf"does not have: `{re.escape(key)}`.*--method"):
        load_learner(tmp_path, backbone=backbone)
    assert any(f"`{key}`" in warning for warning in inspect(tmp_path).warnings)


def test_a_trainer_that_the_keys_are_not_refuses_the_file(tmp_path, backbone):
    run = case.save(tmp_path, case.prompted(states.coop(case.SIZES), "X X X X"), trainer="TAC")
    with pytest.raises(CheckpointError, match=r"names the trainer TAC .*: --method CoOp$"):
        load_learner(run, backbone=backbone)


def test_the_caller_may_say_whose_the_file_is_and_that_is_in_the_warnings(tmp_path, backbone):
    state = {**case.prompted(states.coop(case.SIZES), "X X X X"), "my_gate.weight": WIDE}
    run = case.save(tmp_path, state)
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(method="coop"))
    [said] = [w for w in learner.description["warnings"] if "--method says so" in w]
    assert said.startswith("read as CoOp because --method says so: its keys are CoOp's; keys that")
    assert "`my_gate.weight`" in said
    plain = case.save(tmp_path / "plain", case.prompted(states.coop(case.SIZES), "X X X X"))
    wanted = load_learner(plain, backbone=backbone).text_features(case.NAMES)
    torch.testing.assert_close(learner.text_features(case.NAMES), wanted)


def test_the_method_of_an_inspection_is_the_callers_too(tmp_path, backbone):
    run = case.save(tmp_path, case.prompted(states.coop(case.SIZES), "X X X X"), trainer="TAC")
    options = LearnerOptions(method="CoOp")
    assert (
        load_learner(inspect(run), backbone=backbone, options=options).text_features(["cat"]).any()
    )


def test_an_unknown_method_is_refused_with_those_there_are(tmp_path):
    save_run(tmp_path, states.coop(SMALL))
    with pytest.raises(CheckpointError, match="`method` is 'CoUp'; expected one of CoOp, ProGrad"):
        inspect(tmp_path, method="CoUp")


@pytest.mark.parametrize("log", [None, log_text(trainer="DeKg")])
def test_dekgs_own_frozen_tower_is_no_stranger(tmp_path, log):
    state = {k: v for k, v in states.kgcoop(SMALL).items() if not k.startswith("meta_net")}
    save_run(tmp_path, {**state, "image_encoder.proj": WIDE}, log=log)
    found = inspect(tmp_path)
    assert (found.method, found.doubt, found.warnings) == ("DeKg", None, ())
    assert any("a frozen CLIP's, are not used" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "tensor", "method"),
    [
        ("test_f.pt", torch.nn.functional.normalize(torch.randn(90, 64), dim=1), "matrix"),
        ("values_16shots.pt", torch.eye(5).half(), "cached labels"),
        ("onehot.pt", torch.eye(5)[torch.arange(40) % 5], "cached labels"),
        ("test_l.pt", torch.arange(9), "cached labels"),
        ("random.pt", torch.randn(90, 64), "matrix"),
        ("ctx.pt", torch.randn(4, 128) * 0.02, "bare context"),
        ("best_F_16shots.pt", torch.randn(90, 64), "Tip-Adapter-F"),
        ("keys_16shots.pt", torch.randn(64, 90), "Tip-Adapter"),
    ],
)
def test_a_bare_matrix_is_what_its_name_or_its_values_tell(
    tmp_path, backbone, name, tensor, method
):
    torch.save(tensor, tmp_path / name)
    found = inspect(tmp_path / name)
    assert found.method == method
    if not method.startswith("Tip"):
        with pytest.raises(CheckpointError, match=r"matrix|not a checkpoint"):
            load_learner(tmp_path / name, backbone=backbone)


def test_a_folder_of_tip_adapters_is_read_as_its_tuned_cache_or_its_keys(tmp_path):
    for name in ("keys_16shots.pt", "values_16shots.pt", "test_f.pt", "test_l.pt", "val_f.pt"):
        torch.save(torch.randn(64, 80), tmp_path / name)
    assert inspect(tmp_path).method == "Tip-Adapter"
    torch.save(torch.randn(80, 64), tmp_path / "best_F_16shots.pt")
    assert inspect(tmp_path).method == "Tip-Adapter-F"
    torch.save(torch.randn(80, 64), tmp_path / "best_F_4shots.pt")
    with pytest.raises(CheckpointError, match="caches of several runs; name one of best_F_16shots"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("model.pth.tar", "_orig_mod."),
        ("coop.pt", "prompt_learner."),
        ("last.ckpt", "model.prompt_learner."),
        ("pytorch_model.bin", "model."),
    ],
)
def test_a_beginning_that_all_keys_share_is_taken_off(tmp_path, name, prefix):
    save_dassl(tmp_path / name, {f"{prefix}{k}": v for k, v in states.coop(SMALL).items()})
    found = inspect(tmp_path)
    assert (found.method, found.doubt) == ("CoOp", None)
    assert set(found.checkpoint.tensors) == set(states.coop(SMALL))
    if prefix != "_orig_mod.":
        assert f"all keys begin with `{prefix}`, which was taken off" in found.notes


@pytest.mark.parametrize(
    ("epoch", "log", "said"),
    [
        (50, {}, None),
        (10, {}, "of epoch 50: this file is of epoch 10"),
        (10, {"max_epoch": 10}, None),
    ],
)
def test_an_accuracy_of_another_epoch_is_noted(tmp_path, epoch, log, said):
    save_run(tmp_path, states.coop(SMALL), epoch=epoch, log=log_text(**log))
    notes = [note for note in inspect(tmp_path).notes if "accuracy in log.txt" in note]
    assert notes == ([] if said is None else [f"the accuracy in log.txt is {said}"])


def test_the_epoch_that_was_loaded_for_the_test_is_the_accuracys(tmp_path):
    line = 'Loading weights to prompt_learner from "out/model.pth.tar-20" (epoch = 20)\n'
    base = log_text().replace("epoch [1/50]", f"{line}epoch [1/50]")  # a base prompt, for training
    save_run(tmp_path / "a", states.coop(SMALL), log=base)
    assert not any("accuracy in log.txt" in note for note in inspect(tmp_path / "a").notes)
    tested = log_text().replace("Finish training", f"{line}Finish training")
    save_run(tmp_path / "b", states.coop(SMALL), log=tested)
    assert "the accuracy in log.txt is of epoch 20: this file is of epoch 50" in (
        inspect(tmp_path / "b").notes
    )


def test_the_best_models_accuracy_is_not_the_last_epochs(tmp_path):
    text = log_text().replace("FINAL_MODEL: last_step", "FINAL_MODEL: best_val")
    save_run(tmp_path, states.coop(SMALL), log=text)
    found = " / ".join(inspect(tmp_path).notes)
    assert "of the best model on validation (model-best.pth.tar): this is model.pth.tar-50" in found
