"""Several prompts or a learned order of tokens: PLOT, PLOTNemesis, PLOT++, GalLoP, AnchorOPT's."""

from functools import partial
from pathlib import Path

import torch

from tests import learner_states as states
from tests import new_states
from tests.dassl_files import save_dassl
from tests.parity import kit
from tests.parity.context import arranged
from tests.parity.deep import image_side, maple_prompts
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, new_runs, reference, test_gallop


def mean_text(state, names, words, position, own, prefix=""):
    """The mean over prompts of features that are not normalised."""
    texts = kit.sentences(words, names)
    contexts = state[f"{prefix}ctx"]
    return torch.stack([arranged(texts, names, one, position, own) for one in contexts]).mean(dim=0)


def plot(
    folder: Path,
    *,
    nemesis: bool = False,
    sets: int = 4,
    context: int = 4,
    position: str = "end",
    words: str = "",
    half: bool = True,
    module: bool = False,
) -> Wanted:
    own = kit.sizes(context=context, half=half)
    state = states.plot(own, sets=sets)
    before = words or "X " * context
    fixed = kit.fixed(kit.sentences(before, case.NAMES), own, skip=context)
    state |= {key: value.repeat(sets, 1, 1) for key, value in fixed.items()}
    section = "PLOTNemesis" if nemesis else "PLOT"
    values = {"N": sets, "N_CTX": context, "CTX_INIT": words, "CLASS_TOKEN_POSITION": position}
    values |= {"CSC": False, "PREC": "fp16" if half else "fp32"}
    run = kit.save(folder, state, trainer=section, settings={section: values}, module=module)

    def text(names):
        return mean_text(state, names, before, position, own)

    return Wanted(run, text, kit.image_features())


def plotpp(
    folder: Path, *, sets: int = 4, images: int = 2, context: int = 4, half: bool = True
) -> Wanted:
    """`images` are the tokens of each image prompt."""
    own = kit.sizes(context=context, half=half)
    state = states.plotpp(own, sets=sets)
    state["prompt_learner.ctx_vision"] = state["prompt_learner.ctx_vision"][:, :images] * 5
    before = "X " * context
    fixed = kit.fixed(kit.sentences(before, case.NAMES), own, skip=context)
    towers = case.towers().items()
    state |= {k.replace("text_encoder.", "text_encoder.module."): v for k, v in towers}
    state |= {f"prompt_learner.{k}": v.repeat(sets, 1, 1) for k, v in fixed.items()}
    values = {"N": sets, "M": sets, "N_CTX_V": images, "PREC": "fp16" if half else "fp32"}
    unread = {"N_CTX": 99, "CTX_INIT": "a photo of a", "CLASS_TOKEN_POSITION": "front"}
    run = kit.save(folder, state, trainer="PLOTPP", settings={"PLOTPP": values | unread})
    prompts = state["prompt_learner.ctx_vision"].float()
    image = torch.stack([kit.image_features(appended=prompt) for prompt in prompts]).mean(dim=0)

    def text(names):
        return mean_text(state, names, before, "end", own, "prompt_learner.")

    return Wanted(run, text, image)


def gallop(folder: Path, *, prompts: int = 3, context: int = 4) -> Wanted:
    """The name follows each context as it is written, without a sentence around it."""
    state = new_states.gallop(kit.sizes(context=context))
    state["global_prompt"] = 10 * state["global_prompt"][:prompts]
    run = new_runs.gallop(folder, state)
    return Wanted(run, lambda names: test_gallop.text(state, names), kit.image_features())


def ordered(count: int, places: list[int]) -> torch.Tensor:
    """(P, P) parameters whose likeliest order is `places`."""
    table = -torch.rand(count, count, generator=torch.Generator().manual_seed(4))
    for row, place in enumerate(places):
        table[row, place] = 1.0
    return table


