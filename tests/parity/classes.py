"""Prompts made from features: TCP, DeKg_TCP, BIP and TAC; SurPL's first head, HiCroPL's images."""

from functools import partial
from pathlib import Path

from tests import learner_states as states
from tests import new_states
from tests.parity import kit
from tests.parity.kit import Case, Wanted, config_of
from tests.zoo.learners import (
    case,
    new_runs,
    reference,
    test_bip,
    test_hicropl,
    test_ivlp,
    test_tac,
    test_tcp,
)

PETS = "a photo of a {}, a type of pet."
# Of a data set: its zero-shot prompt, and what the learned one has before and after the name
TCP = {
    "OxfordPets": (PETS, "X X X X", ", a type of pet."),
    "UCF101": ("a photo of a person doing {}.", "X X X X person doing", "."),
    "FGVCAircraft": ("a photo of an aircraft {}.", "X X X X", ", a type of aircraft."),
    "StanfordCars": ("a photo of a {}.", "X X X X", ", a type of car"),
    "DescribableTextures": ("a photo of a {}, a type of texture.", "X X X X", " texture."),
    "EuroSAT": ("a centered satellite photo of {}.", "X X X X", "."),
    "ImageNet": ("a photo of a {}.", "X X X X", "."),
}


def tcp(
    folder: Path,
    *,
    trainer: str = "TCP",
    dataset: str = "OxfordPets",
    target: str | None = None,
    half: bool = True,
    module: bool = False,
) -> Wanted:
    own = kit.sizes(half=half)
    zero_shot, before, after = TCP[dataset]
    rows, _ = case.embedded(
        kit.sentences(before, case.NAMES, after), dtype=kit.dtype_of(own), config=case.DEEP
    )
    state = states.tcp(own)
    state |= {k: 10 * v for k, v in state.items() if "meta_net" in k}  # so that it matters
    state |= {"token_prefix": rows[:, :1], "token_suffix": rows[:, 5:]}
    values = {"N_CTX": 4, "W": 1.0, "CTX_INIT": False, "CSC": False}
    run = kit.save(
        folder, state, trainer=trainer, settings={"COOP": values}, dataset=dataset, module=module
    )
    zero_shot, before, after = TCP[target or dataset]

    def text(names):
        rows, ends = case.embedded(
            kit.sentences(before, names, after), dtype=kit.dtype_of(own), config=case.DEEP
        )
        return test_tcp.class_specific(state, names, zero_shot, rows.float(), ends)

    options = {} if target is None else {"data_name": target}
    image = reference.image_forward(case.state(case.DEEP), case.pixels(), heads=2)
    return Wanted(run, text, image, options, backbone="deep")


def bip(
    folder: Path,
    *,
    lists: tuple[int, int] = (13, 13),
    shares: tuple[float, float] = (0.75, 0.5),
    blocks: tuple[list[int], list[int]] = ([3], [3]),
    dataset: str = "OxfordPets",
    template: str = PETS,
    target: str | None = None,
    clip: str = "small",
    half: bool = True,
) -> Wanted:
    """`lists` are TL and VL, `shares` TFW and VFW; `blocks` what the lists stand for."""
    config, own = config_of(clip), kit.sizes(half=half)
    state = new_states.bip(own)
    rows, _ = case.embedded(
        kit.sentences("X X X X", case.NAMES), dtype=kit.dtype_of(own), config=config
    )
    state |= {"token_prefix": rows[:, :1], "token_suffix": rows[:, 5:]}
    values = {"TL": lists[0], "VL": lists[1], "TFW": shares[0], "VFW": shares[1]}
    run = kit.save(folder, state, trainer="BIP", settings={"COOP": values}, dataset=dataset)

    def text(names):
        dtype = kit.dtype_of(own)
        return test_bip.text(state, names, config, blocks[0], shares[0], template, dtype=dtype)

    options = {} if target is None else {"data_name": target}
    image = test_bip.image(state, config, blocks[1], shares[1])
    return Wanted(run, text, image, options, backbone=clip)


