"""A small CLIP and runs of prompt learners on it, as their authors' code would save them."""

from pathlib import Path

import open_clip
import torch
from torch import Tensor

from ncscope.zoo.prompts import class_prompts
from tests.dassl_files import log_text, save_run
from tests.learner_states import Sizes
from tests.tiny_clip import tiny_model

SIZES = Sizes()
CONFIG = {
    "embed_dim": SIZES.embed,
    "vision_cfg": {
        "layers": SIZES.layers, "width": SIZES.vision, "patch_size": SIZES.patch,
        "image_size": SIZES.patch * SIZES.grid,
    },
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": SIZES.text, "heads": 1,
        "layers": SIZES.layers,
    },
}  # fmt: skip
TEXT_HEADS, IMAGE_HEADS = 1, 2
NAMES = ("cat", "grey_seal", "oak  tree", "st. bernard", "7_spot ladybird")
NEW = ("sea otter", "bus")


def state() -> dict[str, Tensor]:
    """The small CLIP's weights under OpenAI's names."""
    return dict(tiny_model(CONFIG).state_dict())


def towers() -> dict[str, Tensor]:
    """The same under the names of whole-model files, without the token embedding."""
    named: dict[str, Tensor] = {}
    for key, value in state().items():
        if key.startswith("visual."):
            named["image_encoder." + key.removeprefix("visual.")] = value.clone()
        elif key == "logit_scale":
            named[key] = value.clone()
        elif key != "token_embedding.weight":
            named["text_encoder." + key] = value.clone()
    return named


def token_ids(texts: list[str]) -> Tensor:
    return open_clip.SimpleTokenizer()(texts)


def embedded(texts: list[str], *, dtype: torch.dtype = torch.float16) -> tuple[Tensor, list[int]]:
    """(N, 77, W) token vectors, rounded as the authors do, and the place of end-of-text."""
    ids = token_ids(texts)
    rows = state()["token_embedding.weight"][ids].to(dtype)
    return rows, [row.tolist().index(49407) for row in ids]


def prompts_of(before: str, names=NAMES, after: str = ".") -> Tensor:
    """(C, 77, W) half-precision prompts for a file's prefix and suffix."""
    return embedded([f"{before} {text}".strip() for text in sentences(names, after)])[0]


def sentences(names, after: str = ".") -> list[str]:
    return class_prompts(list(names), "{}" + after)


def pixels(count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    size = SIZES.patch * SIZES.grid
    return torch.randn(count, 3, size, size, generator=generator)


def save(
    folder: Path, state: dict[str, Tensor], *, model: str = "prompt_learner", **log: object
) -> Path:
    """A run's folder with a log.txt; `log` as for `log_text`, `log=None` for none."""
    text = None if log.get("log", "") is None else log_text(**log)  # pyright: ignore
    save_run(folder, state, model=model, log=text)
    return folder


def relative(got: Tensor, wanted: Tensor) -> float:
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    return ((got - wanted).norm() / wanted.norm()).item()
