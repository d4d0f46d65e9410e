"""MMRL and MMRL++: tokens in some blocks, a template by data set, an image feature by task."""

from functools import partial
from pathlib import Path

from tests import learner_states as states
from tests.learner_states import Sizes
from tests.parity import kit
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, reference
from tests.zoo.learners.test_mmrl import reference_images, reference_text

TEMPLATES = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "ImageNet": "a photo of a {}.",
    "StanfordCars": "a photo of a {}.",
    "EuroSAT": "a centered satellite photo of {}.",
    "UCF101": "a photo of a person doing {}.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "Food101": "a photo of {}, a type of food.",
    "DescribableTextures": "{} texture.",
}
# Where a run of one data set is tested on another: the authors' own list for MMRL++
CROSSED = {"StanfordCars": 0.3, "Food101": 0.3, "DescribableTextures": 0.5}


def mmrl(
    folder: Path,
    *,
    plus: bool = False,
    layers: tuple[int, ...] = (2, 3, 4),
    width: int = 16,
    count: int = 5,
    alpha: float = 0.7,
    beta: float = 0.7,
    task: str = "B2N",
    subsample: str = "base",
    dataset: str = "OxfordPets",
    target: str | None = None,
    feature: str = "fused",
    half: bool = True,
    module: bool = False,
) -> Wanted:
    """`feature` is what the task is to give; blocks are counted from 1, as in the log."""
    own = Sizes(depth=len(layers), half=half)
    state = (states.mmrlpp if plus else states.mmrl)(own, width=width)
    if plus:
        del state["image_encoder.proj_rep"]
    state |= {k: v for k, v in case.towers().items() if k in state}
    learner = "representation_learner."
    state[f"{learner}compound_rep_tokens"] = state[f"{learner}compound_rep_tokens"][:count]
    state = {k: v * 5 if learner in k else v for k, v in state.items()}
    if half:  # as they are saved: towers and learner alike
        state["image_encoder.conv1.weight"] = state["image_encoder.conv1.weight"].half()
    template = TEMPLATES[dataset]
    texts = [template.replace("{}", name) for name in case.sentences(case.NAMES, "")]
    state["prompt_embeddings"] = kit.embedded(texts, kit.dtype_of(own))[0].to(kit.dtype_of(own))
    section, other = ("MMRLpp", "MMRL") if plus else ("MMRL", "MMRLpp")
    values = {"ALPHA": alpha, "REP_LAYERS": list(layers), "PREC": "fp16" if half else "fp32"}
    values |= {"N_REP_TOKENS": count, "REP_DIM": width, **({"BETA": beta} if plus else {})}
    unused = {"ALPHA": 0.1, "REP_LAYERS": [], "BETA": 0.1}  # both sections are in every log
    run = kit.save(
        folder, state, trainer=section, settings={section: values, other: unused}, module=module,
        model="MultiModalRepresentationLearner", dataset=dataset, subsample=subsample,
        top=f"TASK: {task}\n",
    )  # fmt: skip
    kept = 1.0 if not plus else beta if target is None else CROSSED[target]
    blocks = tuple(layer - 1 for layer in layers)
    wanted_template = TEMPLATES[target or dataset]

    def text(names):
        return reference_text(
            state, names, kept, blocks=blocks, template=wanted_template, half=half
        )

    plain, rep = reference_images(state, kept, blocks=blocks, half=half)
    fused = alpha * reference.normalise(plain) + (1 - alpha) * reference.normalise(rep)
    options = {} if target is None else {"data_name": target}
    return Wanted(run, text, fused if feature == "fused" else plain, options)


def both(plus: bool) -> list[Case]:
    name, make = ("MMRL++" if plus else "MMRL"), partial(mmrl, plus=plus)
    return [
        Case(name, "as released", "base classes of pets, fused", make),
        *(Case(name, "blocks or order", f"REP_LAYERS {layers}", partial(make, layers=layers))
          for layers in ((1, 2, 3, 4), (2, 3), (1, 3), (2, 4), (4,))),
        Case(name, "rank or size", "3 tokens of width 24", partial(make, count=3, width=24)),
        *(Case(name, "template by data set", data, partial(make, dataset=data))
          for data in ("EuroSAT", "UCF101", "FGVCAircraft", "StanfordCars")),
        Case(name, "log value", "ALPHA 0.4", partial(make, alpha=0.4)),
        Case(name, "log value", "TASK B2N on new classes: class feature",
             partial(make, subsample="new", feature="class")),
        Case(name, "log value", "TASK FS on all classes: fused",
             partial(make, task="FS", subsample="all")),
        Case(name, "log value", "TASK CD on ImageNet: fused",
             partial(make, task="CD", subsample="all", dataset="ImageNet")),
        *(Case(name, "another data set", f"ImageNet to {target}: its template, class feature",
               partial(make, task="CD", subsample="all", dataset="ImageNet", target=target,
                       feature="class"))
          for target in CROSSED),
        Case(name, "single precision", "fp32", partial(make, half=False)),
        Case(name, "module. keys", "several devices", partial(make, module=True)),
    ]  # fmt: skip


CASES = [
    *both(False),
    *both(True),
    *(Case("MMRL++", "log value", f"BETA {beta}", partial(mmrl, plus=True, beta=beta))
      for beta in (0.0, 0.2, 1.0)),
]  # fmt: skip
