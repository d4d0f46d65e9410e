"""What all loaded learners have in common: a backbone, and two functions that give features.

Where prompts depend on the image, text features are given under a named condition.
N images, B of a batch, K classes, D embedding width.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ncscope.clip.backbone import Backbone, state_digest
from ncscope.errors import CheckpointError, DataError, shown
from ncscope.zoo.settings import Settings

CLASSES_AT_ONCE = 1000  # bounds memory
CONDITIONS = ("mean", "class", "none", "per-image")


@dataclass(frozen=True, eq=False)
class Learner:
    """A prompt learner read from a checkpoint; satisfies `ncscope.clip.prompts.PromptedClip`.

    `classnames` are those it was trained on, None where neither the file nor an option tells.
    """

    backbone: Backbone
    description: dict[str, Any]
    image_parts: Mapping[str, Tensor]  # learned tensors that image features depend on
    logit_scale: Tensor  # ()
    classnames: tuple[str, ...] | None
    encode_names: Callable[[list[str]], Tensor]
    encode_pixels: Callable[[Tensor], Tensor]
    from_backbone: Callable[[Tensor], Tensor] | None  # image features from the backbone's own ones
    condition: str | None = None  # how text features depend on images, where they do
    by_feature: Callable[[list[str], Tensor], Tensor] | None = None
    has_text: bool = True  # False: `text_features` refuses, and only image measures are possible
    extra_logits: Callable[[Tensor], Tensor] | None = None  # of (N, D), added to the cosine's
    by_rule: Callable[..., dict[str, Any] | None] | None = None  # `zoo/decision.py`

    @property
    def image_digest(self) -> str:
        """Changes with whatever changes image features."""
        if self.from_backbone is not None and not self.image_parts:
            return self.backbone.image_digest
        parts = {name: value.detach().cpu() for name, value in self.image_parts.items()}
        known = {"method": self.description["method"], "backbone": self.backbone.image_digest}
        return state_digest(known, parts)

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        return self.backbone.preprocess

    @torch.inference_mode()
    def text_features(self, classnames: Sequence[str]) -> Tensor:
        """(K, D), one row a class."""
        if not classnames:
            raise DataError("`classnames` is empty; expected at least one class")
        names = list(classnames)
        starts = range(0, len(names), CLASSES_AT_ONCE)
        return torch.cat([self.encode_names(names[i : i + CLASSES_AT_ONCE]) for i in starts])

    @torch.inference_mode()
    def image_features(self, pixels: Tensor) -> Tensor:
        """(B, D)."""
        return self.encode_pixels(pixels)


@dataclass(frozen=True, eq=False)
class Sides:
    """What a method makes of a backbone.

    `image` None is the backbone's own tower, followed by `adapter` where there is one;
    `image_parts` are the learned tensors that either depends on; `facts` go into the description;
    `logit_scale` None is the backbone's.
    """

    text: Callable[[list[str]], Tensor]  # class names to (K, D)
    image: Callable[[Tensor], Tensor] | None = None  # pixels to (B, D)
    image_parts: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    logit_scale: float | None = None
    condition: str | None = None
    by_feature: Callable[[list[str], Tensor], Tensor] | None = None
    has_text: bool = True
    warnings: Sequence[str] = ()
    adapter: Callable[[Tensor], Tensor] | None = None  # of (B, D) backbone features
    extra_logits: Callable[[Tensor], Tensor] | None = None  # as of `Learner`


def build(backbone: Backbone, settings: Settings, sides: Sides) -> Learner:
    """Put a learner together."""
    adapt = sides.adapter or (lambda features: features)
    given = sides.logit_scale
    scale = backbone.logit_scale if given is None else torch.tensor(float(given))
    warnings = [*backbone.description["warnings"], *settings.warnings, *sides.warnings]
    return Learner(
        backbone=backbone,
        description={
            "method": settings.method,
            "checkpoint": settings.where,
            **sides.facts,
            "run": dict(settings.run),
            "settings_from": dict(settings.origins),
            "backbone": backbone.description,
            "warnings": warnings,
        },
        image_parts=sides.image_parts,
        logit_scale=scale,
        classnames=settings.classnames,
        encode_names=sides.text,
        encode_pixels=sides.image or (lambda pixels: adapt(backbone.encode_image(pixels))),
        from_backbone=None if sides.image is not None else adapt,
        condition=sides.condition,
        by_feature=sides.by_feature,
        has_text=sides.has_text,
        extra_logits=sides.extra_logits,
    )


@torch.inference_mode()
def conditioned(
    learner: Learner, classnames: list[str], image_features: Tensor, labels: Tensor
) -> Tensor:
    """Text features as `learner.condition` says.

    `mean`: prompts shifted by the mean direction of all images; `class`: each class by the mean
    direction of its own; `none`: not shifted; `per-image`: every image has features of its own.

    Args:
        image_features: (N, D) that the prompts are conditioned on, of training images as a rule.
        labels: (N,) in 0..K-1, or -1 for no class.

    Returns:
        (K, D), or (N, K, D) per image.

    Raises:
        DataError: no images, or for `class` a class without any.
    """
    if learner.by_feature is None or learner.condition in (None, "none"):
        return learner.text_features(classnames)
    if not len(image_features):
        raise DataError(f"condition {learner.condition!r} needs image features; there are none")
    directions = F.normalize(image_features.to(learner.device), dim=-1)
    if learner.condition == "per-image":
        return learner.by_feature(classnames, directions)
    if learner.condition == "mean":
        return learner.by_feature(classnames, directions.mean(dim=0, keepdim=True))[0]
    return _by_class(learner, classnames, directions, labels.to(learner.device))


def _by_class(
    learner: Learner, classnames: list[str], directions: Tensor, labels: Tensor
) -> Tensor:
    """Each class under the mean direction of its own images."""
    assert learner.by_feature is not None
    rows = []
    for k, name in enumerate(classnames):
        own = directions[labels == k]
        if not len(own):
            raise DataError(
                f"condition 'class' needs an image of every class; {name!r} has none; use "
                f"--condition mean"
            )
        rows.append(learner.by_feature([name], own.mean(dim=0, keepdim=True))[0])
    return torch.cat(rows)


def rows_of(names: Sequence[str], settings: Settings, *, count: int, what: str) -> list[int]:
    """Rows of training classes in the file, found by name; case and `_` do not matter.

    Args:
        count: classes in the file.
        what: why no other class will do, for the message.

    Raises:
        CheckpointError: a class that is not among the training classes, or these are unknown; of
            several that share a name only some are asked for.
    """
    known = settings.classnames
    if known is None:
        raise CheckpointError(
            f"{settings.where}: {what}, and the file does not hold their names; give a file of "
            f"{count} class names in the checkpoint's order: --classnames FILE"
        )
    if len(known) != count:
        raise CheckpointError(
            f"{settings.where}: {count} classes in the file and {len(known)} class names; expected "
            f"one a class, in the checkpoint's order"
        )
    place: dict[str, list[int]] = {}
    for row, name in enumerate(known):
        place.setdefault(folded(name), []).append(row)
    unknown = [name for name in names if folded(name) not in place]
    if unknown:
        wanted, trained = (shown(list(map(repr, each))) for each in (unknown, known))
        raise CheckpointError(
            f"{settings.where}: {what}, so there are no text features for {wanted}; it was trained "
            f"on {trained}"
        )
    keys = [folded(name) for name in names]
    for name, key in zip(names, keys, strict=True):
        if 1 < len(place[key]) != keys.count(key):
            raise CheckpointError(
                f"{settings.where}: {len(place[key])} training classes are called {name!r} and "
                f"{keys.count(key)} of those asked for; expected all of them, or none"
            )
    turns = {key: itertools.cycle(rows) for key, rows in place.items()}
    return [next(turns[key]) for key in keys]


def rows_for(table: Tensor, names: Sequence[str], settings: Settings, *, what: str) -> Tensor:
    """The rows of a (C, ...) table for these classes, found once: `rows_of` says how."""
    count, device = len(table), table.device
    index = settings.once(
        ("rows", settings.classnames, count, device, *names),
        lambda: torch.tensor(rows_of(names, settings, count=count, what=what), device=device),
    )
    return table[index]


def folded(name: str) -> str:
    """Recovered names may differ from the original in spaces: tokens do not tell them."""
    return re.sub(r"[\s_]+", "", unicodedata.normalize("NFC", name).casefold())
