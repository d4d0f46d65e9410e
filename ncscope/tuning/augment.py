"""The authors' augmentation: a random resized crop and a flip, the same for the same seed.

Dassl's `random_resized_crop` and `random_flip`, with torchvision's distribution of crops.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ncscope.clip.backbone import Backbone
from ncscope.clip.pixels import InferenceTransform, colours_of, normalised
from ncscope.data.images import ImageSet
from ncscope.errors import DataError

_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


@dataclass(frozen=True, eq=False)
class PixelSource:
    """Image i of a set as pixels: the centre crop, or a view that seed, view and i decide."""

    backbone: Backbone
    images: ImageSet
    seed: int
    plain: bool = False

    def __call__(self, row: int, view: int) -> Tensor:
        return self.finished(self.shown(row, view))

    def shown(self, row: int, view: int) -> Tensor:
        """(3, S, S) uint8; what the tower wants where its transform is none of CLIP's kind."""
        image, change = self.images.load(row), self.backbone.preprocess
        if not self.plain:
            return augment_for(self.backbone).colours(image, (self.seed, view, row))
        return change.colours(image) if isinstance(change, InferenceTransform) else change(image)

    def finished(self, shown: Tensor) -> Tensor:
        """(..., 3, S, S) of `shown`, on whatever device, as the tower wants them."""
        change = self.backbone.preprocess
        if self.plain:
            return change.finished(shown) if isinstance(change, InferenceTransform) else shown
        return augment_for(self.backbone).finished(shown)


@dataclass(frozen=True)
class Augment:
    """An RGB image and a seed to (3, S, S) pixels, normalised as the backbone wants them."""

    size: int  # S
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, image: Image.Image, seed: tuple[int, ...]) -> Tensor:
        return self.finished(self.colours(image, seed))

    def finished(self, colours: Tensor) -> Tensor:
        """(..., 3, S, S) of `colours`, normalised."""
        return normalised(colours, self.mean, self.std)

    def colours(self, image: Image.Image, seed: tuple[int, ...]) -> Tensor:
        """The same as (3, S, S) uint8, before they are normalised."""
        draw = np.random.default_rng(seed)
        box = crop_box(*image.size, draw)
        side = (self.size, self.size)
        # cut out first, as torchvision does: no pixel beside the box has a part in the edges
        image = image.crop(box).resize(side, Image.Resampling.BICUBIC)
        if draw.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return colours_of(image)


def augment_for(backbone: Backbone) -> Augment:
    """The augmentation that ends in the backbone's image size and normalisation."""
    said = backbone.description["preprocess"]
    return Augment(backbone.image_size, tuple(said["mean"]), tuple(said["std"]))


def crop_box(
    width: int, height: int, draw: np.random.Generator
) -> tuple[float, float, float, float]:
    """A crop of 8 to 100 % of the area with sides of 3:4 to 4:3, else the largest in the middle."""
    for _ in range(_TRIES):
        area = width * height * draw.uniform(*_AREA)
        ratio = math.exp(draw.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left = int(draw.integers(0, width - w + 1))
            top = int(draw.integers(0, height - h + 1))
            return left, top, left + w, top + h
    w = min(width, round(height * _RATIO[1]))
    h = min(height, round(width / _RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


@dataclass(frozen=True, eq=False)
class Views(Dataset[Tensor | DataError]):
    """A view of an image by (image, view), for torch's loader, or why there is none: what a process
    of the loader raises would come with its stack."""

    source: PixelSource

    def __getitem__(self, index: tuple[int, int]) -> Tensor | DataError:
        try:
            return self.source.shown(*index)
        except DataError as error:
            return error


def stacked(views: list[Tensor | DataError]) -> Tensor | DataError:
    """(B, 3, S, S) as they are shown, or the first refusal."""
    pixels = [view for view in views if isinstance(view, Tensor)]
    refused = [view for view in views if not isinstance(view, Tensor)]
    return refused[0] if refused else torch.stack(pixels)
