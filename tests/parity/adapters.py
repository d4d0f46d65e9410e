"""Adapters beside, in and behind the towers: MMA, LwEIB, LIFT, Candle, TaskRes, CLIP-Adapter,
Tip-Adapter."""

from functools import partial
from pathlib import Path

import torch

from tests import learner_states as states
from tests.dassl_files import save_lift
from tests.parity import kit
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, new_runs, reference, test_lift, test_lweib
from tests.zoo.learners.test_adapters import written
from tests.zoo.learners.test_mma import adapters

PHOTO = "a photo of a"
NAMED = {"classnames": case.NAMES}


def mma(
    folder: Path,
    *,
    layers: tuple[int, ...] = (2, 3, 4),
    hidden: int = 8,
    scale: float = 0.5,
    words: str = PHOTO,
    half: bool = True,
    module: bool = False,
) -> Wanted:
    """`layers` count from 1; 0 is the token embedding, and ln_pre's output of images."""
    own = kit.sizes(half=half)
    state = {k: 10 * v for k, v in states.mma(own, hidden=hidden).items() if "_adapter." in k}
    for side in ("text", "visual", "shared"):  # the first of the layers is the state's second
        for key in [k for k in state if k.startswith(f"{side}_adapter.2.")]:
            for layer in (0, 1):
                state[key.replace(".2.", f".{layer}.", 1)] = state[key] * (layer + 2)
    state = {k: v for k, v in state.items() if int(k.split(".")[1]) in layers}
    texts = kit.sentences(words, case.NAMES)
    rows = kit.embedded(texts, kit.dtype_of(own))[0].to(kit.dtype_of(own))
    fixed = {"tokenized_prompts": case.token_ids(texts), "token_embedding": rows}
    values = {"ADAPTER_SCALE": scale, "TEXT_CTX_INIT": words, "ADAPTER_START": layers[0]}
    values |= {"ADAPTER_END": layers[-1], "ADAPTER_DIM": hidden}
    values["PREC"] = "fp16" if half else "fp32"
    run = kit.save(
        folder, {**state, **fixed}, trainer="MultiModalAdapter", settings={"MMADAPTER": values},
        model="adapter_learner", module=module,
    )  # fmt: skip

    def first(side, x):
        """Adapter 0, on the tokens themselves."""
        inner = reference.linear(x, state, f"{side}_adapter.0.down.0").clamp(min=0)
        inner = reference.linear(inner, state, "shared_adapter.0.0").clamp(min=0)
        return x + scale * reference.linear(inner, state, f"{side}_adapter.0.up")

    def text(names):
        rows, ends = kit.embedded(kit.sentences(words, names), kit.dtype_of(own))
        rows = first("text", rows) if 0 in layers else rows
        change = adapters(state, "text", "transformer.", scale)
        return reference.text_forward(case.state(), rows, ends, heads=1, change=change)

    beside = adapters(state, "visual", "visual.transformer.", scale)

    def change(when, i, x, x_in):
        if when == "before" and i == 0 and 0 in layers:
            return first("visual", x)
        return beside(when, i, x, x_in)

    return Wanted(run, text, kit.image_features(change=change))


def lweib(folder: Path, *, first: int = 1, scale: float = 0.3, module: bool = False) -> Wanted:
    state = new_runs.lweib_state(first=first)
    run = kit.save(
        folder, state, trainer="LwEIB", model="adapter_learner", module=module,
        settings={"LWEIB": {"ADAPTER_SCALE": scale, "TEXT_CTX_INIT": PHOTO, "PREC": "fp16"}},
    )  # fmt: skip

    def text(names):
        return test_lweib.text(state, scale, [case.NAMES.index(name) for name in names])

    return Wanted(run, text, test_lweib.image(state, scale))


def lift(folder: Path, *, kind: str) -> Wanted:
    state = states.lift(case.SIZES, kind=kind)
    run = save_lift(folder / "checkpoint.pth.tar", state).parent
    return Wanted(run, lambda _: state["head.weight"], test_lift.image(state, kind), NAMED)


def candle(folder: Path, *, dataset: str = "OxfordPets", template: str, **options) -> Wanted:
    """Classes in its table are read from it; others are written in the data set's words."""
    state = {key: value.float() for key, value in states.candle(case.SIZES).items()}
    run = kit.save(
        folder, states.candle(case.SIZES), trainer="Candle", model="proto_manager",
        settings={"COOP": {"PREC": "fp16"}}, dataset=dataset,
    )  # fmt: skip

    def text(names):
        rows = state["text_features"] if names == case.NAMES else written(template, names)
        return rows @ state["head.proj_text"]

    image = case.reference_image() @ state["head.proj_image"]
    return Wanted(run, text, image, {**NAMED, **options})


def taskres(folder: Path, *, scale: float = 0.5, half: bool = True, module: bool = False) -> Wanted:
    state = states.taskres(kit.sizes(half=half))
    run = kit.save(
        folder, state, trainer="TaskRes", module=module,
        settings={"TaskRes": {"RESIDUAL_SCALE": scale, "ENHANCED_BASE": "none"}},
    )  # fmt: skip
    base, residual = (state[k].float() for k in ("base_text_features", "text_feature_residuals"))
    return Wanted(run, lambda _: base + scale * residual, kit.image_features(), NAMED)