def anchoropt(
    folder: Path,
    *,
    trainer: str = "CoOp",
    places: tuple[int, ...] = (2, 1, 4, 0, 3),
    context: int = 4,
    half: bool = True,
    module: bool = False,
) -> Wanted:
    """`places` says which of the context, or the anchor behind it, stands where.

    The authors read features where end-of-text would be without the anchor.
    """
    own = kit.sizes(context=context, half=half)
    anchors = states.anchoropt_anchor(own)
    maple, conditioned = trainer == "MaPLe", trainer == "CoCoOp"
    prefix = "prompt_learner." if maple else ""
    make = {"CoOp": states.anchoropt_normal, "CoCoOp": new_states.cocoop_anchoropt,
            "MaPLe": new_states.maple_anchoropt}[trainer]  # fmt: skip
    state = make(own)
    state[f"{prefix}ctx_pos_params"] = ordered(context + 1, list(places))
    state[f"{prefix}ctx"] = 10 * state[f"{prefix}ctx"]
    x = "X " * context
    state |= kit.fixed(kit.sentences(x, case.NAMES), own, skip=context, prefix=prefix)
    section = {"CoOp": "COOP", "CoCoOp": "COCOOP", "MaPLe": "MAPLE"}[trainer]
    values = {"N_CTX": context, "PREC": "fp16" if half else "fp32"}
    run = kit.save(
        folder, state, trainer=f"{trainer}_AnchorOPT", module=module,
        settings={section: values, "ANCHOROPT": {"N_CTX": context}},
        model="MultiModalPromptLearner" if maple else "normal_prompt_learner",
    )  # fmt: skip
    if maple:
        anchor = state["anchor_prompt_learner.anchor_ctx_1"].float()
    else:
        save_dassl(folder / "anchor_prompt_learner" / "model.pth.tar", anchors)
        anchor = anchors["anchor_ctx_1"].float()
    head = torch.cat([state[f"{prefix}ctx"].float(), anchor])[list(places)]
    image, change, options, feature = kit.image_features(), None, {}, None
    if conditioned:
        feature = torch.randn(32, generator=torch.Generator().manual_seed(3))
        whole = {key: value.float() for key, value in state.items()}
        hidden = reference.linear(reference.normalise(feature), whole, "meta_net.linear1")
        shift = reference.linear(hidden.clamp(min=0), whole, "meta_net.linear2")
        head = torch.cat([whole["ctx"] + shift, anchor])[list(places)]
        options = {"condition": "per-image"}
    if maple:
        _, deep, images = maple_prompts(state)
        image = image_side(images)
        deep = [kit.rounded(value) for value in deep]

        change = with_order(deep, places, context)

    def text(names):
        texts = kit.sentences(f"{x}X", names)
        return kit.text_features(texts, head, own, change=change, beside=-1)

    return Wanted(run, text, image, options, feature=feature)


def with_order(deep: list[torch.Tensor], places: tuple[int, ...], context: int):
    """Deep prompts at the places of their order; where the anchor stands, a token before stays."""

    def change(when, i, x, _x_in):
        if when == "after" or not 1 <= i <= len(deep):
            return x
        new = x.clone()
        first = places.index(context) if context in places else 0  # theirs is one off
        for row, place in enumerate(places):
            new[1 + row] = deep[i - 1][place] if place < context else x[first]
        return new

    return change


PLACES = ((0, 1, 2, 3, 4), (4, 0, 1, 2, 3), (0, 0, 1, 2, 3), (4, 1, 4, 2, 3))
CASES = [
    *(case_
      for name, make in (("PLOT", plot), ("PLOTNemesis", partial(plot, nemesis=True)))
      for case_ in (
          Case(name, "as released", "4 prompts of 16 tokens", partial(make, context=16)),
          Case(name, "context length", "5 tokens", partial(make, context=5)),
          *(Case(name, "rank or size", f"{n} prompts", partial(make, sets=n)) for n in (2, 6)),
          *(Case(name, "class name's place", place, partial(make, position=place))
            for place in ("middle", "front")),
          Case(name, "fixed words", "CTX_INIT in force", partial(make, words="a photo of a")),
          Case(name, "single precision", "fp32", partial(make, half=False)),
          Case(name, "module. keys", "several devices", partial(make, module=True)),
      )),
    Case("PLOT++", "as released", "4 prompts of each side; module. keys", plotpp),
    Case("PLOT++", "context length", "6 tokens, 1 of an image",
         partial(plotpp, context=6, images=1)),
    Case("PLOT++", "rank or size", "2 prompts", partial(plotpp, sets=2)),
    Case("PLOT++", "single precision", "fp32", partial(plotpp, half=False)),
    Case("GalLoP", "as released", "3 global prompts", gallop),
    Case("GalLoP", "rank or size", "1 global prompt", partial(gallop, prompts=1)),
    Case("GalLoP", "context length", "7 tokens", partial(gallop, context=7)),
    *(case_
      for name, trainer in (("AnchorOPT", "CoOp"), ("CoCoOp_AnchorOPT", "CoCoOp"),
                            ("MaPLe_AnchorOPT", "MaPLe"))
      for case_ in (
          Case(name, "as released", "a mixed order", partial(anchoropt, trainer=trainer)),
          *(Case(name, "blocks or order", f"order {places}",
                 partial(anchoropt, trainer=trainer, places=places)) for places in PLACES),
          Case(name, "context length", "2 tokens",
               partial(anchoropt, trainer=trainer, context=2, places=(1, 2, 0))),
          Case(name, "single precision", "fp32", partial(anchoropt, trainer=trainer, half=False)),
          Case(name, "module. keys", "several devices",
               partial(anchoropt, trainer=trainer, module=True)),
      )),
]  # fmt: skip
