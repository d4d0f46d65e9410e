"""What the parity cases are made with: a case, and a run's folder as its authors' code leaves it.

The wanted features come from `tests.zoo.learners.reference`, plain passes over all 77 positions and
all tokens of an image, which share no code with the library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.clip_states import Sizes
from tests.dassl_files import log_text, save_dassl
from tests.zoo.learners import case, reference

# The columns of the table, in order
VARIATIONS = (
    "as released",
    "context length",
    "class name's place",
    "depth",
    "blocks or order",
    "rank or size",
    "fixed words",
    "template by data set",
    "log value",
    "base to new",
    "another data set",
    "single precision",
    "module. keys",
)


# Blocks of the text and the image tower of the CLIPs that cases are put on
LAYERS = {"small": (4, 4), "deep": (10, 4), "ten": (10, 10), "twelve": (12, 12), "large": (12, 24)}


def config_of(name: str) -> dict[str, Any]:
    text, vision = LAYERS[name]
    return {
        **case.CONFIG,
        "vision_cfg": {**case.CONFIG["vision_cfg"], "layers": vision},
        "text_cfg": {**case.CONFIG["text_cfg"], "layers": text},
    }


@dataclass(frozen=True, eq=False)
class Wanted:
    """A run, how it is read, and what its features are to be.

    `text` gives (K, D) for class names; None where the method has no text of its own here.
    """

    run: Path
    text: Callable[[tuple[str, ...]], Tensor] | None
    image: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: str = "small"  # a name in LAYERS
    feature: Tensor | None = None  # that conditions the text


@dataclass(frozen=True, eq=False)
class Case:
    """One setting of one method."""

    method: str
    variation: str
    detail: str
    make: Callable[[Path], Wanted]
    new: bool = True  # classes that it was not trained on are asked for, too

    @property
    def label(self) -> str:
        return f"{self.method}, {self.variation}: {self.detail}"


def save(
    folder: Path,
    state: dict[str, Tensor],
    *,
    model: str = "prompt_learner",
    module: bool = False,
    trainer: str,
    settings: Mapping[str, Mapping[str, object]],
    top: str = "",
    log: bool = True,
    dataset: str = "OxfordPets",
    subsample: str = "base",
) -> Path:
    """A run's folder with one model and, unless `log` is False, a log.txt.

    Args:
        settings: of the trainer's sections, by section.
        top: further lines of the configuration, in front of TEST.
    """
    save_dassl(folder / model / "model.pth.tar-50", state, module=module)
    if log:
        (first, values), *others = settings.items() or [("COOP", {})]
        text = log_text(
            trainer=trainer,
            section=first,
            settings=dict(values),
            dataset=dataset,
            subsample=subsample,
        )
        more = "".join(
            f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in lines.items())
            for name, lines in others
        )
        text = text.replace(f"  NAME: {trainer}\nUSE_CUDA", f"{more}  NAME: {trainer}\nUSE_CUDA")
        (folder / "log.txt").write_text(text.replace("TEST:\n", top + "TEST:\n"))
    return folder


def sizes(*, context: int = 4, depth: int = 3, half: bool = True) -> Sizes:
    return Sizes(context=context, depth=depth, half=half)


def dtype_of(own: Sizes) -> torch.dtype:
    return torch.float16 if own.half else torch.float32


def rounded(value: Tensor) -> Tensor:
    return value.half().float()


def sentences(before: str, names: tuple[str, ...], after: str = ".") -> list[str]:
    """Prompts with `_` as a space, single spaces."""
    plain = [" ".join(name.replace("_", " ").split()) for name in names]
    return [f"{before} {name}{after}".strip() for name in plain]


def embedded(texts: list[str], dtype: torch.dtype) -> tuple[Tensor, list[int]]:
    """(K, 77, W) token vectors rounded to `dtype`, and each end-of-text's place."""
    rows, ends = case.embedded(texts, dtype=dtype)
    return rows.float(), ends


def fixed(texts: list[str], own: Sizes, *, skip: int, prefix: str = "") -> dict[str, Tensor]:
    """`token_prefix` and `token_suffix` of prompts whose context has `skip` tokens."""
    rows, _ = case.embedded(texts, dtype=dtype_of(own))
    return {f"{prefix}token_prefix": rows[:, :1], f"{prefix}token_suffix": rows[:, 1 + skip :]}


def text_features(
    texts: list[str],
    head: Tensor,
    own: Sizes,
    *,
    change=None,
    beside: int = 0,
) -> Tensor:
    """(K, D): the tokens after start-of-text replaced by (n, W) or (K, n, W) `head`.

    Args:
        beside: how many tokens further the feature is read than the text's end.
    """
    rows, ends = embedded(texts, dtype_of(own))
    heads = head.float().expand(len(rows), -1, -1)
    rows = torch.cat([rows[:, :1], heads, rows[:, 1 + head.shape[-2] :]], dim=1)
    ends = [end + beside for end in ends]
    return reference.text_forward(case.state(), rows, ends, heads=case.TEXT_HEADS, change=change)


def image_features(*, appended: Tensor | None = None, change=None) -> Tensor:
    return case.reference_image(appended=appended, change=change)
