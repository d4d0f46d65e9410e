"""What the methods' authors train with, recipe by recipe, and where each is published.

Read in the authors' repositories; file names are theirs. All have in common: momentum 0.9, weight
decay 0.0005 (coupled, for Adam too), a cosine over all epochs after one epoch at 1e-5, a new crop
of every picture in every epoch, Dassl's `drop_last`, prompts drawn with deviation 0.02, and the
model of the last epoch. They train in half precision, this project in single precision.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from ncscope.tuning.values import Recipe

BASE_TO_NEW, FEW_SHOT, CROSS = "base-to-new", "few-shot", "cross-data-set"
_WORDLESS = {"ctx": 0, "ctx_init": None}
_STORED = {**_WORDLESS, "views": 1, "drop_last": False}


@dataclass(frozen=True)
class Change:
    """Values that are others on some data sets (none named: on all), or with fewer shots."""

    values: dict[str, Any]
    data: tuple[str, ...] = ()
    at_least: int = 0  # shots
    below: int | None = None  # shots

    def applies(self, data: str | None, shots: int | None) -> bool:
        """Whether it holds on a known data set with that many shots; None: all there are."""
        count = float("inf") if shots is None else shots
        named = not self.data or data in self.data
        return named and self.at_least <= count and (self.below is None or count < self.below)

    @property
    def when(self) -> str:
        """Where it holds, in words."""
        shots = [f"from {self.at_least} shots on"] if self.at_least else []
        shots += [f"below {self.below} shots"] if self.below else []
        return ", ".join([*self.data, *shots])


@dataclass(frozen=True)
class Published:
    """One recipe: its method, what it is published for, its values and their source."""

    method: str
    protocols: tuple[str, ...]
    recipe: Recipe
    source: str
    shots: tuple[int, ...] = (16,)
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = field(default=())


_IMAGENET_50 = Change({"epochs": 50}, ("ImageNet",))
_FEWER = (Change({"epochs": 100}, below=8), Change({"epochs": 50}, below=2))
_ALL_SHOTS = (1, 2, 4, 8, 16)
_COOP = Recipe(0.002, 32, 200)
_PROGRAD = Recipe(0.002, 32, 100, ctx=16, ctx_pad=True)
_IVLP = Recipe(0.0035, 4, 5, ctx=2, ctx_vision=2, depth=12)
_MAPLE = Recipe(0.0035, 4, 5, ctx=2, depth=9)
_SRC = Recipe(0.0025, 4, 20, ctx=4, ctx_vision=4, depth=9)
_RN50 = "published for RN50 only: on another backbone these are RN50's values"
_KG_SHOTS = "the authors' script of this name trains on all classes of every data set"
_MPL, _PSRC = "muzairkhattak/multimodal-prompt-learning", "muzairkhattak/PromptSRC"

PUBLISHED_RECIPES: dict[str, Published] = {
    "coop-b2n": Published(
        "coop", (BASE_TO_NEW,), _COOP,
        "KaiyangZhou/CoOp: scripts/cocoop/base2new_train.sh, "
        "configs/trainers/CoOp/vit_b16_ctxv1.yaml, vit_b16_ep50_ctxv1.yaml",
        changes=(_IMAGENET_50,),
    ),
    "coop-fewshot": Published(
        "coop", (FEW_SHOT,), replace(_COOP, ctx=16, ctx_init=None),
        "KaiyangZhou/CoOp: COOP.md, scripts/coop/main.sh, "
        "configs/trainers/CoOp/vit_b16.yaml, vit_b16_ep100.yaml, vit_b16_ep50.yaml",
        _ALL_SHOTS, (*_FEWER, _IMAGENET_50),
        ("published with and without --csc, the name at the end or in the middle",),
    ),
    "coop-cross": Published(
        "coop", (CROSS,), replace(_COOP, epochs=50),
        "KaiyangZhou/CoOp: scripts/cocoop/xd_train.sh, "
        "configs/trainers/CoOp/vit_b16_ep50_ctxv1.yaml",
    ),
    "cocoop-b2n": Published(
        "cocoop", (BASE_TO_NEW, CROSS), Recipe(0.002, 1, 10),
        "KaiyangZhou/CoOp: scripts/cocoop/base2new_train.sh, xd_train.sh, "
        "configs/trainers/CoCoOp/vit_b16_c4_ep10_batch1_ctxv1.yaml",
    ),
    "kgcoop-b2n": Published(
        "kgcoop", (BASE_TO_NEW,), Recipe(0.002, 128, 100),
        "htyao89/KgCoOp: KgCoOp/scripts/base2new_train.sh, run.sh, "
        "KgCoOp/configs/trainers/KgCoOp/vit_b16_ep100_ctxv1.yaml",
    ),
    "kgcoop-fewshot": Published(
        "kgcoop", (FEW_SHOT, CROSS), Recipe(0.002, 128, 100),
        "htyao89/KgCoOp: KgCoOp/scripts/xd_train.sh, "
        "KgCoOp/configs/trainers/KgCoOp/vit_b16_ep100_ctxv1.yaml",
        (4,), notes=(_KG_SHOTS,),
    ),
    "prograd-b2n": Published(
        "prograd", (BASE_TO_NEW,), _PROGRAD,
        "BeierZhu/Prompt-align: ProGrad.public/scripts/base2new_train_prograd.sh, README.md, "
        "configs/trainers/ProGrad/rn50_ep100.yaml, rn50_ep50.yaml",
        (4,), (_IMAGENET_50,), (_RN50,),
    ),
    "prograd-fewshot": Published(
        "prograd", (FEW_SHOT,), replace(_PROGRAD, epochs=200),
        "BeierZhu/Prompt-align: ProGrad.public/README.md, scripts/prograd.sh, "
        "configs/trainers/ProGrad/rn50.yaml, rn50_ep100.yaml, rn50_ep50.yaml",
        _ALL_SHOTS,
        (
            *_FEWER,
            Change(
                {"prograd_lambda": 0.8},
                ("OxfordFlowers", "DescribableTextures", "EuroSAT"), at_least=8,
            ),
            _IMAGENET_50,
        ),
        (_RN50, "ImageNet's 50 epochs are inferred from its test script"),
    ),
    "prograd-cross": Published(
        "prograd", (CROSS,), replace(_PROGRAD, epochs=50),
        "BeierZhu/Prompt-align: ProGrad.public/scripts/eval.sh, README.md",
        (4,), notes=(_RN50,),
    ),
    "vpt-b2n": Published(
        "vpt", (BASE_TO_NEW, CROSS),
        Recipe(0.0025, 4, 5, ctx=0, ctx_vision=8, ctx_init=None, depth=12),
        f"{_MPL}: scripts/vpt/base2new_train_vpt.sh, xd_train_vpt.sh, "
        "configs/trainers/VPT/vit_b16_c2_ep5_batch4_4.yaml",
        notes=("cross-data-set: the file says 5 epochs, the test script loads epoch 2",),
    ),
    "ivlp-maple": Published(
        "ivlp", (BASE_TO_NEW, CROSS), _IVLP,
        f"{_MPL}: scripts/independent-vlp/, "
        "configs/trainers/IVLP/vit_b16_c2_ep5_batch4_2+2ctx.yaml",
        notes=("cross-data-set: the file says 5 epochs, the test script loads epoch 2",),
    ),
    "ivlp-promptsrc": Published(
        "ivlp", (BASE_TO_NEW,), _SRC,
        f"{_PSRC}: scripts/independent-vlp/base2new_train_ivlp.sh, "
        "configs/trainers/IVLP/vit_b16_c2_ep20_batch4_4+4ctx.yaml",
    ),
    "maple-b2n": Published(
        "maple", (BASE_TO_NEW,), _MAPLE,
        f"{_MPL}: scripts/maple/base2new_train_maple.sh, "
        "configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx.yaml",
    ),
    "maple-cross": Published(
        "maple", (CROSS,), replace(_MAPLE, lr=0.0026, epochs=2, depth=3),
        f"{_MPL}: scripts/maple/xd_train_maple.sh, "
        "configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx_cross_datasets.yaml",
    ),
    "promptsrc-b2n": Published(
        "promptsrc", (BASE_TO_NEW,), _SRC,
        f"{_PSRC}: scripts/promptsrc/base2new_train.sh, "
        "configs/trainers/PromptSRC/vit_b16_c2_ep20_batch4_4+4ctx.yaml",
    ),
    "promptsrc-fewshot": Published(
        "promptsrc", (FEW_SHOT,), replace(_SRC, epochs=50, gpa_mean=30.0, gpa_std=30.0),
        f"{_PSRC}: scripts/promptsrc/few_shot.sh, "
        "configs/trainers/PromptSRC/vit_b16_c2_ep50_batch4_4+4ctx_few_shot.yaml",
        _ALL_SHOTS,
        (
            Change(
                {"gpa_mean": 45.0, "gpa_std": 5.0},
                (
                    *("StanfordCars", "OxfordFlowers", "FGVCAircraft"),
                    *("DescribableTextures", "EuroSAT"),
                ),
            ),
        ),
    ),
    "promptsrc-cross": Published(
        "promptsrc", (CROSS,), replace(_SRC, depth=3, gpa_mean=6.0, gpa_std=10.0),
        f"{_PSRC}: docs/TRAIN.md, "
        "configs/trainers/PromptSRC/vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets.yaml",
    ),
    "tcp-b2n": Published(
        "tcp", (BASE_TO_NEW,), Recipe(0.002, 32, 50, "adam", ctx_init=None, adam_eps=1e-3),
        "htyao89/Textual-based_Class-aware_prompt_tuning: scripts/base2new_train.sh, README.md "
        "(Adam's eps), configs/trainers/TCP/vit_b16_ep100_ctxv1.yaml",
        changes=(Change({"epochs": 25}, ("SUN397", "ImageNet")),),
        notes=("SUN397's and ImageNet's 25 epochs are of their test line; the file says 50",),
    ),
    "taskres-fewshot": Published(
        "taskres", (FEW_SHOT,), Recipe(0.002, 256, 200, "adam", **_WORDLESS),
        "geekyutao/TaskRes: train_regular.sh, scripts/taskres/main.sh, "
        "configs/trainers/TaskRes/adam_lr2e-3_B256_ep200.yaml, adam_lr2e-3_B256_ep100.yaml, "
        "adam_lr2e-4_B256_ep200.yaml, adam_lr2e-4_B256_ep200_ViT16.yaml",
        _ALL_SHOTS,
        (
            Change({"epochs": 100}, below=8),
            Change({"lr": 0.0002}, ("ImageNet",)),
            Change({"residual_scale": 1.0}, ("OxfordFlowers",)),
        ),
        ("published for RN50, on ImageNet for ViT-B/16 too",),
    ),
    "clip-adapter-ours": Published(
        "clip-adapter", (), Recipe(1e-5, 32, 200, **_WORDLESS),
        "none: gaopengcuhk/CLIP-Adapter holds clip_adapter.py (the mixture's 0.2) and no "
        "configuration; these values are this project's",
    ),
    "tip-adapter-f-fewshot": Published(
        "tip-adapter-f", (FEW_SHOT,),
        Recipe(
            0.001, 256, 20, "adamw", **_STORED, weight_decay=0.01, adam_eps=1e-4, warmup_epochs=0
        ),
        "gaopengcuhk/Tip-Adapter: main.py, utils.py, configs/imagenet.yaml, "
        "configs/oxford_pets.yaml",
        notes=(
            "the authors average ten crops of each training image, lower the rate with every step "
            "and keep the epoch that is best on the test images; here one view, a rate an epoch, "
            "and the last epoch",
        ),
    ),
    "linear-probe-ours": Published(
        "linear-probe", (), Recipe(0.001, 256, 50, "adam", **_STORED),
        "none: cosines with directions begun at class means; these values are this project's",
    ),
    "shared-text-ours": Published(
        "shared-text", (), Recipe(0.001, 256, 50, "adam", **_STORED),
        "none: the method and these values are this project's",
    ),
}  # fmt: skip
