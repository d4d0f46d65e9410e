"""Recipes by name: the authors' of each method and protocol, and one for the embedded toy.

`authors` is what a method's authors train for base-to-new (TaskRes: few-shot; CLIP-Adapter: nothing
is published), `authors-fewshot` and `authors-cross` what they train for those; a name such as
`coop-fewshot` says which recipe it is. The values and their sources: `published.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ncscope.errors import DataError
from ncscope.tuning.published import (
    BASE_TO_NEW,
    CROSS,
    FEW_SHOT,
    PUBLISHED_RECIPES,
    Published,
)
from ncscope.tuning.values import Recipe

# Methods of which many runs can train in one pass, and how many at most, which bounds memory.
JOINED = ("coop", "kgcoop")
MOST_JOINED = 64
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
    "residual_scale": ("taskres",),
    "adapter_ratio": ("clip-adapter",),
    "rank": ("shared-text",),
    "alpha": ("tip-adapter-f",),
    "beta": ("tip-adapter-f",),
}
# Options of what a method adds to cross-entropy, or of how its epochs are averaged
WEIGHED_BY: dict[str, tuple[str, ...]] = {
    "prograd_lambda": ("prograd",),
    "knowledge_weight": ("kgcoop", "tcp"),
    "scl_text": ("promptsrc",),
    "scl_image": ("promptsrc",),
    "scl_logits": ("promptsrc",),
    "gpa_mean": ("promptsrc",),
    "gpa_std": ("promptsrc",),
}

# Which published recipe a method's authors' is, by protocol
_AUTHORS = {
    "coop": "coop-b2n",
    "cocoop": "cocoop-b2n",
    "kgcoop": "kgcoop-b2n",
    "prograd": "prograd-b2n",
    "vpt": "vpt-b2n",
    "ivlp": "ivlp-maple",
    "maple": "maple-b2n",
    "promptsrc": "promptsrc-b2n",
    "tcp": "tcp-b2n",
    "taskres": "taskres-fewshot",
    "clip-adapter": "clip-adapter-ours",
    "tip-adapter-f": "tip-adapter-f-fewshot",
    "linear-probe": "linear-probe-ours",
    "shared-text": "shared-text-ours",
}
_FEW_SHOT = {
    **_AUTHORS,
    "coop": "coop-fewshot",
    "kgcoop": "kgcoop-fewshot",
    "prograd": "prograd-fewshot",
    "promptsrc": "promptsrc-fewshot",
}
_CROSS = {
    **_AUTHORS,
    "coop": "coop-cross",
    "kgcoop": "kgcoop-fewshot",
    "prograd": "prograd-cross",
    "maple": "maple-cross",
    "promptsrc": "promptsrc-cross",
}
IN_FORCE = {"authors": _AUTHORS, "authors-fewshot": _FEW_SHOT, "authors-cross": _CROSS}
MEANT = {"authors": BASE_TO_NEW, "authors-fewshot": FEW_SHOT, "authors-cross": CROSS}
# Methods that work behind the towers: on features that are stored, and some of them on those only
ONLY_ON_FEATURES = ("tip-adapter-f", "linear-probe", "shared-text")
ON_FEATURES = ("taskres", "clip-adapter", *ONLY_ON_FEATURES)
TEXT_FIXED = ("vpt", "clip-adapter")  # they train the image side alone
IMAGE_FIXED = (*_WRITTEN, "cocoop", "tcp", "taskres", "linear-probe", "shared-text")
METHODS = tuple(method for method in _AUTHORS if method not in ONLY_ON_FEATURES)  # on pictures
ALL_METHODS = tuple(_AUTHORS)
AUTHORS = {method: PUBLISHED_RECIPES[name].recipe for method, name in _AUTHORS.items()}

# Measured on the toy's tuning images: its camera shift takes larger steps than CLIP's domains do.
_FULL = Recipe(0.05, 0, 120, views=1, drop_last=False, warmup_epochs=0)  # all images at once
_DEEP = Recipe(0.01, 32, 15, ctx=2, depth=6, views=1, drop_last=False, warmup_epochs=0)
_TABLE = replace(_FULL, lr=0.002, optimizer="adam", ctx=0, ctx_init=None)
TOY: dict[str, Recipe] = {
    "coop": _FULL,
    "cocoop": replace(_FULL, lr=0.02, batch_size=8, epochs=6),
    "kgcoop": _FULL,
    "prograd": _FULL,
    "vpt": replace(_DEEP, ctx=0, ctx_vision=4, ctx_init=None),
    "ivlp": replace(_DEEP, ctx_vision=2),
    "maple": _DEEP,
    "promptsrc": replace(_DEEP, ctx=4, ctx_vision=4, gpa_mean=11.25, gpa_std=0.75),
    "tcp": replace(_FULL, lr=0.002, optimizer="adam"),
    "taskres": _TABLE,
    "clip-adapter": _TABLE,
    "tip-adapter-f": _TABLE,
    "linear-probe": _TABLE,
    "shared-text": _TABLE,
}

RECIPES: dict[str, dict[str, Recipe]] = {
    **{
        name: {method: PUBLISHED_RECIPES[one].recipe for method, one in named.items()}
        for name, named in IN_FORCE.items()
    },
    "toy": TOY,
    **{name: {one.method: one.recipe} for name, one in PUBLISHED_RECIPES.items()},
}


@dataclass(frozen=True)
class Taken:
    """A recipe with its own name, and what there is to say of its being used."""

    name: str
    recipe: Recipe
    source: str
    notes: tuple[str, ...] = ()


def recipe_of(
    method: str,
    name: str = "authors",
    *,
    data_name: str | None = None,
    shots: int | None = 16,
    depth_limit: int | None = None,
) -> Recipe:
    """The recipe of a method by name: one of `RECIPES`.

    Args:
        data_name: a known data set, on which some authors change values.
        shots: images of a class at most, None for all: some authors train longer on more.
        depth_limit: blocks of the smaller tower; prompts deeper than that are cut to it.

    Raises:
        DataError: an unknown method or recipe, or another method's.
    """
    return taken(method, name, data_name=data_name, shots=shots, depth_limit=depth_limit).recipe


def taken(
    method: str,
    name: str = "authors",
    *,
    data_name: str | None = None,
    shots: int | None = 16,
    depth_limit: int | None = None,
) -> Taken:
    """As `recipe_of`, with the recipe's own name and where it departs from what was asked for."""
    if method not in ALL_METHODS:
        raise DataError(f"`method` is {method!r}; expected one of {', '.join(ALL_METHODS)}")
    if name not in RECIPES:
        raise DataError(f"`recipe` is {name!r}; expected one of {', '.join(RECIPES)}")
    if method not in RECIPES[name]:
        own = [known for known, recipes in RECIPES.items() if method in recipes]
        raise DataError(
            f"`recipe` is {name!r}, of {PUBLISHED_RECIPES[name].method}; expected one of {method}: "
            f"{', '.join(own)}"
        )
    own_name = IN_FORCE[name][method] if name in IN_FORCE else name
    found, recipe, notes = PUBLISHED_RECIPES.get(own_name), RECIPES[name][method], ()
    if found is not None:
        for change in found.changes:
            if change.applies(data_name, shots):
                recipe = replace(recipe, **change.values)
        notes = _notes(own_name, found, meant=MEANT.get(name), shots=shots)
    if depth_limit is not None and recipe.depth > depth_limit:
        less = f"prompts in {depth_limit} blocks, all that there are, and its authors have"
        notes = (*notes, f"recipe {own_name}: {less} {recipe.depth}")
        recipe = replace(recipe, depth=depth_limit)
    return Taken(own_name, recipe, found.source if found else "this project's", notes)


