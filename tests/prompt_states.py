"""State dicts of learners that save their prompts only, in the published keys and shapes."""

from torch import Tensor

from tests.clip_states import Maker, Sizes, State


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
