"""CoOp's family: a learned context around the class name, whose text side is all there is."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tests import learner_states as states
from tests.parity import kit
from tests.parity.kit import Case, Wanted
from tests.zoo.learners import case, reference

PETS = "a type of pet, a photo of a"  # eight words, nine tokens
FOOD = "a type of food, a photo of"


def arranged(texts, names, context: Tensor, position: str, own) -> Tensor:
    """Features of prompts in which the name is as many tokens of the rest as it has itself."""
    rows, ends = kit.embedded(texts, kit.dtype_of(own))
    count, made = context.shape[-2], []
    plain = [" ".join(name.replace("_", " ").split()) for name in names]
    lengths = [int(ids.argmax()) - 1 for ids in case.token_ids(plain)]
    for i, row in enumerate(rows):
        vectors = (context[i] if context.ndim == 3 else context).float()
        rest = row[1 + count :]
        cut = {"end": 0, "middle": lengths[i], "front": lengths[i]}[position]
        before = {"end": count, "middle": count // 2, "front": 0}[position]
        made.append(
            torch.cat([row[:1], vectors[:before], rest[:cut], vectors[before:], rest[cut:]])
        )
    return reference.text_forward(case.state(), torch.stack(made), ends, heads=case.TEXT_HEADS)


def coop(
    folder: Path,
    *,
    trainer: str = "CoOp",
    context: int = 4,
    make=states.coop,
    position: str = "end",
    words: str = "",
    half: bool = True,
    module: bool = False,
    target_words: str | None = None,
    init: str | None = None,
    dataset: str = "OxfordPets",
    target: str | None = None,
) -> Wanted:
    """`words` and `target_words` are all that a prompt has before the name, X's included."""
    own = kit.sizes(context=context, half=half)
    words = words or "X " * context
    state = make(own)
    dept = trainer.startswith("Extras")
    prefix = "prompt_learner." if dept else ""
    state |= kit.fixed(kit.sentences(words, case.NAMES), own, skip=context, prefix=prefix)
    state |= {k: v for k, v in case.towers().items() if k in state}
    settings = {"N_CTX": context, "CLASS_TOKEN_POSITION": position, "CTX_INIT": init or ""}
    settings["PREC"] = "fp16" if half else "fp32"
    log = {"trainer": trainer, "settings": {"COOP": settings}, "dataset": dataset}
    if dept:
        log["settings"] |= {"LINEAR_PROBE": {"WEIGHT": 0.7, "TYPE": "linear"}}
    run = kit.save(folder, state, module=module, **log)

    def text(names):
        said = words if target_words is None else target_words
        return arranged(kit.sentences(said, names), names, state[f"{prefix}ctx"], position, own)

    options = {} if target is None else {"data_name": target}
    return Wanted(run, text, kit.image_features(), options)


def cocoop(folder: Path, *, context: int = 4, half: bool = True, init: str = "") -> Wanted:
    own = kit.sizes(context=context, half=half)
    words = init or "X " * context
    state = states.cocoop(own) | kit.fixed(kit.sentences(words, case.NAMES), own, skip=context)
    values = {"N_CTX": context, "CTX_INIT": init, "PREC": "fp16" if half else "fp32"}
    run = kit.save(folder, state, trainer="CoCoOp", settings={"COCOOP": values})
    feature = torch.randn(32, generator=torch.Generator().manual_seed(3))
    whole = {key: value.float() for key, value in state.items()}
    hidden = reference.linear(reference.normalise(feature), whole, "meta_net.linear1").clamp(min=0)
    shifted = whole["ctx"] + reference.linear(hidden, whole, "meta_net.linear2")

    def text(names):
        return kit.text_features(kit.sentences(words, names), shifted, own)

    return Wanted(run, text, kit.image_features(), {"condition": "per-image"}, feature=feature)


def dept_over(make):
    """A state of DePT over one of CoOp's kind, a whole model."""

    def made(own):
        inner = {f"prompt_learner.{key}": value for key, value in make(own).items()}
        return states.dept(own, over={**inner, **states.both_towers(states.Maker(own, 0))})

    return made