def _notes(name: str, found: Published, *, meant: str | None, shots: int | None) -> tuple[str, ...]:
    """What of a published recipe is not what was asked for, or is not certain."""
    said = list(found.notes)
    if not found.protocols:
        said.append(f"nothing is published ({found.source})")
    elif meant is not None and meant not in found.protocols:
        said.append(f"no recipe for {meant} is published; this one is for {found.protocols[0]}")
    if found.protocols and shots not in found.shots:
        known = ", ".join(map(str, found.shots))
        had = "all images" if shots is None else f"{shots} shots"
        said.append(f"published for {known} shots, and this run has {had}")
    return tuple(f"recipe {name}: {one}" for one in said)


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Of an epoch from 0: `warmup_lr` first, then a cosine from `lr` that ends near zero.

    As Dassl's schedule: the cosine has the length of all epochs but begins after the warm-up.
    """
    after = epoch - recipe.warmup_epochs
    if after < 0:
        return recipe.warmup_lr
    return 0.5 * recipe.lr * (1 + math.cos(math.pi * after / recipe.epochs))


def check_data(method: str, on_features: bool | None) -> None:
    """Refuse a method that needs pictures where there are features, and the other way round.

    Args:
        on_features: whether the data are; None where that is not known yet.

    Raises:
        DataError: names what would do.
    """
    if on_features is False and method in ONLY_ON_FEATURES:
        raise DataError(
            f"{method} is trained on features, and `data` is of images; expected a feature file "
            f"with image_train, label_train, image_test, label_test and text"
        )
    if on_features and method not in ON_FEATURES:
        raise DataError(
            f"{method} needs the towers, and `data` is features of images; expected one of "
            f"{', '.join(ON_FEATURES)}, or images as data"
        )


def check_applies(method: str, said: Mapping[str, object]) -> None:
    """Refuse an option that the method does not have.

    Args:
        method: its name, or a checkpoint, whose prompts are as they are; what its method weighs is
            checked when it is known.
        said: options by name; None and False are not said.

    Raises:
        DataError: names the option and the methods that have it.
    """
    for name, methods in {**TAKEN_BY, **WEIGHED_BY}.items():
        value = said.get(name)
        if value is None or value is False or method in methods:  # a weight of 0 is said
            continue
        if method in ALL_METHODS:
            raise DataError(f"`{name}` has no effect on {method}; it is for {', '.join(methods)}")
        if name in TAKEN_BY:
            raise DataError(
                f"`{name}` has no effect on {method!r}: no method has this name, and a "
                f"checkpoint's prompts are as they are"
            )
