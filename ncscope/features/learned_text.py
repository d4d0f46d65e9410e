"""Text features of learners that have none of their own, or others for every image.

N images, C classes, D width.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import DEFAULT_TEMPLATE, PromptedClip, ZeroShot
from ncscope.data.classes import reorder_classes
from ncscope.data.images import ImageSet
from ncscope.errors import shown
from ncscope.features.cache import kept_text
from ncscope.features.forward import ImageFeatures
from ncscope.features.processes import ALONE, Spread, in_order
from ncscope.zoo.learners.learner import Learner, conditioned, folded
from ncscope.zoo.towers import NO_VOCABULARY


def in_trained_order(images: ImageSet, learner: PromptedClip) -> ImageSet:
    """The classes in the order the learner was trained on, where they are the same classes."""
    trained = learner.classnames if isinstance(learner, Learner) else None
    if [folded(name) for name in trained or ()] == [folded(name) for name in images.classnames]:
        return images  # as it is, also where two classes have one name
    place = {folded(name): i for i, name in enumerate(trained or ())}
    if place.keys() != {folded(name) for name in images.classnames}:
        return images
    order = sorted(images.classnames, key=lambda name: place[folded(name)])
    return reorder_classes(images, order)


def trained_classes(images: ImageSet, learner: PromptedClip) -> list[str]:
    """How many of the classes are those that the learner was trained on, where that is not all."""
    names = learner.classnames if isinstance(learner, Learner) else None
    if not names:
        return []
    trained, here = {folded(name) for name in names}, list(map(folded, images.classnames))
    known = [name for name, own in zip(images.classnames, here, strict=True) if own in trained]
    if set(here) == trained:
        return []
    amount = f"{len(known)} of the {len(here)}" if known else f"none of the {len(here)}"
    which = f": {shown(known)}" if 0 < len(known) < len(here) else ""
    return [f"{amount} classes here are among the {len(names)} it was trained on{which}"]


def text_before_images(
    learner: PromptedClip, classnames: Sequence[str], *, folder: Path | None = None
) -> Tensor | None:
    """Text features, or None where the learner has no text side.

    Args:
        folder: of the cache, which zero-shot features of many prompts are kept in.
    """
    if isinstance(learner, ZeroShot):
        return kept_text(learner, classnames, folder=folder)
    if isinstance(learner, Learner) and not learner.has_text:
        return None
    with torch.no_grad():
        return learner.text_features(classnames)


def text_after_images(
    learner: PromptedClip,
    text: Tensor | None,
    images: ImageSet,
    encoded: ImageFeatures,
    *,
    asked: str | None = None,
    spread: Spread = ALONE,
) -> tuple[Tensor | None, list[str]]:
    """Text features under a condition on the images, and notes on how they came.

    Args:
        text: those without a condition.
        asked: the caller's condition, for learners that are not ours; ours know theirs.
        spread: features per image are made in shares, a share a process.
    """
    if text is None:
        return None, ["the learner has no text side, so there are no text features"]
    if not isinstance(learner, Learner):
        return _of_a_stranger(learner, text, images, encoded, asked, spread)
    condition = learner.condition
    if condition is None:
        return text, []
    labels, names = torch.tensor(images.labels)[encoded.kept], list(images.classnames)
    if condition == "per-image" and len(labels) >= spread.world:
        mine = slice(spread.rank, None, spread.world)
        rows = _of_all(
            conditioned(learner, names, encoded.rows[mine], labels[mine]), encoded, spread
        )
    else:
        rows = conditioned(learner, names, encoded.rows, labels)
    part = images.part or "all"
    return rows, [
        f"prompts depend on the image: text features under condition {condition!r}"
        + ("" if condition == "none" else f", of the {len(encoded.rows)} images here (part {part})")
    ]


def _of_a_stranger(
    learner: PromptedClip,
    text: Tensor,
    images: ImageSet,
    encoded: ImageFeatures,
    asked: str | None,
    spread: Spread,
) -> tuple[Tensor, list[str]]:
    """Per image if that was asked for and the learner can (`ImageConditioned`)."""
    per_image = getattr(learner, "text_features_per_image", None)
    if asked is None or isinstance(learner, ZeroShot):
        return text, []
    if asked != "per-image" or per_image is None:
        return text, [f"condition {asked!r} has no effect on this learner"]
    few = len(encoded.rows) < spread.world  # then each does all, since it may not take none
    mine = slice(None) if few else slice(spread.rank, None, spread.world)
    with torch.no_grad():
        rows = per_image(images.classnames, encoded.rows[mine].to(learner.device))
    rows = rows if few else _of_all(rows, encoded, spread)
    return rows, ["prompts depend on the image: text features under condition 'per-image'"]


def _of_all(rows: Tensor, encoded: ImageFeatures, spread: Spread) -> Tensor:
    """The (N, C, D) text features of all images, of which each process made every world-th."""
    if spread.world == 1:
        return rows
    places = torch.arange(spread.rank, len(encoded.rows), spread.world)
    return in_order(rows.cpu(), places, spread)[0]


def frozen_text(
    learner: PromptedClip,
    clip: Backbone | None,
    classnames: Sequence[str],
    templates: Sequence[str],
    *,
    width: int,
    folder: Path | None = None,
) -> Tensor | None:
    """The backbone's own zero-shot features beside a learner's; None where they are the same.

    None, too, where the backbone has no vocabulary or another width than the learner's features.
    """
    clip = clip or getattr(learner, "backbone", None)
    if isinstance(learner, ZeroShot) or not isinstance(clip, Backbone):
        return None
    if NO_VOCABULARY in clip.description or clip.width != width:
        return None
    plain = ZeroShot(clip, tuple(templates) or (DEFAULT_TEMPLATE,))
    return kept_text(plain, classnames, folder=folder)
