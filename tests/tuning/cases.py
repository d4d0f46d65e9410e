"""A few painted images, and the setting of a training step on them with a small CLIP."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from ncscope.tuning.forms import Objective
from ncscope.tuning.initial import depth_limit
from ncscope.tuning.inputs import feature_inputs
from ncscope.tuning.losses import WITH_FROZEN_IMAGES, WITH_FROZEN_TEXT
from ncscope.tuning.npt import NPTLoss
from ncscope.tuning.pixels import pixel_inputs
from ncscope.tuning.recipe import Recipe, recipe_of
from ncscope.tuning.step import Frozen, Setting, new_loss
from ncscope.tuning.trainee import new_trainee

NAMES = ("cat", "grey_seal", "oak tree")


@dataclass(frozen=True)
class Painted:
    """Image i: noise of its own, wider than high."""

    width: int = 60
    height: int = 40

    def __call__(self, row: int) -> Image.Image:
        draw = np.random.default_rng(row)
        pixels = draw.integers(0, 256, (self.height, self.width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)


class Unreadable(Painted):
    """Image 2 is broken."""

    def __call__(self, row: int) -> Image.Image:
        if row == 2:
            raise DataError("2.png: cannot be read")
        return super().__call__(row)


def painted(counts: tuple[int, ...] = (4, 3, 1), names: tuple[str, ...] = NAMES) -> ImageSet:
    """So many images of each class."""
    labels = tuple(k for k, count in enumerate(counts) for _ in range(count))
    items = tuple(f"{i}.png" for i in range(len(labels)))
    return ImageSet("painted", names, labels, items, digest=str(counts), load=Painted())


def short_recipe(method: str, backbone: Backbone) -> Recipe:
    """The authors', on images as they are."""
    return replace(recipe_of(method, depth_limit=depth_limit(backbone)), views=1)


def setting(
    method: str,
    backbone: Backbone,
    *,
    objective: Objective | None = None,
    images: ImageSet | None = None,
    recipe: Recipe | None = None,
    accumulate: int = 1,
    loss: str = "ce",
) -> Setting:
    """What a step of `method` needs, with random tensors where it begins at zero."""
    images, recipe = images or painted(), recipe or short_recipe(method, backbone)
    trainee = new_trainee(method, backbone, images.classnames, recipe=recipe, seed=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for leaf in trainee.trained.values():
            size = 0.02 if leaf.ndim > 1 else 0.5  # biases: few of a small network's units are off
            leaf += size * torch.randn(leaf.shape, generator=generator)
    frozen = feature_inputs(backbone, images, views=recipe.views, seed=3, epochs=2)
    free = trainee.learner().from_backbone is not None
    inputs = frozen if free else pixel_inputs(backbone, images, views=recipe.views, seed=3)
    written = ZeroShot(backbone).text_features(images.classnames).clone()
    return Setting(
        trainee=trainee,
        inputs=inputs,
        objective=objective or Objective(),
        counts=torch.bincount(torch.tensor(images.labels)),
        classnames=images.classnames,
        frozen=Frozen(
            text=written if method in WITH_FROZEN_TEXT else None,
            images=frozen if method in WITH_FROZEN_IMAGES else None,
        ),
        loss=loss,
        accumulate=accumulate,
    )


def fresh(of: Setting) -> NPTLoss:
    """The terms that have seen nothing."""
    return new_loss(of)


def changed(recipe: Recipe, name: str, value: int) -> Recipe:
    """The recipe with one value another."""
    return replace(recipe, **{name: value})  # pyright: ignore[reportArgumentType]
