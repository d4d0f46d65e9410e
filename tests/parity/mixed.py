"""DPC's mixtures of two CoOp prompts, and TextRefiner's refinement of CoOp's features."""

from functools import partial
from pathlib import Path

import torch

from tests import learner_states as states
from tests.dassl_files import save_dassl
from tests.parity import kit
from tests.parity.context import arranged
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, reference

X = "X X X X"


def dpc(
    folder: Path,
    *,
    mode: str = "converse",
    weight: float | str = 0.2,
    for_new: float = 0.5,
    position: str = "end",
    subsample: str = "base",
    dataset: str = "OxfordPets",
    target: str | None = None,
    half: bool = True,
) -> Wanted:
    own = kit.sizes(half=half)
    state = states.coop(own) | kit.fixed(kit.sentences(X, case.NAMES), own, skip=4)
    plain = states.coop(own, 1)
    state["ctx"], plain["ctx"] = 10 * state["ctx"], 10 * plain["ctx"]
    base = save_dassl(folder / "base" / "model.pth.tar-50", plain)
    stack = f"SPLE:\n  STACK:\n    MODE: {mode}\n    WEIGHT: {weight}\n"
    run = kit.save(
        folder / "run", state, trainer="StackSPLE_CoOp", dataset=dataset, subsample=subsample,
        settings={"COOP": {"CLASS_TOKEN_POSITION": position, "PREC": "fp16" if half else "fp32"}},
        top=f"{stack}    WEIGHT_FOR_NEW: {for_new}\n",
    )  # fmt: skip
    whole = subsample == "all" or target is not None
    none_new = whole and (target or dataset) == "ImageNet"

    def text(names):
        # the steps of loading and of the pass, each in the precision both prompts are stored in
        w, p, c = float(weight), plain["ctx"], state["ctx"]
        new = not none_new and (whole or names == case.NEW)
        if new:
            s = (c - (1 - w) * p) * (1 / w) if "simple" in mode else c
            c = for_new * s + (1 - for_new) * p
        if "converse" in mode:
            c = (c - (1 - w) * p) * (1 / w)
        return arranged(kit.sentences(X, names), names, c, position, own)

    options = {"base": base} | ({} if target is None else {"data_name": target})
    return Wanted(run, text, kit.image_features(), options)


def textrefiner(
    folder: Path,
    *,
    alpha: float = 0.2,
    position: str = "end",
    items: int = 25,
    csc: bool = False,
    half: bool = True,
    module: bool = False,
) -> Wanted:
    own = kit.sizes(half=half)
    state = states.textrefiner(own)
    texts = kit.sentences(X, case.NAMES)
    state |= {k: v for k, v in case.towers().items() if k in state}
    state |= kit.fixed(texts, own, skip=4, prefix="prompt_learner.")
    state["text_encoder.token_embedding.weight"] = case.state()["token_embedding.weight"]
    state["prompt_learner.tokenized_prompts"] = case.token_ids(texts)
    if csc:
        state["prompt_learner.ctx"] = states.coop_csc(own)["ctx"]
    memory = {k: 20 * v for k, v in states.textrefiner_memory(own).items()}
    values = {"CLASS_TOKEN_POSITION": position, "PREC": "fp16" if half else "fp32"}
    run = kit.save(
        folder, state, trainer="TextRefiner", module=module,
        settings={"COOP": values, "TF": {"ALPHA": alpha, "MEMORY_SIZE": items}},
    )  # fmt: skip
    rows = memory.pop("memory_item")[:items].clone()
    save_dassl(run / "Memory" / "model.pth.tar-50", memory, memory_item=rows)

    def text(names):
        texts = kit.sentences(X, names)
        plain = arranged(texts, names, state["prompt_learner.ctx"], position, own)
        plain = reference.normalise(plain)
        recalled = torch.softmax(plain @ rows.float().T, dim=1) @ rows.float()
        made = torch.cat([plain, recalled], dim=1) @ memory["extractor.weight"].float().T
        return alpha * made + plain

    return Wanted(run, text, kit.image_features())


CASES = [
    Case("DPC", "as released", "converse, new classes get the base prompt",
         partial(dpc, weight=0.5, for_new=0.0)),
    *(
        Case("DPC", "log value", f"mode {mode}, w {w}, v {v}",
             partial(dpc, mode=mode, weight=w, for_new=v))
        for mode in ("converse", "loop+converse", "simple", "void") for w, v in ((0.2, 0.5),)
    ),
    *(Case("DPC", "class name's place", place, partial(dpc, position=place))
      for place in ("middle", "front")),
    Case("DPC", "log value", "SUBSAMPLE all", partial(dpc, subsample="all", mode="simple")),
    Case("DPC", "log value", "SUBSAMPLE all on ImageNet",
         partial(dpc, subsample="all", dataset="ImageNet", mode="simple")),
    Case("DPC", "another data set", "pets to cars", partial(dpc, target="StanfordCars")),
    Case("DPC", "another data set", "pets to ImageNet",
         partial(dpc, target="ImageNet", mode="void")),
    Case("DPC", "single precision", "fp32", partial(dpc, half=False)),
    Case("TextRefiner", "as released", "alpha 0.2", textrefiner),
    Case("TextRefiner", "log value", "ALPHA 0.7", partial(textrefiner, alpha=0.7)),
    *(Case("TextRefiner", "class name's place", place, partial(textrefiner, position=place))
      for place in ("middle", "front")),
    Case("TextRefiner", "rank or size", "7 items", partial(textrefiner, items=7)),
    Case("TextRefiner", "rank or size", "a context a class", partial(textrefiner, csc=True),
         new=False),
    Case("TextRefiner", "single precision", "fp32", partial(textrefiner, half=False)),
    Case("TextRefiner", "module. keys", "several devices", partial(textrefiner, module=True)),
]  # fmt: skip
