"""Gives trained towers the text cone, image cone and modality gap of real CLIP, in closed form.

A constant vector is added to every text feature and another to every image feature (`cone.py`);
here it is worked out which. What the toy shows of a cone is thus put there by hand; it did not come
from training. n samples, D embedding width.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import least_squares
from torch import Tensor


@dataclass(frozen=True)
class Geometry:
    """Mean pairwise cosine among texts and among images, of pairs, and the distance of the means.

    The defaults are those of CLIP on captions and photographs of COCO; `paired` is not aimed at.
    """

    text: float = 0.515
    image: float = 0.531
    gap: float = 0.85
    paired: float = 0.310


def measure_geometry(text: Tensor, image: Tensor) -> Geometry:
    """The geometry of (n, D) text and image features of n pairs."""
    text, image = F.normalize(text.double()), F.normalize(image.double())
    return Geometry(
        text=_mean_cosine(text),
        image=_mean_cosine(image),
        gap=(text.mean(dim=0) - image.mean(dim=0)).norm().item(),
        paired=(text * image).sum(dim=1).mean().item(),
    )


def _mean_cosine(rows: Tensor) -> float:
    count = len(rows)
    return ((rows.sum(dim=0).square().sum() - count) / (count * (count - 1))).item()


def solve_shifts(text: Tensor, image: Tensor, wanted: Geometry) -> dict[str, Tensor]:
    """The constants (D,) which, added to all texts and all images, give the wanted geometry.

    Both lie in the plane in which the features vary least, so that they disturb little.
    """
    text, image = text.double(), image.double()
    both = torch.cat([F.normalize(text), F.normalize(image)])
    plane = torch.linalg.eigh(both.T @ both).eigenvectors[:, :2]
    lengths = {"text": text.norm(dim=1).mean(), "image": image.norm(dim=1).mean()}

    def shifts(unknowns: np.ndarray) -> dict[str, Tensor]:
        text_size, image_size, angle = unknowns.tolist()
        across = math.cos(angle) * plane[:, 0] + math.sin(angle) * plane[:, 1]
        return {
            "text": text_size * lengths["text"] * plane[:, 0],
            "image": image_size * lengths["image"] * across,
        }

    def miss(unknowns: np.ndarray) -> list[float]:
        here = shifts(unknowns)
        got = measure_geometry(text + here["text"], image + here["image"])
        return [got.text - wanted.text, got.image - wanted.image, got.gap - wanted.gap]

    return shifts(least_squares(miss, np.array([0.9, 0.9, 1.2])).x)


def best_scale(text: Tensor, image: Tensor) -> float:
    """The logit scale, at most 100, with the smallest contrastive loss on n pairs."""
    cosines = F.normalize(text.float()) @ F.normalize(image.float()).T
    own = torch.arange(len(cosines))

    def loss(scale: float) -> float:
        logits = scale * cosines
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)).item()

    return min((10 * 1.03**i for i in range(79) if 10 * 1.03**i <= 100), key=loss)
