"""State dicts of every prompt learner ncscope recognises, in the published keys and shapes.

Values are small and random. Each function takes the sizes and a seed and returns what its authors'
code would save; `STATES` names them all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

State = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """Widths of a small CLIP and of the learner on it; no two are equal, so mix-ups show."""

    classes: int = 5
    text: int = 64
    vision: int = 128
    embed: int = 32
    layers: int = 4
    patch: int = 16
    grid: int = 2
    context: int = 4
    depth: int = 3
    length: int = 77
    half: bool = True


class Maker:
    """Draws the tensors of one state dict: `half` ones in the precision the authors train in."""

    def __init__(self, sizes: Sizes, seed: int) -> None:
        self.sizes = sizes
        self.generator = torch.Generator().manual_seed(seed)

    def full(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator) * 0.02

    def half(self, *shape: int) -> Tensor:
        values = self.full(*shape)
        return values.half() if self.sizes.half else values

    def fixed(self, rows: int, *, context: int, prompts: Tensor | None = None) -> State:
        """`token_prefix` and `token_suffix`: the embedded prompts around `context` tokens."""
        sizes = self.sizes
        embedded = self.half(rows, sizes.length, sizes.text) if prompts is None else prompts
        return {"token_prefix": embedded[:, :1], "token_suffix": embedded[:, 1 + context :]}


def blocks(make: Maker, prefix: str, width: int) -> State:
    """The transformer blocks of a CLIP tower."""
    state: State = {}
    for i in range(make.sizes.layers):
        block = f"{prefix}transformer.resblocks.{i}."
        state |= {
            f"{block}attn.in_proj_weight": make.half(3 * width, width),
            f"{block}attn.in_proj_bias": make.half(3 * width),
            f"{block}attn.out_proj.weight": make.half(width, width),
            f"{block}attn.out_proj.bias": make.half(width),
            f"{block}ln_1.weight": 1 + make.full(width),
            f"{block}ln_1.bias": make.full(width),
            f"{block}mlp.c_fc.weight": make.half(4 * width, width),
            f"{block}mlp.c_fc.bias": make.half(4 * width),
            f"{block}mlp.c_proj.weight": make.half(width, 4 * width),
            f"{block}mlp.c_proj.bias": make.half(width),
            f"{block}ln_2.weight": 1 + make.full(width),
            f"{block}ln_2.bias": make.full(width),
        }
    return state


def image_tower(make: Maker, prefix: str = "image_encoder.") -> State:
    sizes = make.sizes
    return {
        f"{prefix}class_embedding": make.half(sizes.vision),
        f"{prefix}positional_embedding": make.half(sizes.grid**2 + 1, sizes.vision),
        f"{prefix}proj": make.half(sizes.vision, sizes.embed),
        f"{prefix}conv1.weight": make.half(sizes.vision, 3, sizes.patch, sizes.patch),
        f"{prefix}ln_pre.weight": 1 + make.full(sizes.vision),
        f"{prefix}ln_pre.bias": make.full(sizes.vision),
        **blocks(make, prefix, sizes.vision),
        f"{prefix}ln_post.weight": 1 + make.full(sizes.vision),
        f"{prefix}ln_post.bias": make.full(sizes.vision),
    }


def text_tower(make: Maker, prefix: str = "text_encoder.") -> State:
    sizes = make.sizes
    return {
        f"{prefix}positional_embedding": make.half(sizes.length, sizes.text),
        f"{prefix}text_projection": make.half(sizes.text, sizes.embed),
        **blocks(make, prefix, sizes.text),
        f"{prefix}ln_final.weight": 1 + make.full(sizes.text),
        f"{prefix}ln_final.bias": make.full(sizes.text),
    }


def both_towers(make: Maker) -> State:
    scale = {"logit_scale": torch.tensor(4.6052)}
    return {**scale, **image_tower(make), **text_tower(make)}


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def coop(sizes: Sizes, seed: int = 0, *, csc: bool = False, prompts: Tensor | None = None) -> State:
    make = Maker(sizes, seed)
    shape = (sizes.context, sizes.text)
    context = make.half(sizes.classes, *shape) if csc else make.half(*shape)
    fixed = make.fixed(sizes.classes, context=sizes.context, prompts=prompts)
    return {"ctx": context, **fixed}


def coop_csc(sizes: Sizes, seed: int = 0) -> State:
    return coop(sizes, seed, csc=True)


def cocoop(sizes: Sizes, seed: int = 0) -> State:
    make, hidden = Maker(sizes, seed + 1), max(sizes.embed // 16, 1)
    return {
        **coop(sizes, seed),
        "meta_net.linear1.weight": make.half(hidden, sizes.embed),
        "meta_net.linear1.bias": make.half(hidden),
        "meta_net.linear2.weight": make.half(sizes.text, hidden),
        "meta_net.linear2.bias": make.half(sizes.text),
    }


def kgcoop(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed + 1)
    return {
        **coop(sizes, seed),
        "bias_vectors": make.half(1, sizes.text),
        "meta_net.linear1.weight": make.half(sizes.embed, sizes.embed),
        "meta_net.linear1.bias": make.half(sizes.embed),
    }


def tcp(sizes: Sizes, seed: int = 0) -> State:
    make, hidden = Maker(sizes, seed + 1), sizes.embed // 4
    return {
        **coop(sizes, seed),
        "meta_net.linear1.weight": make.half(hidden, sizes.embed),
        "meta_net.linear1.bias": make.half(hidden),
        "meta_net.linear2.weight": make.half(4 * sizes.text, hidden),
        "meta_net.linear2.bias": make.half(4 * sizes.text),
    }


def coop_atp(sizes: Sizes, seed: int = 0, *, words: int = 2, length: int = 2) -> State:
    make = Maker(sizes, seed)
    rest = sizes.length - 1 - words * (length + 1) - sizes.context
    middle = {f"token_middle{i + 1}": make.half(sizes.classes, 1, sizes.text) for i in range(words)}
    return {
        "ctx": make.half(sizes.context, sizes.text),
        **{f"ctx_att{i}": make.half(length, sizes.text) for i in (1, 2, 3)},
        "token_prefix": make.half(sizes.classes, 1, sizes.text),
        **middle,
        "token_suffix": make.half(sizes.classes, rest, sizes.text),
    }


def anchoropt_anchor(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "anchor_ctx_1": make.half(1, sizes.text),
        "token_prefix": make.half(sizes.classes, 1, sizes.text),
        "token_of": make.half(sizes.classes, 1, sizes.text),
        "token_suffix": make.half(sizes.classes, sizes.length - 3, sizes.text),
    }


def anchoropt_normal(sizes: Sizes, seed: int = 0) -> State:
    side = sizes.context + 1
    return {**coop(sizes, seed), "ctx_pos_params": Maker(sizes, seed + 1).full(side, side)}


def plot(sizes: Sizes, seed: int = 0, *, sets: int = 4) -> State:
    make = Maker(sizes, seed)
    rows = make.half(sizes.classes, sizes.length, sizes.text).repeat(sets, 1, 1)
    fixed = make.fixed(sets * sizes.classes, context=sizes.context, prompts=rows)
    return {"ctx": make.half(sets, sizes.context, sizes.text), **fixed}


def maple(sizes: Sizes, seed: int = 0, *, prompts: Tensor | None = None) -> State:
    make = Maker(sizes, seed)
    learner = {
        "ctx": make.half(sizes.context, sizes.text),
        "proj.weight": make.half(sizes.vision, sizes.text),
        "proj.bias": make.half(sizes.vision),
        **make.fixed(sizes.classes, context=sizes.context, prompts=prompts),
    }
    for i in range(sizes.depth - 1):
        learner[f"compound_prompts_text.{i}"] = make.full(sizes.context, sizes.text)
        learner[f"compound_prompt_projections.{i}.weight"] = make.full(sizes.vision, sizes.text)
        learner[f"compound_prompt_projections.{i}.bias"] = make.full(sizes.vision)
    return {**under("prompt_learner.", learner), **both_towers(make)}


def maple_atp(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed + 1)
    words = {f"prompt_learner.ctx_att{i}": make.half(2, sizes.text) for i in (1, 2, 3)}
    return {
        **maple(sizes, seed),
        **words,
        "prompt_learner.token_middle1": make.half(sizes.classes, 1, sizes.text),
    }


def coprompt(sizes: Sizes, seed: int = 0) -> State:
    make, hidden = Maker(sizes, seed + 1), max(sizes.embed // 4, 1)
    adapters = {
        f"adapter_{side}.fc.{i}.weight": make.half(*shape)
        for side in ("image", "text")
        for i, shape in ((0, (hidden, sizes.embed)), (2, (sizes.embed, hidden)))
    }
    clip = {**image_tower(make, "visual."), **text_tower(make, ""), "logit_scale": make.full()}
    clip["token_embedding.weight"] = make.half(600, sizes.text)
    return {**maple(sizes, seed), **adapters, **under("model_distill.", clip)}


def ivlp(sizes: Sizes, seed: int = 0, *, vision_depth: int | None = None) -> State:
    make = Maker(sizes, seed)
    state = {**under("prompt_learner.", coop(sizes, seed)), **both_towers(make)}
    vision_depth = sizes.depth if vision_depth is None else vision_depth
    if vision_depth:
        state["image_encoder.VPT"] = make.full(sizes.context, sizes.vision)
    for side, width, depth in (
        ("image", sizes.vision, vision_depth),
        ("text", sizes.text, sizes.depth),
    ):
        for i in range(1, depth):
            key = f"{side}_encoder.transformer.resblocks.{i}.VPT_shallow"
            state[key] = make.full(sizes.context, width)
    return state


def ivlp_language(sizes: Sizes, seed: int = 0) -> State:
    return ivlp(sizes, seed, vision_depth=0)


def promptsrc(sizes: Sizes, seed: int = 0) -> State:
    frozen = image_tower(Maker(sizes, seed + 1), "prompt_learner.ZS_image_encoder.")
    return {**ivlp(sizes, seed), **frozen}


def vpt(sizes: Sizes, seed: int = 0) -> State:
    state = ivlp(sizes, seed)
    return {k: v for k, v in state.items() if "prompt_learner" not in k and "VPT" not in k} | {
        k: v for k, v in state.items() if "VPT" in k and k.startswith("image_encoder")
    }


def hicropl(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    learner = coop(sizes, seed)
    for i in range(sizes.depth):
        learner[f"cross_prompts_text.{i}"] = make.full(sizes.context, sizes.text)
        learner[f"cross_prompts_visual.{i}"] = make.full(sizes.context, sizes.vision)
    learner["ctx"] = learner["cross_prompts_text.0"]
    learner["text2visual_net.linear.weight"] = make.full(sizes.vision, sizes.text)
    learner["visual2text_net.linear.weight"] = make.full(sizes.text, sizes.vision)
    for side, width in (("text", sizes.text), ("visual", sizes.vision)):
        learner[f"attn_pooling_{side}_nets.0.weight"] = make.full(width, width)
        learner[f"{side}_proxy_token.0"] = make.full(1, width)
    learner |= image_tower(make, "ZS_image_encoder.")
    return {**under("prompt_learner.", learner), **both_towers(make)}


def dept(sizes: Sizes, seed: int = 0, *, over: State | None = None) -> State:
    """DePT over CoOp, or over the whole model given."""
    make = Maker(sizes, seed + 1)
    base = {**under("prompt_learner.", coop(sizes, seed)), **both_towers(make)}
    film = {
        f"film_lp_{side}.{name}": make.half(sizes.embed)
        for side in ("img", "text")
        for name in ("scale", "bias")
    }
    probe = {
        "linear_probe_proj.weight": make.half(sizes.classes, sizes.embed),
        "linear_probe_proj.bias": make.half(sizes.classes),
    }
    return {**(base if over is None else over), **film, **probe}


def dept_maple(sizes: Sizes, seed: int = 0) -> State:
    return dept(sizes, seed, over=maple(sizes, seed))


def plotpp(sizes: Sizes, seed: int = 0, *, sets: int = 4) -> State:
    make = Maker(sizes, seed)
    learner = {**plot(sizes, seed, sets=sets), "ctx_vision": make.half(sets, 2, sizes.vision)}
    towers = both_towers(make)
    wrapped = {k.replace("text_encoder.", "text_encoder.module."): v for k, v in towers.items()}
    return {**under("prompt_learner.", learner), **wrapped}


def promptkd(sizes: Sizes, seed: int = 0) -> State:
    make, teacher = Maker(sizes, seed), sizes.embed + 8
    state = {k: v for k, v in vpt(sizes, seed).items() if not k.startswith("text_encoder")}
    head = {
        "0.weight": make.half(teacher, sizes.embed, 1, 1),
        "0.bias": make.half(teacher),
        "1.weight": make.full(teacher),
        "1.bias": make.full(teacher),
        "1.running_mean": make.full(teacher),
        "1.running_var": make.full(teacher).abs(),
        "1.num_batches_tracked": torch.tensor(7),
        "3.weight": make.half(teacher, teacher, 1, 1),
        "3.bias": make.half(teacher),
    }
    return {**state, **under("VPT_image_trans.conv1.", head)}


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


def mmrl(sizes: Sizes, seed: int = 0, *, width: int = 16) -> State:
    make = Maker(sizes, seed)
    state = {**image_tower(make), **text_tower(make)}
    state["image_encoder.proj_rep"] = make.half(sizes.vision, sizes.embed)
    state["prompt_embeddings"] = make.half(sizes.classes, sizes.length, sizes.text)
    state["representation_learner.compound_rep_tokens"] = make.full(5, width)
    for i in range(sizes.depth):
        for side, out in (("v", sizes.vision), ("t", sizes.text)):
            key = f"representation_learner.compound_rep_tokens_r2{side}proj.{i}."
            state[f"{key}weight"] = make.full(out, width)
            state[f"{key}bias"] = make.full(out)
    return state


def mmrlpp(sizes: Sizes, seed: int = 0, *, width: int = 16, rank: int = 4) -> State:
    make = Maker(sizes, seed + 1)
    state = {k: v for k, v in mmrl(sizes, seed, width=width).items() if "_r2" not in k}
    state["image_encoder.A"] = make.half(sizes.vision, rank)
    state["image_encoder.B"] = make.half(rank, sizes.embed)
    for side, out in (("v", sizes.vision), ("t", sizes.text)):
        key = f"representation_learner.srra_r2{side}proj."
        state[f"{key}weight"] = make.full(out, width)
        for i in range(sizes.depth):
            state[f"{key}srra.{i}.A"] = make.full(out, rank)
            state[f"{key}srra.{i}.B"] = make.full(rank, width)
            state[f"{key}srra.{i}.bias"] = make.full(out)
    return state


def textrefiner(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    learner = coop(sizes, seed)
    tokens = torch.zeros(sizes.classes, sizes.length, dtype=torch.int64)
    return {
        **under("prompt_learner.", {**learner, "tokenized_prompts": tokens}),
        **both_towers(make),
        "text_encoder.token_embedding.weight": make.half(600, sizes.text),
        "mid_image_trans.weight": make.half(sizes.embed, sizes.vision),
    }


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
        "head.proj_image.weight": make.half(sizes.embed, sizes.embed),
        "head.proj_text.weight": make.half(sizes.embed, sizes.embed),
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


def lift(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "tuner.adapter_list.0.down_proj.weight": make.full(4, sizes.vision),
        "head.weight": make.full(sizes.classes, sizes.embed),
    }


def tip_adapter(sizes: Sizes, seed: int = 0) -> State:
    return {"tensor": Maker(sizes, seed).half(sizes.classes * 16, sizes.embed)}


def clip_backbone(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    state = {**image_tower(make, "visual."), **text_tower(make, "")}
    return {**state, "token_embedding.weight": make.half(600, sizes.text)}


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
    "LIFT": lift,
    "CLIP backbone": clip_backbone,
}