def x(count: int, words: str = "") -> str:
    return "X " * count + words


CASES = [
    Case("CoOp", "as released", "16 tokens at the end", partial(coop, context=16)),
    *(Case("CoOp", "context length", f"{n} tokens", partial(coop, context=n)) for n in (1, 4)),
    *(
        Case("CoOp", "class name's place", f"{place}, {n} tokens",
             partial(coop, context=n, position=place))
        for place in ("middle", "front") for n in (4, 5)
    ),
    *(
        Case("CoOp", "rank or size", f"a context a class, {place}",
             partial(coop, make=states.coop_csc, position=place), new=False)
        for place in ("end", "middle")
    ),
    Case("CoOp", "fixed words", "CTX_INIT in force",
         partial(coop, words="a photo of a", init="a_photo_of_a")),
    *(
        Case("CoOp", "fixed words", f"a comma in CTX_INIT, {place}",
             partial(coop, context=8, words=PETS, init=PETS, position=place))
        for place in ("end", "middle", "front")
    ),
    Case("CoOp", "single precision", "fp32", partial(coop, half=False)),
    Case("CoOp", "module. keys", "several devices", partial(coop, module=True)),
    *(
        Case(method, "as released", "4 tokens", partial(coop, trainer=trainer, make=make))
        for method, trainer, make in (
            ("KgCoOp", "KgCoOp", states.kgcoop), ("DeKg", "DeKg", states.kgcoop),
            ("Nemesis", "CoOpNemesis", states.coop),
        )
    ),
    *(
        Case("DePT over CoOp", variation, detail,
             partial(coop, trainer="ExtrasLinearProbeCoOp", make=dept_over(states.coop), **how))
        for variation, detail, how in (
            ("as released", "16 tokens", {"context": 16}), ("context length", "4 tokens", {}),
            ("class name's place", "middle", {"position": "middle"}),
            ("class name's place", "front", {"position": "front"}),
            ("single precision", "fp32", {"half": False}),
            ("module. keys", "several devices", {"module": True}),
        )
    ),
    Case("DePT over KgCoOp", "as released", "4 tokens",
         partial(coop, trainer="ExtrasLinearProbeKgCoOp", make=dept_over(states.kgcoop),
                 words="a photo of a", init="a photo of a")),
    Case("Nemesis", "class name's place", "middle",
         partial(coop, trainer="CoOpNemesis", position="middle")),
    Case("ProGrad", "as released", "pets: a word is left over",
         partial(coop, trainer="ProGrad", context=16, init="True", words=x(8, PETS))),
    Case("ProGrad", "template by data set", "food: another word",
         partial(coop, trainer="ProGrad", context=16, init="True", words=x(9, FOOD),
                 dataset="Food101")),
    Case("ProGrad", "template by data set", "cars: none",
         partial(coop, trainer="ProGrad", context=16, init="True", words=x(12, "a photo of a"),
                 dataset="StanfordCars")),
    *(
        Case("ProGrad", "class name's place", place,
             partial(coop, trainer="ProGrad", context=16, init="True", words=x(8, PETS),
                     position=place))
        for place in ("middle", "front")
    ),
    Case("ProGrad", "another data set", "pets to food",
         partial(coop, trainer="ProGrad", context=16, init="True", words=x(8, PETS),
                 target="Food101", target_words=x(9, FOOD))),
    Case("ProGrad", "another data set", "cars to pets",
         partial(coop, trainer="ProGrad", context=16, init="True", words=x(12, "a photo of a"),
                 dataset="StanfordCars", target="OxfordPets", target_words=x(8, PETS))),
    Case("ProGrad", "log value", "CTX_INIT False",
         partial(coop, trainer="ProGrad", context=16, init="False")),
    Case("CoCoOp", "as released", "a photo of a", partial(cocoop, init="a photo of a")),
    Case("CoCoOp", "context length", "2 tokens", partial(cocoop, context=2)),
    Case("CoCoOp", "single precision", "fp32", partial(cocoop, half=False)),
]  # fmt: skip
