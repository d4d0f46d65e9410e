"""MaPLe's family: prompts in both towers, all but the first text ones rounded to half."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tests import learner_states as states
from tests.parity import kit
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, reference

PHOTO = "a photo of a"


def scaled(state: dict[str, Tensor], factor: float = 5) -> dict[str, Tensor]:
    """Learned tensors larger, so that what they do, and how they are rounded, shows."""
    learned = ("ctx", "compound_prompts", "VPT", "adapter")
    return {k: v * factor if any(p in k for p in learned) else v for k, v in state.items()}


def whole(state, own, texts, *, skip: int) -> dict[str, Tensor]:
    """With the small CLIP's towers and the tokens of `texts`, as large as they are used."""
    towers = {k: v for k, v in case.towers().items() if k in state}
    prompts = kit.fixed(texts, own, skip=skip, prefix="prompt_learner.")
    if "prompt_learner.ctx" not in state:
        prompts = {}
    return {**scaled(state), **towers, **prompts}


def image_side(images: list[Tensor]) -> Tensor:
    used = [kit.rounded(value) for value in images]
    return kit.image_features(appended=used[0], change=reference.replace_image(used[1:]))


def maple_prompts(state) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Context, deep text prompts, and image prompts before they are rounded."""
    learner = {k.removeprefix("prompt_learner."): v.float() for k, v in state.items()}
    deep, images = [], [reference.linear(learner["ctx"], learner, "proj")]
    while (key := f"compound_prompts_text.{len(deep)}") in learner:
        name = f"compound_prompt_projections.{len(deep)}"
        images.append(reference.linear(learner[key], learner, name))
        deep.append(learner[key])
    return learner["ctx"], deep, images


def maple(
    folder: Path,
    *,
    trainer: str = "MaPLe",
    section: str = "MAPLE",
    make=states.maple,
    context: int = 2,
    depth: int = 3,
    words: str = PHOTO,
    half: bool = True,
    module: bool = False,
    shares: tuple[float, float] = (0.0, 0.0),
) -> Wanted:
    own = kit.sizes(context=context, depth=depth, half=half)
    state = whole(make(own), own, kit.sentences(words, case.NAMES), skip=context)
    state = {k: v for k, v in state.items() if not k.startswith("model_distill")}
    init = words if words == PHOTO else ""
    values = {"N_CTX": context, "CTX_INIT": init, "PROMPT_DEPTH": depth}
    values["PREC"] = "fp16" if half else "fp32"
    run = kit.save(
        folder, state, trainer=trainer, settings={section: values}, module=module,
        model="MultiModalPromptLearner",
    )  # fmt: skip
    head, deep, images = maple_prompts(state)

    def adapted(rows: Tensor, side: str, share: float) -> Tensor:
        if not share:
            return rows
        down, up = (state[f"adapter_{side}.fc.{i}.weight"].float() for i in (0, 2))
        return share * ((rows @ down.T).clamp(min=0) @ up.T).clamp(min=0) + (1 - share) * rows

    def text(names):
        change = reference.replace_text([kit.rounded(value) for value in deep])
        rows = kit.text_features(kit.sentences(words, names), head, own, change=change)
        return adapted(rows, "text", shares[0])

    return Wanted(run, text, adapted(image_side(images), "image", shares[1]))


def ivlp(
    folder: Path,
    *,
    trainer: str = "IVLP",
    section: str = "IVLP",
    make=states.ivlp,
    context: int = 2,
    depth: int = 3,
    words: str = PHOTO,
    half: bool = True,
    module: bool = False,
) -> Wanted:
    own = kit.sizes(context=context, depth=depth, half=half)
    state = whole(make(own), own, kit.sentences(words, case.NAMES), skip=context)
    values = {"N_CTX_TEXT": context, "N_CTX_VISION": context, "PREC": "fp16" if half else "fp32"}
    values |= {"PROMPT_DEPTH_TEXT": depth, "PROMPT_DEPTH_VISION": depth}
    values["CTX_INIT"] = words if words == PHOTO else ""
    run = kit.save(
        folder, state, trainer=trainer, settings={section: values}, module=module,
        model="VLPromptLearner",
    )  # fmt: skip
    block = "{}_encoder.transformer.resblocks.{}.VPT_shallow"
    found = {
        side: [state[key].float() for i in range(1, 4) if (key := block.format(side, i)) in state]
        for side in ("text", "image")
    }

    def text(names):
        if "prompt_learner.ctx" not in state:
            rows, ends = kit.embedded(kit.sentences(PHOTO, names), torch.float32)
            return reference.text_forward(case.state(), rows, ends, heads=case.TEXT_HEADS)
        change = reference.replace_text([kit.rounded(value) for value in found["text"]])
        head = state["prompt_learner.ctx"]
        return kit.text_features(kit.sentences(words, names), head, own, change=change)

    if "image_encoder.VPT" not in state:
        return Wanted(run, text, kit.image_features())
    image = image_side([state["image_encoder.VPT"].float(), *found["image"]])
    return Wanted(run, text, image)


def promptkd(folder: Path, *, half: bool = True) -> Wanted:
    """The student's image side; its text is the teacher's."""
    own = kit.sizes(context=2, half=half)
    state = whole(states.promptkd(own), own, [], skip=2)
    state = {k: v for k, v in state.items() if not k.startswith("text_encoder")}
    prec = {"PREC": "fp16" if half else "fp32"}
    run = kit.save(folder, state, trainer="PromptKD", settings={"PROMPTKD": prec})
    block = "image_encoder.transformer.resblocks.{}.VPT_shallow"
    deep = [state[block.format(i)].float() for i in range(1, own.depth)]
    rows = image_side([state["image_encoder.VPT"].float(), *deep])
    head = {k.removeprefix("VPT_image_trans.conv1."): v.float() for k, v in state.items()}
    inner = rows @ head["0.weight"].flatten(1).T + head["0.bias"]
    spread = torch.sqrt(head["1.running_var"] + 1e-5)
    inner = (inner - head["1.running_mean"]) / spread * head["1.weight"] + head["1.bias"]
    image = inner.clamp(min=0) @ head["3.weight"].flatten(1).T + head["3.bias"]
    return Wanted(run, None, image)


FAMILY = {
    "MaPLe": partial(maple),
    "DePT over MaPLe": partial(maple, trainer="ExtrasLinearProbeMaPLe", make=states.dept_maple),
    "CoPrompt": partial(maple, trainer="CoPrompt", section="CoPrompt", make=states.coprompt,
                        shares=(0.2, 0.1)),
    "IVLP": partial(ivlp),
    "IVLP (language only)": partial(ivlp, make=states.ivlp_language),
    "PromptSRC": partial(ivlp, trainer="PromptSRC", section="PROMPTSRC", make=states.promptsrc),
    "ProMetaR": partial(ivlp, trainer="ProMetaR", section="PROMETAR", make=states.promptsrc),
    "VPT": partial(ivlp, trainer="VPT", section="VPT", make=states.vpt),
    "PromptKD": partial(promptkd),
}  # fmt: skip
CASES = [
    *(Case(name, "as released", "half precision", make) for name, make in FAMILY.items()),
    *(Case(name, "single precision", "fp32", partial(make, half=False))
      for name, make in FAMILY.items()),
    *(
        Case(name, "depth", f"{depth} blocks", partial(FAMILY[name], depth=depth))
        for name in ("MaPLe", "CoPrompt", "IVLP", "PromptSRC", "ProMetaR", "VPT")
        for depth in (2 if name == "CoPrompt" else 1, 4)
    ),
    *(
        Case(name, "context length", f"{n} tokens",
             partial(FAMILY[name], context=n, words="X " * n if n > 4 else PHOTO))
        for name in ("MaPLe", "IVLP", "PromptSRC") for n in (1, 4, 6)
    ),
    *(Case(name, "fixed words", "none, CTX_INIT empty", partial(FAMILY[name], words="X X"))
      for name in ("MaPLe", "IVLP", "PromptSRC")),
    *(Case(name, "module. keys", "several devices", partial(FAMILY[name], module=True))
      for name in ("MaPLe", "PromptSRC")),
]  # fmt: skip
