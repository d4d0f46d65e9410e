"""CLIP-LoRA, PEFT-LoRA, SkipTuning, FinetuneCLIP: changed weights of towers, written prompts."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.clip_states import Maker, Sizes
from tests.dassl_files import save_lora, save_peft
from tests.parity import kit
from tests.parity.kit import LAYERS, Case, Wanted, config_of
from tests.zoo.learners import case, new_runs, reference
from tests.zoo.learners import test_peft_lora as peft_lora
from tests.zoo.learners.test_clip_lora import changed
from tests.zoo.learners.test_skiptuning import plain

# What positions stand for: in a tower of 12 blocks, and in ViT-L/14's image tower
TWELVE = {
    "all": range(12), "top": [11], "top1": [11], "top2": [10, 11], "top3": [9, 10, 11],
    "bottom": range(4), "mid": range(4, 8), "up": range(8, 12), "half-up": range(6, 12),
    "half-bottom": range(6),
}  # fmt: skip
LARGE = {"all": range(24), "half-up": range(12, 24), "half-bottom": range(12)}
# As of ViT-L/14's image tower before September 2024
OLD_LARGE = {"all": range(21), "half-up": range(6, 12), "half-bottom": range(6),
             "bottom": range(4), "mid": range(4, 8), "up": range(8, 12)}  # fmt: skip
NAMES_OF = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "proj"}


def lora(
    folder: Path,
    *,
    clip: str = "small",
    encoder: str = "both",
    position: str = "all",
    images: range | list[int] | None = None,
    params: str = "qkv",
    rank: int = 2,
    alpha: int = 1,
    dataset: str = "oxford_pets",
) -> Wanted:
    """`images` are the image tower's blocks where they are not as in the text tower."""
    text_layers, image_layers = LAYERS[clip]
    chosen = [i for i in TWELVE[position] if i < text_layers]
    on_image = [i for i in TWELVE[position] if i < image_layers] if images is None else images
    blocks = [f"transformer.resblocks.{i}." for i in chosen if encoder != "vision"]
    blocks += [f"visual.transformer.resblocks.{i}." for i in on_image if encoder != "text"]
    make, flat = Maker(Sizes(), 3), {}
    for i, block in enumerate(blocks):
        width = make.sizes.vision if block.startswith("visual") else make.sizes.text
        for part in params:
            name = f"weights.layer_{i}.{NAMES_OF[part]}.w_lora_"
            flat[f"{name}A"] = 20 * make.full(rank, width)
            flat[f"{name}B"] = 20 * make.full(width, rank)
    path = folder / "vitb16" / dataset / "16shots" / "seed1" / "lora_weights.pt"
    said = {"encoder": encoder, "position": position, "params": list(params)}
    save_lora(path, flat, rank=rank, alpha=alpha, **said)
    state = changed(flat, blocks, alpha / rank**0.5, config_of(clip))

    def text(names):
        rows, ends = case.embedded(
            kit.sentences("a photo of a", names), dtype=torch.float32, config=config_of(clip)
        )
        return reference.text_forward(state, rows, ends, heads=case.TEXT_HEADS)

    image = reference.image_forward(state, case.pixels(), heads=case.IMAGE_HEADS)
    return Wanted(path, text, image, {"data_name": "OxfordPets"}, backbone=clip)


def peft(folder: Path, *, scale: peft_lora.Scale, **config: Any) -> Wanted:
    """Queries and values of all blocks in both towers."""
    run = save_peft(folder, peft_lora.STATE, **config)
    state = peft_lora.changed(scale)
    image = peft_lora.expected(state)[1]
    return Wanted(run, lambda names: peft_lora.expected(state, names)[0], image)


def skiptuning(
    folder: Path, *, finetune: str = "", dataset: str = "OxfordPets", template: str,
    target: str | None = None, module: bool = False,
) -> Wanted:  # fmt: skip
    """`finetune` is the tower that is tuned, of FinetuneCLIP; else SkipTuning, of both."""
    towers = (finetune,) if finetune in ("image", "text") else ("image", "text")
    state = {k: v for k, v in new_runs.own_towers(seed=3).items() if k.startswith(towers)}
    trainer, section = ("FinetuneCLIP", "FINETUNE") if finetune else ("SkipTuning", "SKIP")
    run = kit.save(
        folder, state, model="learnable_params", trainer=trainer, settings={section: {}},
        dataset=dataset, module=module,
    )  # fmt: skip

    def sides(names):
        return plain(names, template, seed=3, tower="both" if len(towers) == 2 else towers[0])

    options = {} if target is None else {"data_name": target}
    return Wanted(run, lambda names: sides(names)[0], sides(case.NAMES)[1], options)


PETS = "a bad photo of a {}, a type of pet."
CASES = [
    Case("CLIP-LoRA", "as released", "q, k, v of all blocks", lora),
    *(Case("CLIP-LoRA", "blocks or order", f"{position} of 12 and 12",
           partial(lora, clip="twelve", position=position))
      for position in TWELVE if position != "all"),
    *(Case("CLIP-LoRA", "blocks or order", f"{position} of ViT-L/14",
           partial(lora, clip="large", position=position, images=list(blocks)))
      for position, blocks in LARGE.items()),
    *(Case("CLIP-LoRA", "blocks or order", f"{position} of ViT-L/14, before September 2024",
           partial(lora, clip="large", position=position, images=list(blocks)))
      for position, blocks in OLD_LARGE.items()),
    *(Case("CLIP-LoRA", "blocks or order", f"{encoder} alone", partial(lora, encoder=encoder))
      for encoder in ("text", "vision")),
    *(Case("CLIP-LoRA", "rank or size", f"rank {rank}, alpha {alpha}, {params}",
           partial(lora, rank=rank, alpha=alpha, params=params))
      for rank, alpha, params in ((4, 1, "qkvo"), (16, 3, "qv"), (1, 2, "o"))),
    Case("CLIP-LoRA", "template by data set", "satellite images: the same",
         partial(lora, dataset="eurosat")),
    Case("PEFT-LoRA", "as released", "q and v of all blocks", partial(peft, scale=lambda *_: 1.5)),
    Case("PEFT-LoRA", "rank or size", "rsLoRA",
         partial(peft, scale=lambda *_: 3 / 2**0.5, use_rslora=True)),
    Case("PEFT-LoRA", "rank or size", "alpha by module",
         partial(peft, scale=lambda _, name: (7 if name == "v_proj" else 3) / 2,
                 alpha_pattern={"v_proj": 7})),
    Case("SkipTuning", "as released", "pets", partial(skiptuning, template=PETS)),
    *(Case("SkipTuning", "template by data set", data,
           partial(skiptuning, dataset=data, template=template))
      for data, template in (("DescribableTextures", "itap of a {}."),
                             ("UCF101", "a photo of a {}, a type of sport."),
                             ("ImageNetSketch", "a sketch of a {}."))),
    Case("SkipTuning", "another data set", "pets to food",
         partial(skiptuning, target="Food101", template="a photo of the nice {}.")),
    Case("SkipTuning", "module. keys", "several devices",
         partial(skiptuning, template=PETS, module=True)),
    *(Case("FinetuneCLIP", "blocks or order", f"{tower} tuned",
           partial(skiptuning, finetune=tower, template=PETS))
      for tower in ("image", "text")),
    Case("FinetuneCLIP", "as released", "both towers",
         partial(skiptuning, finetune="both", template=PETS)),
]  # fmt: skip
