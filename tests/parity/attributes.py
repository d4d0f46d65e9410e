"""ATPrompt: attribute tokens and words before the context, cut as if each word were one token."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tests import learner_states as states
from tests.parity import kit
from tests.parity.deep import image_side, maple_prompts, scaled
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, reference

WORDS = {
    "OxfordPets": ("playfulness", "energy"),
    "OxfordFlowers": ("color", "habitat", "growth"),
    "StanfordCars": ("luxury",),
    "ImageNet": ("color", "shape"),
}


def layout(words, learned: list[Tensor], context: Tensor, own) -> tuple[str, Tensor]:
    """The text up to the name, and the vectors put in place of as many of its tokens."""
    text = "".join("X " * len(part) + f"{w} " for part, w in zip(learned, words, strict=False))
    text += "X " * len(context)
    rows, _ = kit.embedded([text], kit.dtype_of(own))
    parts, place = [], 1
    for part, _ in zip(learned, words, strict=False):
        place += len(part)
        parts += [part.float(), rows[0, place : place + 1]]
        place += 1
    return text, torch.cat([*parts, context.float()])


def make_state(own, dataset: str, kind: str, attribute: int):
    """Tensors as saved, with the words of a data set."""
    if kind == "maple":
        state, prefix = states.maple_atp(own), "prompt_learner."
        state |= {k: v for k, v in case.towers().items() if k in state}
    else:
        state, prefix = states.coop_atp(own, words=1, length=attribute), ""
        state = (states.cocoop(own) if kind == "cocoop" else {}) | state
    generator = torch.Generator().manual_seed(8)
    for i in (1, 2, 3):
        drawn = 0.02 * torch.randn(attribute, own.text, generator=generator)
        state[f"{prefix}ctx_att{i}"] = drawn.to(kit.dtype_of(own))
    state = scaled(state)
    learned = [state[f"{prefix}ctx_att{i}"] for i in (1, 2, 3)]
    words, context = WORDS[dataset], state[f"{prefix}ctx"]
    before, head = layout(words, learned, context, own)
    state |= kit.fixed(kit.sentences(before, case.NAMES), own, skip=len(head), prefix=prefix)
    place = 0
    for i in range(len(words)):
        place += attribute
        row = head[place : place + 1].to(kit.dtype_of(own))
        state[f"{prefix}token_middle{i + 1}"] = row.expand(len(case.NAMES), 1, -1).clone()
        place += 1
    return state, learned, context


def atprompt(
    folder: Path,
    *,
    kind: str,
    dataset: str = "OxfordPets",
    target: str | None = None,
    context: int = 4,
    attribute: int = 4,
    half: bool = True,
    module: bool = False,
    log: bool = True,
) -> Wanted:
    own = kit.sizes(context=context, half=half)
    state, learned, ctx = make_state(own, dataset, kind, attribute)
    trainer = {"coop": "CoOp_ATP", "cocoop": "CoCoOp_ATP", "maple": "MaPLe_ATP"}[kind]
    section = {"coop": "COOP", "cocoop": "COCOOP", "maple": "MAPLE"}[kind]
    words = WORDS[dataset]
    said = {f"ATT{i + 1}_TEXT": word for i, word in enumerate(words)}
    said |= {"USE_ATPROMPT": True, "ATT_NUM": len(words)}
    said |= {f"N_ATT{i}": attribute for i in (1, 2, 3)}
    values = {"N_CTX": context, "PREC": "fp16" if half else "fp32"}
    run = kit.save(
        folder, state, trainer=trainer, settings={section: values, "ATPROMPT": said},
        dataset=dataset, module=module, log=log,
    )  # fmt: skip
    wanted = WORDS[target or dataset]
    before, head = layout(wanted, learned, ctx, own)
    options = {} if target is None else {"data_name": target}
    if kind == "cocoop":
        feature = torch.randn(32, generator=torch.Generator().manual_seed(3))
        whole = {key: value.float() for key, value in state.items()}
        hidden = reference.linear(reference.normalise(feature), whole, "meta_net.linear1")
        shift = reference.linear(hidden.clamp(min=0), whole, "meta_net.linear2")
        head = torch.cat([head[: len(head) - context], head[len(head) - context :] + shift])
        options = {**options, "condition": "per-image"}
        return Wanted(
            run, lambda names: kit.text_features(kit.sentences(before, names), head, own),
            kit.image_features(), options, feature=feature,
        )  # fmt: skip
    change, image = None, kit.image_features()
    if kind == "maple":
        _, deep, images = maple_prompts(state)
        start = 1 + len(wanted) * (context + 1)
        change = reference.replace_text([kit.rounded(v) for v in deep], start=start)
        image = image_side(images)

    def text(names):
        return kit.text_features(kit.sentences(before, names), head, own, change=change)

    return Wanted(run, text, image, options)


KINDS = {"CoOp_ATP": "coop", "CoCoOp_ATP": "cocoop", "MaPLe_ATP": "maple"}
CASES = [
    case_
    for name, kind in KINDS.items()
    for case_ in (
        Case(name, "as released", "pets: a word of two tokens", partial(atprompt, kind=kind)),
        Case(name, "template by data set", "flowers: three words",
             partial(atprompt, kind=kind, dataset="OxfordFlowers")),
        Case(name, "template by data set", "cars: one word",
             partial(atprompt, kind=kind, dataset="StanfordCars")),
        Case(name, "another data set", "ImageNet to cars: one word less",
             partial(atprompt, kind=kind, dataset="ImageNet", target="StanfordCars")),
        Case(name, "another data set", "ImageNet to flowers: one word more",
             partial(atprompt, kind=kind, dataset="ImageNet", target="OxfordFlowers")),
        Case(name, "another data set", "ImageNet to pets: a word of two tokens",
             partial(atprompt, kind=kind, dataset="ImageNet", target="OxfordPets")),
        Case(name, "another data set", "pets to ImageNet",
             partial(atprompt, kind=kind, target="ImageNet")),
        Case(name, "context length", "2 tokens, 4 of an attribute",
             partial(atprompt, kind=kind, context=2, dataset="OxfordFlowers")),
        Case(name, "context length", "4 tokens, 2 of an attribute",
             partial(atprompt, kind=kind, attribute=2, dataset="OxfordFlowers")),
        Case(name, "single precision", "fp32", partial(atprompt, kind=kind, half=False)),
        Case(name, "module. keys", "several devices", partial(atprompt, kind=kind, module=True)),
        Case(name, "log value", "no log: the file tells the words",
             partial(atprompt, kind=kind, log=False)),
    )
]  # fmt: skip
