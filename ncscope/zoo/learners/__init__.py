"""Prompt learners by the name their checkpoints are recognised by, one learner a file."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from ncscope.checkpoint.key_table import TABLE
from ncscope.checkpoint.methods import METHODS, TUNED_HERE, plain_method
from ncscope.clip.backbone import Backbone
from ncscope.zoo.learners.adapters import load_clip_adapter, load_taskres, load_tip_adapter
from ncscope.zoo.learners.anchoropt import load_anchoropt
from ncscope.zoo.learners.atprompt import load_coop_atp
from ncscope.zoo.learners.bip import load_bip
from ncscope.zoo.learners.candle import load_candle
from ncscope.zoo.learners.clip_lora import load_clip_lora
from ncscope.zoo.learners.cocoop import load_cocoop
from ncscope.zoo.learners.coop import load_coop
from ncscope.zoo.learners.dept import load_dept
from ncscope.zoo.learners.dpc import load_dpc
from ncscope.zoo.learners.drawn_order import load_cocoop_anchoropt, load_maple_anchoropt
from ncscope.zoo.learners.gallop import load_gallop
from ncscope.zoo.learners.hicropl import load_hicropl
from ncscope.zoo.learners.ivlp import load_ivlp, load_vpt
from ncscope.zoo.learners.learner import Learner
from ncscope.zoo.learners.lift import load_lift
from ncscope.zoo.learners.lweib import load_lweib
from ncscope.zoo.learners.maple import load_coprompt, load_maple
from ncscope.zoo.learners.mma import load_mma
from ncscope.zoo.learners.mmrl import load_mmrl
from ncscope.zoo.learners.peft_lora import load_peft_lora
from ncscope.zoo.learners.plot import load_plot, load_plotpp
from ncscope.zoo.learners.promptkd import load_promptkd
from ncscope.zoo.learners.skiptuning import load_skiptuning
from ncscope.zoo.learners.surpl import load_surpl
from ncscope.zoo.learners.tac import load_tac
from ncscope.zoo.learners.tcp import load_tcp
from ncscope.zoo.learners.textrefiner import load_textrefiner
from ncscope.zoo.settings import Settings

Loader = Callable[[Mapping[str, Tensor], Backbone, Settings], Learner]

_BASES: dict[str, Loader] = {
    "CoOp": load_coop,
    "CoCoOp": load_cocoop,
    "KgCoOp": load_coop,
    "DeKg": load_coop,
    "ProGrad": load_coop,
    "Nemesis": load_coop,
    "CoOp_ATP": load_coop_atp,
    "CoCoOp_ATP": load_cocoop,
    "TCP": load_tcp,
    "DeKg_TCP": load_tcp,
    "MaPLe": load_maple,
    "MaPLe_ATP": load_maple,
    "VPT": load_vpt,
    "IVLP": load_ivlp,
    "PromptSRC": load_ivlp,
    "ProMetaR": load_ivlp,
    "PLOT": load_plot,
    "PLOTNemesis": load_plot,
    "PLOT++": load_plotpp,
}
LEARNERS: dict[str, Loader] = {
    **_BASES,
    "CoPrompt": load_coprompt,
    "DePT": partial(load_dept, bases=_BASES),
    "TaskRes": load_taskres,
    "CLIP-Adapter": load_clip_adapter,
    "Tip-Adapter": load_tip_adapter,
    "Tip-Adapter-F": load_tip_adapter,
    "MMA": load_mma,
    "CLIP-LoRA": load_clip_lora,
    "PEFT-LoRA": load_peft_lora,
    "PromptKD": load_promptkd,
    "MMRL": load_mmrl,
    "MMRL++": load_mmrl,
    "TextRefiner": load_textrefiner,
    "AnchorOPT": load_anchoropt,
    "DPC": load_dpc,
    "SkipTuning": load_skiptuning,
    "FinetuneCLIP": load_skiptuning,
    "TAC": load_tac,
    "BIP": load_bip,
    "LwEIB": load_lweib,
    "GalLoP": load_gallop,
    "SurPL": load_surpl,
    "CoCoOp_AnchorOPT": load_cocoop_anchoropt,
    "MaPLe_AnchorOPT": load_maple_anchoropt,
    "HiCroPL": load_hicropl,
    "LIFT": load_lift,
    "Candle": load_candle,
}
# Recognised, but without features; why
REFUSED: dict[str, str] = {
    "TAP": "its text features are pooled, by tokens of each image, over written descriptions of "
    "the classes, which no file of the run holds",
    "DPC-PromptSRC": "its prompts are mixtures with those of another run, in proportions that only "
    "that run's files and its log tell",
    "DPC-PromptKD": "its text prompts are mixtures with its teacher's, its image prompts with "
    "PromptKD's on new classes, and neither of those files is beside it",
}
_HEAD = ("method", "recognised by", "text features", "image features", "new classes", "tuned here")


def methods_table() -> str:
    """A Markdown table, a row a method; what is refused stands below, with the reason."""
    rows = [
        (
            method.name,
            recognised_by(method.name),
            method.text,
            method.image,
            method.new_classes,
            "yes" if method.name in TUNED_HERE else "–",
            method.caveat,
        )
        for method in METHODS
    ]
    lines = [f"| {' | '.join(_HEAD)} | note |", f"|{'---|' * (len(_HEAD) + 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "Recognised, but refused for features, with the reason:", ""]
    lines += [
        f"- {name} (recognised by {recognised_by(name)}): {why}." for name, why in REFUSED.items()
    ]
    return "\n".join(lines) + "\n"


def recognised_by(name: str) -> str:
    """`keys`, or `keys and log` where another method saves the same ones.

    Without a log the usual method of those with the same keys is taken.
    """
    if name == "DePT":
        return "keys"
    sharing = [row for row in TABLE if name in map(plain_method, row.methods)]
    alone = all({plain_method(method) for method in row.methods} == {name} for row in sharing)
    return "keys" if sharing and alone else "keys and log"
