"""State dicts of the learners read since round 2, in the published keys and shapes."""

import torch

from tests.clip_states import Maker, Sizes, State, image_tower, text_tower, under
from tests.model_states import ivlp, maple, promptsrc
from tests.prompt_states import anchoropt_anchor, anchoropt_normal, cocoop, coop


def skiptuning(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    vocabulary = {"text_encoder.token_embedding.weight": make.half(600, sizes.text)}
    return {**image_tower(make), **text_tower(make), **vocabulary}


def surpl(sizes: Sizes, seed: int = 0) -> State:
    make, embed = Maker(sizes, seed + 1), sizes.embed
    heads = {
        "SFG.attn.in_proj_weight": make.full(3 * embed, embed),
        "SFG.attn.in_proj_bias": make.full(3 * embed),
        "SFG.attn.out_proj.weight": make.full(embed, embed),
        "SFG.attn.out_proj.bias": make.full(embed),
        "SFG.ln_1.weight": make.full(embed),
        "SFG.mlp.c_fc.weight": make.full(8, embed),
        "fg_signals": make.half(4, embed),
        "feature_proj.linear.weight": make.half(embed, embed),
    }
    return {**promptsrc(sizes, seed), **heads}


def tac(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed + 1)
    summaries = make.half(5, sizes.embed)
    return {
        **promptsrc(sizes, seed),
        "topk": summaries,
        "prompt_learner.topk": summaries,
        "VPT_topk_t.weight": make.half(sizes.text, sizes.embed),
        "VPT_topk_t.bias": make.half(sizes.text),
        "VPT_topk_v.weight": make.half(sizes.vision, sizes.embed),
        "VPT_topk_v.bias": make.half(sizes.vision),
    }


def bip(sizes: Sizes, seed: int = 0) -> State:
    make, hidden = Maker(sizes, seed + 1), sizes.embed // 4
    state = {
        **coop(sizes, seed),
        "ctx_visual": make.half(sizes.context, sizes.vision),
        "VPT_fc.weight": make.full(sizes.classes, sizes.embed),
    }
    nets = {"meta_net": sizes.text, "meta_vis": sizes.vision}
    for net, width in {**nets, "meta_vises.0": sizes.vision, "meta_vises.1": sizes.vision}.items():
        state[f"{net}.linear1.weight"] = 5 * make.half(hidden, sizes.embed)
        state[f"{net}.linear1.bias"] = make.half(hidden)
        state[f"{net}.linear2.weight"] = 5 * make.half(sizes.context * width, hidden)
        state[f"{net}.linear2.bias"] = make.half(sizes.context * width)
    return state


def lweib(sizes: Sizes, seed: int = 0, *, first: int = 1) -> State:
    make = Maker(sizes, seed)
    state: State = {"tk_prompts": torch.zeros(sizes.classes, 2, sizes.length, dtype=torch.int64)}
    for i in range(first, sizes.layers + 1):
        for side, width, size in (("text", sizes.text, (3,)), ("visual", sizes.vision, (3, 3))):
            conv = f"{side}_adapter.{i}."
            state[f"{conv}att_conv.conv.weight"] = 20 * make.full(width, 1, *size)
            state[f"{conv}mlp_conv.conv.weight"] = 20 * make.full(4 * width, 1, *size)
    return state


def gallop(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "local_proj.linear.weight": make.full(sizes.vision, sizes.vision),
        "global_prompt": make.full(3, sizes.context, sizes.text),
        "local_prompts": make.full(2, sizes.context, sizes.text),
    }


def dpc_promptkd(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    student = {k: v for k, v in ivlp(sizes, seed).items() if not k.startswith("text_encoder")}
    own = {
        "VPT_image_trans.conv1.0.weight": make.half(sizes.embed + 8, sizes.embed, 1, 1),
        "clip_model.logit_scale": make.full(),
        "prompt_learner.text_encoder.ln_final.weight": make.full(sizes.text + 8),
        "text_encoder.ln_final.weight": make.full(sizes.text + 8),
    }
    return {**student, **own}


def cocoop_anchoropt(sizes: Sizes, seed: int = 0) -> State:
    return {**cocoop(sizes, seed), **anchoropt_normal(sizes, seed)}


def maple_anchoropt(sizes: Sizes, seed: int = 0) -> State:
    make, own = Maker(sizes, seed + 1), maple(sizes, seed)
    side = sizes.context + 1
    learned = {k: v for k, v in own.items() if k.startswith("prompt_learner.")}
    return {
        **learned,
        "prompt_learner.ctx_pos_params": make.full(side, side),
        **under("anchor_prompt_learner.", anchoropt_anchor(sizes, seed)),
        **image_tower(make, "image_encoder_maple."),
        **text_tower(make, "text_encoder_vanilla."),
        "logit_scale": own["logit_scale"],
    }


def tap_vision(sizes: Sizes, seed: int = 0) -> State:
    make = Maker(sizes, seed)
    return {
        "prompt_embeddings": make.half(1, 3, sizes.vision),
        "deep_prompt_embeddings": make.half(sizes.layers - 1, 3, sizes.vision),
        "poolings.0.attn.q.weight": make.half(sizes.text, sizes.text),
    }


def finetuneclip(sizes: Sizes, seed: int = 0) -> State:
    """Its image tower alone."""
    return image_tower(Maker(sizes, seed))


NEW_STATES = {
    "FinetuneCLIP": finetuneclip,
    "CoCoOp_AnchorOPT": cocoop_anchoropt,
    "MaPLe_AnchorOPT": maple_anchoropt,
    "TAP": tap_vision,
    "SkipTuning": skiptuning,
    "SurPL": surpl,
    "TAC": tac,
    "BIP": bip,
    "LwEIB": lweib,
    "GalLoP": gallop,
    "DPC-PromptKD": dpc_promptkd,
}
