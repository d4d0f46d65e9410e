"""A folder of runs as users of Dassl have it: two methods, three data sets, three seeds."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ncscope.data.known import KNOWN
from tests.dassl_files import log_text, save_run
from tests.learner_states import Sizes, coop, maple
from tests.tiny_clip import save_folder
from tests.zoo.learners import case

DATA = ("EuroSAT", "DescribableTextures", "Caltech101")
SEEDS = (1, 2, 3)
NAMES = ("apple pie", "Boeing 747", "fir", "oak_tree", "zebra_crossing")
BASE = NAMES[:3]
_IMAGES = 3
_SIZES = Sizes(classes=len(BASE))


def home(data: str) -> Path:
    """The data set's folder below the root of all, as CoOp's users have it."""
    return Path(next(known.folder for known in KNOWN if known.name == data))


def write_data(root: Path, data: str) -> None:
    """A data set of five classes in CoOp's layout, `_IMAGES` images of noise a class and part."""
    known = next(one for one in KNOWN if one.name == data)
    random = np.random.default_rng(len(data))
    rows: dict[str, list[tuple[str, int, str]]] = {}
    for part in ("train", "val", "test"):
        rows[part] = [(f"{name}/{part}{i}.png", k, name)
                      for k, name in enumerate(NAMES) for i in range(_IMAGES)]  # fmt: skip
        for path, label, _ in rows[part] if part == "test" else ():
            place = root / known.folder / known.images / path
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (32, 32, 3)) // 2 + 30 * label
            Image.fromarray(pixels.astype(np.uint8)).save(place)
    (root / known.folder / known.split_file).write_text(json.dumps(rows))


def state(method: str, seed: int) -> dict[str, Tensor]:
    """What the method saves of a run on the base classes."""
    if method == "CoOp":
        return _with_names(coop(_SIZES, seed), "X X X X", "")
    return _with_names(case.whole(maple(_SIZES, seed)), "a photo of a", "prompt_learner.")


def _with_names(found: dict[str, Tensor], before: str, prefix: str) -> dict[str, Tensor]:
    rows = case.prompts_of(before, BASE)
    return {**found, f"{prefix}token_prefix": rows[:, :1], f"{prefix}token_suffix": rows[:, 5:]}


def write_runs(top: Path, *, data: tuple[str, ...] = DATA, seeds: tuple[int, ...] = SEEDS) -> None:
    """`train_base/eurosat/shots_16/CoOp/vit_b16_ep50/seed1/prompt_learner/…` and so on."""
    for method, section, model, config in (
        ("CoOp", "COOP", "prompt_learner", "vit_b16_ep50"),
        ("MaPLe", "MAPLE", "MultiModalPromptLearner", "vit_b16_c2_ep5"),
    ):
        words = {"N_CTX": 4, "CTX_INIT": "" if method == "CoOp" else "a photo of a", "PREC": "fp16"}
        for name in data:
            for seed in seeds:
                log = log_text(
                    trainer=method, section=section, dataset=name, seed=seed, settings=words,
                    accuracy=50.0 + seed, classes=len(BASE), images=len(BASE) * _IMAGES,
                )  # fmt: skip
                folder = top / "train_base" / home(name) / "shots_16" / method / config
                save_run(folder / f"seed{seed}", state(method, seed), model=model, log=log)


def damage(top: Path) -> Path:
    """Cut the file of one run short; returns its folder."""
    [run] = top.glob("train_base/eurosat/shots_16/CoOp/*/seed2")
    file = next(run.glob("*/model.pth.tar-50"))
    file.write_bytes(file.read_bytes()[:500])
    return run


def write_all(root: Path) -> None:
    """The runs in `output/base2new`, one of them damaged, `data` and the backbone `clip`."""
    write_runs(root / "output" / "base2new")
    damage(root / "output" / "base2new")
    for name in DATA:
        write_data(root / "data", name)
    save_folder(root / "clip", config=case.CONFIG)
