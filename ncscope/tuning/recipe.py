"""How each method is trained: the authors' recipes, and one for the embedded toy.

Authors' values are those of their published configurations for ViT-B/16, 16 shots, base-to-new or
cross-dataset (and domain generalisation); all of them use momentum 0.9, weight decay 0.0005, a
cosine schedule and one epoch at 1e-5 first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ncscope.errors import DataError

# Methods of which many runs can train in one pass, and how many at most, which bounds memory.
JOINED = ("coop", "kgcoop")
MOST_JOINED = 64
_EACH = "online"
_WRITTEN = ("coop", "kgcoop", "prograd")
_WITH_DEPTH = ("ivlp", "maple", "promptsrc")
_TEXT = (*_WRITTEN, "cocoop", "tcp", *_WITH_DEPTH)
# Options of a prompt, and the methods that have them: none is passed over in silence.
TAKEN_BY: dict[str, tuple[str, ...]] = {
    "ctx": _TEXT,
    "ctx_init": _TEXT,
    "ctx_vision": ("vpt", "ivlp", "promptsrc"),
    "depth": ("vpt", *_WITH_DEPTH),
    "csc": _WRITTEN,
    "class_token_position": _WRITTEN,
}


@dataclass(frozen=True)
class Recipe:
    """What training depends on beside data, seed and objective.

    `batch_size` 0 is all images at once. `views` is the number of augmented versions of a picture
    that are kept (1: the centre crop), or `online` for a new one every epoch, the authors' way.
    `ctx` counts text tokens, `ctx_vision` image tokens; `depth` counts blocks with prompts of their
    own. `ctx_init` None draws the context at random. `gpa` is of PromptSRC: mean and deviation, in
    epochs of 20, of the Gaussian that weighs the states of its epochs.
    """

    lr: float
    batch_size: int
    epochs: int
    optimizer: str = "sgd"
    ctx: int = 4
    ctx_vision: int = 0
    ctx_init: str | None = "a photo of a"
    depth: int = 1
    csc: bool = False
    class_token_position: str = "end"
    views: int | str = 4
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    gpa: tuple[float, float] = (15.0, 1.0)

    @property
    def words(self) -> list[str]:
        """The words that the context begins as; none where it is drawn at random."""
        return (self.ctx_init or "").replace("_", " ").split()


AUTHORS: dict[str, Recipe] = {
    "coop": Recipe(0.002, 32, 50, ctx=16, ctx_init=None),
    "cocoop": Recipe(0.002, 1, 10),
    "kgcoop": Recipe(0.002, 128, 100),
    "prograd": Recipe(0.002, 32, 100, ctx=16, ctx_init=None),
    "vpt": Recipe(0.0025, 4, 5, ctx=0, ctx_vision=8, ctx_init=None, depth=12, views=_EACH),
    "ivlp": Recipe(0.0025, 4, 5, ctx=2, ctx_vision=2, depth=9, views=_EACH),
    "maple": Recipe(0.0035, 4, 5, ctx=2, depth=9, views=_EACH),
    "promptsrc": Recipe(0.0025, 4, 20, ctx=4, ctx_vision=4, depth=9, views=_EACH),
    "tcp": Recipe(0.002, 32, 50, "adam"),
    "taskres": Recipe(0.002, 256, 100, "adam", ctx=0, ctx_init=None),
    "clip-adapter": Recipe(1e-5, 32, 200, ctx=0, ctx_init=None),
}

# Trained on all classes for other data sets: MaPLe's and PromptSRC's authors say other values.
AUTHORS_CROSS = {
    **AUTHORS,
    "maple": replace(AUTHORS["maple"], lr=0.0026, epochs=2, depth=3),
    "promptsrc": replace(AUTHORS["promptsrc"], depth=3, gpa=(6.0, 10.0)),
}

# Measured on the toy's tuning images: its camera shift takes larger steps than CLIP's domains do.
_FULL = Recipe(0.05, 0, 120, views=1, warmup_epochs=0)  # all images at once
_DEEP = Recipe(0.01, 32, 15, ctx=2, depth=6, views=1, warmup_epochs=0)
_TABLE = replace(_FULL, lr=0.002, optimizer="adam", ctx=0, ctx_init=None)
TOY: dict[str, Recipe] = {
    "coop": _FULL,
    "cocoop": replace(_FULL, lr=0.02, batch_size=8, epochs=6),
    "kgcoop": _FULL,
    "prograd": _FULL,
    "vpt": replace(_DEEP, ctx=0, ctx_vision=4, ctx_init=None),
    "ivlp": replace(_DEEP, ctx_vision=2),
    "maple": _DEEP,
    "promptsrc": replace(_DEEP, ctx=4, ctx_vision=4),
    "tcp": replace(_FULL, lr=0.002, optimizer="adam"),
    "taskres": _TABLE,
    "clip-adapter": _TABLE,
}

RECIPES = {"authors": AUTHORS, "authors-cross": AUTHORS_CROSS, "toy": TOY}
METHODS = tuple(AUTHORS)


def recipe_of(method: str, name: str = "authors", *, depth_limit: int | None = None) -> Recipe:
    """The recipe of a method by name: `authors` (base-to-new), `authors-cross` or `toy`.

    Args:
        depth_limit: blocks of the smaller tower; prompts deeper than that are cut to it.

    Raises:
        DataError: an unknown method or recipe.
    """
    if method not in METHODS:
        raise DataError(f"`method` is {method!r}; expected one of {', '.join(METHODS)}")
    if name not in RECIPES:
        raise DataError(f"`recipe` is {name!r}; expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name][method]
    if depth_limit is not None and recipe.depth > depth_limit:
        return replace(recipe, depth=depth_limit)
    return recipe


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Of an epoch from 0: `warmup_lr` first, then a cosine from `lr` that ends near zero.

    As Dassl's schedule: the cosine has the length of all epochs but begins after the warm-up.
    """
    after = epoch - recipe.warmup_epochs
    if after < 0:
        return recipe.warmup_lr
    return 0.5 * recipe.lr * (1 + math.cos(math.pi * after / recipe.epochs))


def check_applies(method: str, said: Mapping[str, object]) -> None:
    """Refuse an option that the method does not have.

    Args:
        method: its name, or a checkpoint, whose prompts are as they are.
        said: options by name; None and False are not said.

    Raises:
        DataError: names the option and the methods that have it.
    """
    for name, methods in TAKEN_BY.items():
        if said.get(name) in (None, False) or method in methods:
            continue
        if method not in METHODS:
            raise DataError(
                f"`{name}` has no effect on {method!r}: no method has this name, and a "
                f"checkpoint's prompts are as they are"
            )
        raise DataError(f"`{name}` has no effect on {method}; it is for {', '.join(methods)}")
