"""Runs of the learners read since round 2, as `runs.RUNS`."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch

from tests import new_states as states
from tests.dassl_files import save_dassl, save_lift
from tests.learner_states import Sizes, anchoropt_anchor, candle, hicropl, lift
from tests.zoo.learners import case

BLOCKS = {"TL": 13, "VL": 13, "TFW": 0.75, "VFW": 0.5}  # number 13 is block 3 alone
DESCRIPTIONS = ("which is small.", "a photo with fur, or leaves, of something.")


def own_towers(*, seed: int) -> dict[str, torch.Tensor]:
    """The towers of another small CLIP under the names of whole-model files, with its tokens."""
    named = {}
    for key, value in case.tiny_model(case.CONFIG, seed=seed).state_dict().items():
        if key != "logit_scale":
            side = "image_encoder." if key.startswith("visual.") else "text_encoder."
            named[side + key.removeprefix("visual.")] = value.clone()
    return named


def skiptuning(folder: Path, **log) -> Path:
    log = {"trainer": "SkipTuning", "section": "SKIP", **log}
    return case.save(folder, own_towers(seed=3), model="learnable_params", **log)


def finetune(folder: Path, towers: tuple[str, ...] = ("image", "text")) -> Path:
    own = {k: v for k, v in own_towers(seed=3).items() if k.startswith(towers)}
    return case.save(folder, own, model="learnable_params", trainer="FinetuneCLIP")


def surpl(folder: Path) -> Path:
    state = case.whole(states.surpl(Sizes(context=2)), before="a photo of a")
    return case.save(folder, state, model="VLPromptLearner", trainer="SurPL", section="IVLP")


def tac_state(context: int = 2, before: str = "a photo of a") -> dict[str, torch.Tensor]:
    state = case.whole(states.tac(Sizes(context=context)))
    rows = case.prompts_of(before)
    state["prompt_learner.token_prefix"] = rows[:, :1]
    state["prompt_learner.token_suffix"] = rows[:, 1 : 77 - context - 5]
    return state


def tac(folder: Path, **log) -> Path:
    log = {"trainer": "TAC", "section": "TAC", **log}
    return case.save(folder, tac_state(), model="VLPromptLearner", **log)


def bip(folder: Path, **log) -> Path:
    log = {"trainer": "BIP", "settings": BLOCKS, **log}
    return case.save(folder, case.prompted(states.bip(case.SIZES), "X X X X"), **log)


def lweib(folder: Path, **log) -> Path:
    log = {"trainer": "LWEIB", "section": "LWEIB", "settings": {"ADAPTER_SCALE": 0.3}, **log}
    return case.save(folder, lweib_state(), model="adapter_learner", **log)


def lweib_state(**make) -> dict[str, torch.Tensor]:
    names = case.sentences(case.NAMES, "")
    ids = [case.token_ids([f"a photo of a {n}, {d}" for d in DESCRIPTIONS]) for n in names]
    return {**states.lweib(case.SIZES, **make), "tk_prompts": torch.stack(ids)}


def gallop(folder: Path, state=None) -> Path:
    """A .ckpt as its authors write it, which is not Dassl's and has no log beside it."""
    path = folder / "gallop_oxford_pets_vit_b16_seed1.ckpt"
    others = {"train_meter": {"loss": 0.5}, "scaler": None, "args": Namespace(clip_name="vit")}
    return save_dassl(path, state or states.gallop(case.SIZES), **others).parent


def anchored(folder: Path) -> Path:
    """CoCoOp_AnchorOPT: two models of one run, of which the anchor's is a companion."""
    state = case.prompted(states.cocoop_anchoropt(case.SIZES), "X X X X")
    log = {"trainer": "CoCoOp_AnchorOPT", "section": "COCOOP"}
    case.save(folder, state, model="normal_prompt_learner", **log)
    anchor = anchoropt_anchor(case.SIZES)
    save_dassl(folder / "anchor_prompt_learner" / "model.pth.tar", anchor)
    return folder


def anchored_maple(folder: Path) -> Path:
    state = case.prompted(states.maple_anchoropt(case.SIZES), "X X X X", prefix="prompt_learner.")
    log = {"trainer": "MaPLe_AnchorOPT", "section": "MAPLE"}
    return case.save(folder, state, model="MultiModalPromptLearner", **log)


def hicropl_state() -> dict[str, torch.Tensor]:
    """Its plain image encoder is another small CLIP's, so that a mix-up shows."""
    state = case.whole(hicropl(case.SIZES), before="X X X X")
    prefix = "prompt_learner.ZS_image_encoder."
    for key, value in case.tiny_model(case.CONFIG, seed=4).visual.state_dict().items():
        state[prefix + key] = value.clone()
    return state


def hicropl_run(folder: Path) -> Path:
    log = {"trainer": "HiCroPL", "section": "HICROPL"}
    return case.save(folder, hicropl_state(), model="CrossModalPromptLearner", **log)


def lift_run(folder: Path, **make) -> Path:
    return save_lift(folder / "checkpoint.pth.tar", lift(case.SIZES, **make)).parent


def candle_run(folder: Path, **log) -> Path:
    return case.save(folder, candle(case.SIZES), model="proto_manager", trainer="Candle", **log)


NEW_RUNS: dict[str, Callable[[Path], Path]] = {
    "SkipTuning": skiptuning,
    "FinetuneCLIP": finetune,
    "SurPL": surpl,
    "TAC": tac,
    "BIP": bip,
    "LwEIB": lweib,
    "GalLoP": gallop,
    "CoCoOp_AnchorOPT": anchored,
    "MaPLe_AnchorOPT": anchored_maple,
    "HiCroPL": hicropl_run,
    "LIFT": lift_run,
    "Candle": candle_run,
}
