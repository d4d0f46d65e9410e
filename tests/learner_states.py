"""State dicts of every prompt learner ncscope recognises, in the published keys and shapes.

Values are small and random. Each function takes the sizes and a seed and returns what its authors'
code would save; `STATES` names them all.
"""

from collections.abc import Callable

import torch

from tests.clip_states import (
    Maker,
    Sizes,
    State,
    blocks,
    both_towers,
    image_tower,
    text_tower,
    under,
)
from tests.model_states import (
    clip_backbone,
    coprompt,
    dept,
    dept_maple,
    hicropl,
    ivlp,
    ivlp_language,
    maple,
    maple_atp,
    mmrl,
    mmrlpp,
    plotpp,
    promptkd,
    promptsrc,
    textrefiner,
    vpt,
)
from tests.new_states import NEW_STATES
from tests.prompt_states import (
    anchoropt_anchor,
    anchoropt_normal,
    cocoop,
    coop,
    coop_atp,
    coop_csc,
    kgcoop,
    plot,
    tcp,
)

__all__ = [
    "STATES",
    "Maker",
    "Sizes",
    "State",
    "anchoropt_anchor",
    "anchoropt_normal",
    "blocks",
    "both_towers",
    "candle",
    "clip_adapter",
    "clip_backbone",
    "clip_lora",
    "cocoop",
    "coop",
    "coop_atp",
    "coop_csc",
    "coprompt",
    "dept",
    "dept_maple",
    "hicropl",
    "image_tower",
    "ivlp",
    "ivlp_language",
    "kgcoop",
    "lift",
    "maple",
    "maple_atp",
    "mma",
    "mmrl",
    "mmrlpp",
    "peft_lora",
    "plot",
    "plotpp",
    "promptkd",
    "promptsrc",
    "taskres",
    "tcp",
    "text_tower",
    "textrefiner",
    "textrefiner_memory",
    "tip_adapter",
    "under",
    "vpt",
]  # fmt: skip


def taskres(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "base_text_features": make.half(sizes.classes, sizes.embed),
        "text_feature_residuals": make.half(sizes.classes, sizes.embed),
    }


def clip_adapter(sizes: Sizes, seed: int = 0) -> State:
    make, hidden = Maker(sizes, seed), sizes.embed // 4
    return {
        "fc.0.weight": make.half(hidden, sizes.embed),
        "fc.2.weight": make.half(sizes.embed, hidden),
    }


def mma(sizes: Sizes, seed: int = 0, *, hidden: int = 8) -> State:
    make = Maker(sizes, seed)
    tokens = torch.zeros(sizes.classes, sizes.length, dtype=torch.int64)
    state = {
        "token_embedding": make.half(sizes.classes, sizes.length, sizes.text),
        "tokenized_prompts": tokens,
    }
    for i in range(2, sizes.layers + 1):
        for side, width in (("text", sizes.text), ("visual", sizes.vision)):
            adapter = f"{side}_adapter.{i}."
            state[f"{adapter}down.0.weight"] = make.full(hidden, width)
            state[f"{adapter}down.0.bias"] = make.full(hidden)
            state[f"{adapter}up.weight"] = make.full(width, hidden)
            state[f"{adapter}up.bias"] = make.full(width)
        state[f"shared_adapter.{i}.0.weight"] = make.full(hidden, hidden)
        state[f"shared_adapter.{i}.0.bias"] = make.full(hidden)
    return state


def textrefiner_memory(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "extractor.weight": make.half(sizes.embed, 2 * sizes.embed),
        "memory_item": make.half(25, sizes.embed),
    }


def candle(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "text_features": make.half(sizes.classes, sizes.embed),
        "visual_prototypes": make.half(sizes.classes, sizes.embed),
        "head.proj_image": make.half(sizes.embed, sizes.embed),
        "head.proj_text": make.half(sizes.embed, sizes.embed),
        "head.fusion.ratio": make.half(1),
    }


