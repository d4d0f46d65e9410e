"""A small CLIP and runs of prompt learners on it, as their authors' code would save them."""

import functools
from pathlib import Path

import open_clip
import torch
from torch import Tensor

from ncscope.clip.prompts import class_prompts
from tests.dassl_files import log_text, save_run
from tests.learner_states import Sizes
from tests.tiny_clip import tiny_model
from tests.zoo.learners import reference

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


DEEP = {**CONFIG, "text_cfg": {**CONFIG["text_cfg"], "layers": 10}}


def state(config: dict = CONFIG) -> dict[str, Tensor]:
    """The small CLIP's weights under OpenAI's names."""
    return dict(tiny_model(config).state_dict())


def whole(state: dict[str, Tensor], *, before: str | None = None) -> dict[str, Tensor]:
    """A whole-model state with the small CLIP's towers, and prompts that begin with `before`."""
    own = towers()
    state = {**state, **{key: value for key, value in own.items() if key in state}}
    return state if before is None else prompted(state, before, prefix="prompt_learner.")


def prompted(
    state: dict[str, Tensor], before: str, *, after: str = ".", prefix: str = "", skip: int = 0
) -> dict[str, Tensor]:
    """The state with prefix and suffix of prompts that begin with `before`.

    `skip` tokens stand before the suffix; 0 takes the length of the context.
    """
    rows = prompts_of(before, after=after)
    skip = skip or state[f"{prefix}ctx"].shape[-2]
    fixed = {f"{prefix}token_prefix": rows[:, :1], f"{prefix}token_suffix": rows[:, 1 + skip :]}
    return {**state, **fixed}


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
    return _tokenizer()(texts)


@functools.cache
def _tokenizer() -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer()


def embedded(
    texts: list[str], *, dtype: torch.dtype = torch.float16, config: dict = CONFIG
) -> tuple[Tensor, list[int]]:
    """(N, 77, W) token vectors, rounded as the authors do, and the place of end-of-text."""
    ids = token_ids(texts)
    rows = state(config)["token_embedding.weight"][ids].to(dtype)
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


def reference_text(
    head: Tensor,
    before: str,
    names=NAMES,
    *,
    change=None,
    after: str = ".",
    config: dict = CONFIG,
    early: int = 0,
) -> Tensor:
    """Text features with the first tokens of "`before` name." replaced by (n, W) `head`.

    They are read `early` tokens before end-of-text.
    """
    texts = [f"{before} {text}".strip() for text in sentences(names, after)]
    rows, eot = embedded(texts, config=config)
    rows = rows.float()
    heads = head.float().expand(len(rows), -1, -1)
    rows = torch.cat([rows[:, :1], heads, rows[:, 1 + head.shape[-2] :]], dim=1)
    eot = [place - early for place in eot]
    return reference.text_forward(state(config), rows, eot, heads=TEXT_HEADS, change=change)


def reference_image(*, appended=None, change=None) -> Tensor:
    return reference.image_forward(
        state(), pixels(), heads=IMAGE_HEADS, appended=appended, change=change
    )


def matches(learner, text: Tensor, image: Tensor, *, names=NAMES) -> None:
    """Both sides agree with the reference to 1e-5 of their length."""
    assert relative(learner.text_features(names), text) < 1e-5
    assert relative(learner.image_features(pixels()), image) < 1e-5
