"""A run of every method on the small CLIP, as its authors' code would save it, by method."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tests import learner_states as states
from tests.dassl_files import save_dassl, save_lora, save_peft
from tests.learner_states import Sizes
from tests.zoo.learners import case
from tests.zoo.learners.new_runs import NEW_RUNS

TWO = Sizes(context=2)
_PHOTO = "a photo of a"


def coop_like(folder: Path, make=states.coop, **log) -> Path:
    return case.save(folder, case.prompted(make(case.SIZES), "X X X X"), **log)


def whole(
    folder: Path, make, sizes: Sizes = case.SIZES, before: str | None = _PHOTO, **log
) -> Path:
    return case.save(folder, case.whole(make(sizes), before=before), **log)


def plot(folder: Path, make=states.plot, prefix: str = "", **log) -> Path:
    state, rows = make(case.SIZES), case.prompts_of("X X X X").repeat(4, 1, 1)
    own = {f"{prefix}token_prefix": rows[:, :1], f"{prefix}token_suffix": rows[:, 5:]}
    if prefix:  # a whole model, as run on several devices
        towers = case.towers().items()
        own |= {k.replace("text_encoder.", "text_encoder.module."): v for k, v in towers}
    return case.save(folder, {**state, **own}, **log)


def attributed(folder: Path, state: dict[str, Tensor], prefix: str = "", **log) -> Path:
    """One attribute, its word "color"; three tokens before the context."""
    rows, context = case.prompts_of("X X color X X X X"), state[f"{prefix}ctx"].shape[0]
    state = {**state, f"{prefix}token_middle1": rows[:, 3:4], f"{prefix}token_prefix": rows[:, :1]}
    return case.save(folder, {**state, f"{prefix}token_suffix": rows[:, 4 + context :]}, **log)


def cocoop_atp(folder: Path) -> Path:
    state = states.cocoop(case.SIZES) | states.coop_atp(case.SIZES, words=1)
    return attributed(folder, state, trainer="CoCoOp_ATP", section="COCOOP")


def maple_atp(folder: Path) -> Path:
    state = case.whole(states.maple_atp(case.SIZES))
    return attributed(folder, state, "prompt_learner.", trainer="MaPLe_ATP", section="MAPLE")


def coprompt(folder: Path) -> Path:
    state = case.whole(states.coprompt(TWO), before=_PHOTO)
    state["model_distill.token_embedding.weight"] = case.state()["token_embedding.weight"]
    return case.save(folder, state, trainer="CoPrompt", section="COPROMPT")


def anchoropt(folder: Path) -> Path:
    state = case.prompted(states.anchoropt_normal(case.SIZES), "X X X X")
    case.save(folder, state, trainer="CoOp_AnchorOPT", model="normal_prompt_learner")
    anchor = states.anchoropt_anchor(case.SIZES)
    save_dassl(folder / "anchor_prompt_learner" / "model.pth.tar", anchor)
    return folder


def mma(folder: Path) -> Path:
    ids = case.token_ids([f"{_PHOTO} {text}" for text in case.sentences(case.NAMES)])
    fixed = {"tokenized_prompts": ids, "token_embedding": case.prompts_of(_PHOTO)}
    own = {key: 10 * value for key, value in states.mma(case.SIZES).items()}
    log = {"trainer": "MultiModalAdapter", "settings": {"ADAPTER_SCALE": 0.5}}
    return case.save(folder, {**own, **fixed}, section="MMADAPTER", **log)


def mmrl(folder: Path, make, trainer: str) -> Path:
    state = case.whole(make(Sizes(depth=3)))
    if make is states.mmrlpp:
        del state["image_encoder.proj_rep"]
    state["prompt_embeddings"] = case.prompts_of(_PHOTO)
    settings = {"BETA": 0.9, "REP_LAYERS": "[2, 3, 4]", "ALPHA": 0.7}
    return case.save(folder, state, trainer=trainer, section=trainer, settings=settings)


def textrefiner(folder: Path) -> Path:
    state = case.whole(states.textrefiner(case.SIZES), before="X X X X")
    state["text_encoder.token_embedding.weight"] = case.state()["token_embedding.weight"]
    ids = case.token_ids([f"X X X X {text}" for text in case.sentences(case.NAMES)])
    state["prompt_learner.tokenized_prompts"] = ids
    case.save(folder, state, trainer="TextRefiner")
    memory = states.textrefiner_memory(case.SIZES)
    items = memory.pop("memory_item")
    save_dassl(folder / "Memory" / "model.pth.tar-50", memory, memory_item=items)
    return folder


def tip_adapter(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(torch.zeros(80, case.SIZES.embed), folder / name)
    return folder


def tcp(folder: Path, trainer: str) -> Path:
    """Its prompts change before block 8, so the backbone is the deep one."""
    rows = case.embedded(
        [f"X X X X {text}" for text in case.sentences(case.NAMES, ", a type of pet.")],
        config=case.DEEP,
    )[0]
    state = {**states.tcp(case.SIZES), "token_prefix": rows[:, :1], "token_suffix": rows[:, 5:]}
    return case.save(folder, state, trainer=trainer)


def clip_lora(folder: Path) -> Path:
    return save_lora(folder / "lora_weights.pt", states.clip_lora(case.SIZES)).parent


def peft_lora(folder: Path) -> Path:
    return save_peft(folder, states.peft_lora(case.SIZES))


def head_only(folder: Path, make, **log) -> Path:
    return case.save(folder, make(case.SIZES), **log)


RUNS: dict[str, Callable[[Path], Path]] = {
    "CoOp": coop_like,
    "ProGrad": partial(coop_like, trainer="ProGrad"),
    "Nemesis": partial(coop_like, trainer="CoOpNemesis"),
    "KgCoOp": partial(coop_like, make=states.kgcoop, trainer="KgCoOp"),
    "DeKg": partial(coop_like, make=states.kgcoop, trainer="DeKg"),
    "CoCoOp": partial(coop_like, make=states.cocoop, trainer="CoCoOp", section="COCOOP"),
    "CoCoOp_ATP": cocoop_atp,
    "TCP": partial(tcp, trainer="TCP"),
    "DeKg_TCP": partial(tcp, trainer="DeKgTCP"),
    "MaPLe": partial(whole, make=states.maple, sizes=TWO, trainer="MaPLe", section="MAPLE"),
    "MaPLe_ATP": maple_atp,
    "VPT": partial(whole, make=states.vpt, sizes=TWO, before=None, trainer="VPT", section="VPT"),
    "IVLP": partial(whole, make=states.ivlp, sizes=TWO, trainer="IVLP", section="IVLP"),
    "PromptSRC": partial(whole, make=states.promptsrc, trainer="PromptSRC", section="PROMPTSRC"),
    "ProMetaR": partial(whole, make=states.promptsrc, trainer="ProMetaR", section="PROMETAR"),
    "CoPrompt": coprompt,
    "DePT": partial(
        whole, make=states.dept, before="X X X X", trainer="ExtrasLinearProbeCoOp"
    ),
    "PLOT": partial(plot, trainer="PLOT", section="PLOT"),
    "PLOTNemesis": partial(plot, trainer="PLOTNemesis", section="PLOT"),
    "PLOT++": partial(
        plot, make=states.plotpp, prefix="prompt_learner.", trainer="PLOTPP", section="PLOTPP"
    ),
    "CoOp_ATP": lambda folder: attributed(
        folder, states.coop_atp(case.SIZES, words=1), trainer="CoOp_ATP"
    ),
    "AnchorOPT": anchoropt,
    "TaskRes": partial(
        head_only, make=states.taskres, trainer="TaskRes", section="TaskRes",
        settings={"RESIDUAL_SCALE": 0.5},
    ),
    "CLIP-Adapter": partial(
        head_only, make=states.clip_adapter, trainer="CLIP_Adapter", model="clip_adapter"
    ),
    "Tip-Adapter": partial(tip_adapter, name="keys_16shots.pt"),
    "Tip-Adapter-F": partial(tip_adapter, name="best_F_16shots.pt"),
    "MMA": mma,
    "CLIP-LoRA": clip_lora,
    "PEFT-LoRA": peft_lora,
    "PromptKD": partial(
        whole, make=states.promptkd, sizes=TWO, before=None, trainer="PromptKD", section="PROMPTKD"
    ),
    "MMRL": partial(mmrl, make=states.mmrl, trainer="MMRL"),
    "MMRL++": partial(mmrl, make=states.mmrlpp, trainer="MMRLpp"),
    "TextRefiner": textrefiner,
    "DPC": partial(coop_like, trainer="StackSPLE_CoOp"),
    **NEW_RUNS,
}  # fmt: skip