def clip_lora(sizes: Sizes, seed: int = 0, *, rank: int = 2) -> State:
    """As `read_checkpoint` gives it; the file itself is nested (`dassl_files.save_lora`)."""
    make = Maker(sizes, seed)
    state: State = {}
    for i in range(2 * sizes.layers):
        width = sizes.text if i < sizes.layers else sizes.vision
        for name in ("q_proj", "k_proj", "v_proj"):
            state[f"weights.layer_{i}.{name}.w_lora_A"] = make.full(rank, width)
            state[f"weights.layer_{i}.{name}.w_lora_B"] = make.full(width, rank)
    return state


def peft_lora(sizes: Sizes, seed: int = 0, *, rank: int = 2) -> State:
    """Of PEFT on Hugging Face's CLIP; `dassl_files.save_peft` writes the configuration, too."""
    make = Maker(sizes, seed)
    state: State = {}
    for side, width in (("text", sizes.text), ("vision", sizes.vision)):
        for i in range(sizes.layers):
            for name in ("q_proj", "v_proj"):
                module = f"base_model.model.{side}_model.encoder.layers.{i}.self_attn.{name}."
                state[f"{module}lora_A.weight"] = make.full(rank, width)
                state[f"{module}lora_B.weight"] = make.full(width, rank)
    return state


def lift(sizes: Sizes, seed: int = 0, *, kind: str = "adaptformer_list") -> State:
    """A tuner of one kind in every block but the first."""
    make, width, rank = Maker(sizes, seed), sizes.vision, 4
    state = {"head.weight": make.full(sizes.classes, width)}
    for i in range(1, sizes.layers):
        tuner = f"tuner.{kind}.{i}."
        if kind == "vpt_list":
            state[f"{tuner}prompt"] = make.full(3, width)
        elif kind == "lora_list":
            for side in "qv":
                state[f"{tuner}{side}.lora_A"] = 10 * make.full(width, rank)
                state[f"{tuner}{side}.lora_B"] = 10 * make.full(rank, width)
        else:
            state[f"{tuner}ln.weight"] = 1 + make.full(width)
            state[f"{tuner}ln.bias"] = make.full(width)
            state[f"{tuner}down_proj.weight"] = 5 * make.full(rank, width)
            state[f"{tuner}down_proj.bias"] = make.full(rank)
            state[f"{tuner}up_proj.weight"] = 5 * make.full(width, rank)
            state[f"{tuner}up_proj.bias"] = make.full(width)
            if kind == "adaptformer_list":
                state[f"{tuner}scale"] = 1 + make.full(1)
    return state


def tip_adapter(sizes: Sizes, seed: int = 0) -> State:
    return {"tensor": Maker(sizes, seed).half(sizes.classes * 16, sizes.embed)}


# the method `recognise` must find -> its state
STATES: dict[str, Callable[[Sizes, int], State]] = {
    "CoOp": coop,
    "CoOp (class-specific)": coop_csc,
    "CoCoOp": cocoop,
    "KgCoOp": kgcoop,
    "TCP": tcp,
    "CoOp_ATP": coop_atp,
    "AnchorOPT (anchor)": anchoropt_anchor,
    "AnchorOPT": anchoropt_normal,
    "PLOT": plot,
    "MaPLe": maple,
    "MaPLe_ATP": maple_atp,
    "CoPrompt": coprompt,
    "IVLP": ivlp,
    "IVLP (language only)": ivlp_language,
    "PromptSRC": promptsrc,
    "VPT": vpt,
    "HiCroPL": hicropl,
    "DePT over CoOp": dept,
    "DePT over MaPLe": dept_maple,
    "PLOT++": plotpp,
    "PromptKD": promptkd,
    "TaskRes": taskres,
    "CLIP-Adapter": clip_adapter,
    "Tip-Adapter": tip_adapter,
    "MMA": mma,
    "MMRL": mmrl,
    "MMRL++": mmrlpp,
    "TextRefiner": textrefiner,
    "TextRefiner (memory)": textrefiner_memory,
    "Candle": candle,
    "CLIP-LoRA": clip_lora,
    "PEFT-LoRA": peft_lora,
    "LIFT": lift,
    "CLIP backbone": clip_backbone,
    **NEW_STATES,
}
