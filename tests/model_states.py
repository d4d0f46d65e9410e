"""State dicts of learners that save the whole model, in the published keys and shapes."""

import torch
from torch import Tensor

from tests.clip_states import Maker, Sizes, State, both_towers, image_tower, text_tower, under
from tests.prompt_states import coop, plot


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
    nets = {
        "text2visual_net": (sizes.vision, sizes.text),
        "visual2text_net": (sizes.text, sizes.vision),
        "attn_pooling_text_nets.0": (sizes.text, 0),
        "attn_pooling_text_nets.1": (sizes.text, 0),
        "attn_pooling_visual_nets.0": (sizes.vision, 0),
    }
    for net, (width, other) in nets.items():
        learner |= under(f"{net}.", _small_net(make, width, other))
    for side, width in (("text", sizes.text), ("visual", sizes.vision)):
        for i in range(2 if side == "text" else sizes.depth - 2):
            learner[f"{side}_proxy_token.{i}"] = make.half(1, width)
    learner |= image_tower(make, "ZS_image_encoder.")
    return {**under("prompt_learner.", learner), **both_towers(make)}


def _small_net(make: Maker, width: int, other: int) -> State:
    """HiCroPL's attention between towers, from `other` wide tokens; without any its pooling."""
    state = {
        "attn.in_proj_weight": 5 * make.half(3 * width, width),
        "attn.in_proj_bias": make.half(3 * width),
        "attn.out_proj.weight": 5 * make.half(width, width),
        "attn.out_proj.bias": make.half(width),
    }
    for norm in ("ln_1", "ln_2"):
        state |= {f"{norm}.weight": 1 + make.full(width), f"{norm}.bias": make.full(width)}
    if other:
        for name, size in (("q", width), ("k", other), ("v", other)):
            state[f"linear_{name}.weight"] = 5 * make.half(width, size)
            state[f"linear_{name}.bias"] = make.half(width)
        state["ffn.c_fc.weight"] = make.half(4 * width, width)
        state["ffn.c_fc.bias"] = make.half(4 * width)
        state["ffn.c_proj.weight"] = make.half(width, 4 * width)
        state["ffn.c_proj.bias"] = make.half(width)
    return state


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


def clip_backbone(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    state = {**image_tower(make, "visual."), **text_tower(make, "")}
    return {**state, "token_embedding.weight": make.half(600, sizes.text)}