def tac(
    folder: Path, *, context: int = 2, words: str = "a photo of a", module: bool = False
) -> Wanted:
    state = new_runs.tac_state(context, before=words)
    values = {"N_CTX_TEXT": context, "N_CTX_VISION": context, "CTX_INIT": words, "PREC": "fp16"}
    run = kit.save(
        folder, state, trainer="TAC", settings={"TAC": values}, module=module,
        model="VLPromptLearner",
    )  # fmt: skip
    return Wanted(run, lambda names: test_tac.text(state, names, words), test_tac.image(state))


def surpl(folder: Path, *, context: int = 2, module: bool = False) -> Wanted:
    words = "a photo of a"
    state = case.whole(new_states.surpl(kit.sizes(context=context)), before=words)
    values = {"N_CTX_TEXT": context, "N_CTX_VISION": context, "CTX_INIT": words, "PREC": "fp16"}
    run = kit.save(
        folder, test_ivlp.half_towers(state), trainer="SurPL", settings={"IVLP": values},
        model="VLPromptLearner", module=module,
    )  # fmt: skip
    return Wanted(run, lambda names: test_ivlp.text(state, words, names), test_ivlp.image(state))


def hicropl(folder: Path, *, module: bool = False) -> Wanted:
    """The image side of the first forward pass."""
    state = new_runs.hicropl_state()
    run = kit.save(
        folder, state, trainer="HiCroPL", settings={"HICROPL": {"PREC": "fp16"}}, module=module,
        model="CrossModalPromptLearner",
    )  # fmt: skip
    rows = test_hicropl.first_pass(state)
    change = reference.replace_image(rows[1:])
    prompted = case.reference_image(appended=rows[0], change=change)
    other = dict(case.tiny_model(case.CONFIG, seed=4).state_dict())
    plain = reference.image_forward(other, case.pixels(), heads=case.IMAGE_HEADS)
    total = reference.normalise(prompted) + reference.normalise(plain)
    return Wanted(run, None, reference.normalise(total))


CASES = [
    *(case_
      for name, make in (("TCP", tcp), ("DeKg_TCP", partial(tcp, trainer="DeKgTCP")))
      for case_ in (
          Case(name, "as released", "pets", make),
          *(Case(name, "template by data set", data, partial(make, dataset=data))
            for data in TCP if data != "OxfordPets"),
          Case(name, "another data set", "ImageNet to textures",
               partial(make, dataset="ImageNet", target="DescribableTextures")),
          Case(name, "another data set", "pets to actions: words of its own",
               partial(make, target="UCF101")),
          Case(name, "single precision", "fp32", partial(make, half=False)),
          Case(name, "module. keys", "several devices", partial(make, module=True)),
      )),
    Case("BIP", "as released", "one block", bip),
    *(Case("BIP", "blocks or order", f"lists {lists}",
           partial(bip, lists=lists, blocks=blocks, clip="ten"))
      for lists, blocks in (((8, 10), ([3, 6, 9], [4, 8])), ((10, 0), ([4, 8], [8])))),
    Case("BIP", "log value", "weights 1 and 0.25", partial(bip, shares=(1.0, 0.25))),
    Case("BIP", "template by data set", "satellite images", partial(
        bip, dataset="EuroSAT", template="a centered satellite photo of {}.")),
    Case("BIP", "another data set", "pets to actions", partial(
        bip, target="UCF101", template="a photo of a person doing {}.")),
    Case("BIP", "single precision", "fp32", partial(bip, half=False)),
    Case("TAC", "as released", "2 tokens", tac),
    *(Case("TAC", "context length", f"{n} tokens", partial(tac, context=n)) for n in (1, 4, 5)),
    Case("TAC", "fixed words", "a blurry photo of one",
         partial(tac, words="a blurry photo of one")),
    Case("TAC", "module. keys", "several devices", partial(tac, module=True)),
    Case("SurPL", "as released", "2 tokens", surpl),
    *(Case("SurPL", "context length", f"{n} tokens", partial(surpl, context=n)) for n in (1, 4)),
    Case("SurPL", "module. keys", "several devices", partial(surpl, module=True)),
    Case("HiCroPL", "as released", "the first forward pass", hicropl),
    Case("HiCroPL", "module. keys", "several devices", partial(hicropl, module=True)),
]  # fmt: skip