def clip_adapter(
    folder: Path, *, dataset: str = "OxfordPets", target: str | None = None, half: bool = True,
    template: str = "a photo of a {}, a type of pet.", module: bool = False,
) -> Wanted:  # fmt: skip
    state = states.clip_adapter(kit.sizes(half=half))
    run = kit.save(
        folder, state, trainer="CLIP_Adapter", model="clip_adapter", settings={}, dataset=dataset,
        module=module,
    )  # fmt: skip
    plain = case.reference_image()
    inner = (plain @ state["fc.0.weight"].float().T).clamp(min=0)
    image = 0.2 * (inner @ state["fc.2.weight"].float().T).clamp(min=0) + 0.8 * plain
    options = {} if target is None else {"data_name": target}
    return Wanted(run, lambda names: written(template, names), image, options)


def tip_adapter(
    folder: Path, *, name: str, target: str = "OxfordPets", templates: tuple[str, ...]
) -> Wanted:
    """The zero-shot features that the cache is added to."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (80, 32) if name.startswith("best_F") else (32, 80)
    torch.save(torch.zeros(shape).half(), folder / name)

    def text(names):
        rows = [reference.normalise(written(each, names)) for each in templates]
        return reference.normalise(torch.stack(rows).mean(dim=0))

    return Wanted(folder, text, kit.image_features(), {"data_name": target})


SEVEN = (
    "itap of a {}.", "a bad photo of the {}.", "a origami {}.", "a photo of the large {}.",
    "a {} in a video game.", "art of the {}.", "a photo of the small {}.",
)  # fmt: skip
FOOD = "a photo of {}, a type of food."
CASES = [
    Case("MMA", "as released", "upper blocks", mma),
    *(Case("MMA", "blocks or order", f"layers {layers}", partial(mma, layers=layers))
      for layers in ((0, 1, 2, 3, 4), (1, 2, 3, 4), (0, 1), (4,), (2, 3))),
    Case("MMA", "rank or size", "width 3", partial(mma, hidden=3)),
    Case("MMA", "log value", "ADAPTER_SCALE 0.001", partial(mma, scale=0.001)),
    *(Case("MMA", "fixed words", words or "none", partial(mma, words=words))
      for words in ("", "itap of one")),
    Case("MMA", "single precision", "fp32", partial(mma, half=False)),
    Case("MMA", "module. keys", "several devices", partial(mma, module=True)),
    Case("LwEIB", "as released", "all blocks", lweib, new=False),
    *(Case("LwEIB", "blocks or order", f"from {first}", partial(lweib, first=first), new=False)
      for first in (0, 3)),
    Case("LwEIB", "log value", "ADAPTER_SCALE 0.1", partial(lweib, scale=0.1), new=False),
    Case("LwEIB", "module. keys", "several devices", partial(lweib, module=True), new=False),
    *(Case("LIFT", "as released", kind, partial(lift, kind=kind), new=False)
      for kind in ("adaptformer_list", "adapter_list", "lora_list", "vpt_list")),
    Case("Candle", "as released", "pets",
         partial(candle, template="a photo of a {}, a type of pet.")),
    Case("Candle", "template by data set", "food",
         partial(candle, dataset="Food101", template=FOOD)),
    Case("TaskRes", "as released", "scale 0.5", taskres, new=False),
    Case("TaskRes", "log value", "RESIDUAL_SCALE 1", partial(taskres, scale=1.0), new=False),
    Case("TaskRes", "single precision", "fp32", partial(taskres, half=False), new=False),
    Case("TaskRes", "module. keys", "several devices", partial(taskres, module=True), new=False),
    Case("CLIP-Adapter", "as released", "pets", clip_adapter),
    Case("CLIP-Adapter", "template by data set", "textures",
         partial(clip_adapter, dataset="DescribableTextures", template="{} texture.")),
    Case("CLIP-Adapter", "another data set", "pets to food",
         partial(clip_adapter, target="Food101", template=FOOD)),
    Case("CLIP-Adapter", "single precision", "fp32", partial(clip_adapter, half=False)),
    Case("CLIP-Adapter", "module. keys", "several devices", partial(clip_adapter, module=True)),
    *(case_
      for method, name in (("Tip-Adapter", "keys_16shots.pt"),
                           ("Tip-Adapter-F", "best_F_16shots.pt"))
      for case_ in (
          Case(method, "as released", "pets", partial(
              tip_adapter, name=name, templates=("a photo of a {}, a type of pet.",))),
          Case(method, "template by data set", "food", partial(
              tip_adapter, name=name, target="Food101", templates=(FOOD,))),
          Case(method, "template by data set", "ImageNet: the mean over seven", partial(
              tip_adapter, name=name, target="ImageNet", templates=SEVEN)),
      )),
]  # fmt: skip
