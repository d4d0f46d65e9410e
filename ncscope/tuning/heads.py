"""Methods that live in the space of features and are no prompt learner's checkpoint.

`shared-text` moves every class's text feature t, of length 1, to t + U V t + b: a change of rank r
and a shift that all classes share, so that it holds for new classes, too. It is this project's own.
`linear-probe` learns a direction a class, compared with images by CLIP's cosine and multiplier, and
begins at the class means of the training images; that of CLIP's paper is a logistic regression
with a bias instead. K classes, D width, r rank.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.data.images import ImageSet
from ncscope.features.parts import stored_rows
from ncscope.tuning.running import class_means
from ncscope.tuning.tip_cache import initial_cache, load_tip_adapter_f
from ncscope.tuning.values import Recipe
from ncscope.zoo.learners.learner import Learner, Sides, build, rows_for
from ncscope.zoo.learners.parts import plain_text, take
from ncscope.zoo.settings import Settings

_WHY = "a linear probe has a direction for each class it was trained on, and for no other"
NAMES = {
    "tip-adapter-f": "Tip-Adapter-F",
    "linear-probe": "linear probe",
    "shared-text": "shared text",
}


def load_shared_text(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner of all classes that the backbone has text features for."""
    width = backbone.width
    down = take(tensors, "shared_text.down", ("r", width), settings)
    up = take(tensors, "shared_text.up", (width, len(down)), settings)
    shift = take(tensors, "shared_text.shift", (width,), settings)
    written = plain_text(backbone, settings)

    def text(names: list[str]) -> Tensor:
        rows = F.normalize(written(names), dim=-1)
        return rows + F.linear(F.linear(rows, down), up) + shift

    return build(backbone, settings, Sides(text, facts={"rank": len(down)}))


def load_linear_probe(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner whose text features are the probe's directions."""
    rows = take(tensors, "linear_probe.weight", ("K", backbone.width), settings)

    def text(names: list[str]) -> Tensor:
        return rows_for(rows, names, settings, what=_WHY)

    return build(backbone, settings, Sides(text))


LOADERS: dict[str, Callable[[Mapping[str, Tensor], Backbone, Settings], Learner]] = {
    "tip-adapter-f": load_tip_adapter_f,
    "linear-probe": load_linear_probe,
    "shared-text": load_shared_text,
}


def initial_head(
    method: str, backbone: Backbone, images: ImageSet, *, recipe: Recipe, seed: int
) -> dict[str, Tensor]:
    """The tensors a method begins training with, float32, by their keys in a checkpoint.

    Args:
        images: the training images, as features.
    """
    width = backbone.width
    if method == "tip-adapter-f":
        return initial_cache(images)
    if method == "shared-text":
        generator = torch.Generator().manual_seed(seed)
        down = torch.randn(recipe.rank, width, generator=generator) / math.sqrt(width)
        return {
            "shared_text.down": down,
            "shared_text.up": torch.zeros(width, recipe.rank),
            "shared_text.shift": torch.zeros(width),
        }
    table = stored_rows(images)
    assert table is not None
    rows = F.normalize(table, dim=-1)
    means, _ = class_means(rows, torch.tensor(images.labels), len(images.classnames))
    return {"linear_probe.weight": F.normalize(means, dim=-1)}
