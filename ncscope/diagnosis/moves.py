"""Moves of text and images along each measure, in closed form: none of them trains anything.

A move takes what other images tell (`Seen`), the images to be moved and a step: 0 leaves all as it
is, 1 goes the whole way. It returns text and images that are not normalised; a cosine classifier
normalises them, and so does `ncscope.measure`. Nothing about the moved images' labels is used.

K classes, P of them seen, N images to be moved, D embedding width.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ncscope.metrics import centre_rows, nearest_etf, normalise_rows


@dataclass(frozen=True, eq=False)
class Seen:
    """Text (K, D), and of the seen classes (P,) their means (P, D) and the scatter within (D, D).

    `freedom` is the number of images the scatter rests on, less one a class.
    """

    text: Tensor
    present: Tensor
    means: Tensor
    scatter: Tensor
    freedom: int

    @cached_property
    def text_centre(self) -> Tensor:
        """(D,) of the seen classes, as the images' centre is."""
        return self.text[self.present].mean(dim=0)

    @cached_property
    def image_centre(self) -> Tensor:
        return self.means.mean(dim=0)

    @cached_property
    def text_frame(self) -> Tensor:
        """(K, D) the simplex nearest to the text, in the text's lengths."""
        return self._long(simplex_near(self.text))

    @cached_property
    def image_frame(self) -> Tensor:
        """(K, D) the simplex nearest to the image means; to moved text where no image is seen."""
        rows = self.text + (self.image_centre - self.text_centre)
        rows[self.present] = self.means
        return self._long(simplex_near(rows))

    @cached_property
    def own_means(self) -> Tensor:
        """(K, D) the image means in the text's lengths; the text itself where none is seen."""
        rows = self.text.clone()
        rows[self.present] = self.means
        return self._long(normalise_rows(rows))

    @cached_property
    def rotated(self) -> Tensor:
        """(K, D) text turned about its centre as near to the image means as a rotation comes."""
        turn = rotation_onto(centre_rows(self.text[self.present]), centre_rows(self.means))
        return self.text_centre + (self.text - self.text_centre) @ turn

    @cached_property
    def axes(self) -> tuple[Tensor, Tensor]:
        """Variances (D,) and directions (D, D) of the scatter within classes, regularised."""
        values, vectors = torch.linalg.eigh(regularised(self.scatter, self.freedom))
        return values.clamp_min(values[-1] * 1e-12), vectors

    def _long(self, rows: Tensor) -> Tensor:
        return rows * self.text.norm(dim=1, keepdim=True)


Moved = tuple[Tensor, Tensor]


def close_gap(seen: Seen, image: Tensor, step: float) -> Moved:
    """Both sides go half the way to the middle between their centres (Liang et al. 2022)."""
    half = (seen.text_centre - seen.image_centre) * (step / 2)
    return seen.text - half, image + half.to(image)


def centre_text(seen: Seen, image: Tensor, step: float) -> Moved:
    """The text loses its common offset."""
    return seen.text - step * seen.text_centre, image


def centre_images(seen: Seen, image: Tensor, step: float) -> Moved:
    """The images lose the mean of their class means."""
    return seen.text, image - (step * seen.image_centre).to(image)


def centre_both(seen: Seen, image: Tensor, step: float) -> Moved:
    """Each side loses its own centre: the gap goes, and raw measures become the centred ones."""
    return seen.text - step * seen.text_centre, image - (step * seen.image_centre).to(image)


def rotate_text(seen: Seen, image: Tensor, step: float) -> Moved:
    """The text goes straight to itself turned onto the image means: its own angles stay."""
    return torch.lerp(seen.text, seen.rotated, step), image


def snap_text(seen: Seen, image: Tensor, step: float) -> Moved:
    """The text goes straight to the simplex nearest to it."""
    return torch.lerp(seen.text, seen.text_frame, step), image


def snap_to_images(seen: Seen, image: Tensor, step: float) -> Moved:
    """The text goes straight to the simplex nearest to the image means."""
    return torch.lerp(seen.text, seen.image_frame, step), image


def text_to_means(seen: Seen, image: Tensor, step: float) -> Moved:
    """The text goes straight to the image means: self-duality, NC3."""
    return torch.lerp(seen.text, seen.own_means, step), image


def whiten(seen: Seen, image: Tensor, step: float) -> Moved:
    """Both sides, about their centres, times the scatter within classes to the power -step/2.

    Scaled so that the class means spread as before: what shrinks is the scatter against them.
    """
    values, vectors = seen.axes
    table = (vectors * values.pow(-step / 2)) @ vectors.T
    spread = centre_rows(seen.means)
    table = table * (spread.norm() / (spread @ table).norm())
    centres = seen.text_centre, seen.image_centre
    moved = (seen.text - centres[0]) @ table + centres[0]
    return moved, (image - centres[1].to(image)) @ table.to(image) + centres[1].to(image)


@dataclass(frozen=True)
class Move:
    """A move, what it is called, and the path in `summary` of the measure it is to bring home."""

    title: str
    target: str
    apply: Callable[[Seen, Tensor, float], Moved]


MOVES: dict[str, Move] = {
    "close_gap": Move("closing the modality gap", "modality_gap", close_gap),
    "centre_text": Move("centring the text", "delta_lcd.raw", centre_text),
    "centre_images": Move("centring the images", "etf_distance.image.raw", centre_images),
    "centre_both": Move("centring each side", "delta_mid.raw", centre_both),
    "rotate_text": Move("turning the text onto the images", "delta_mid.centred", rotate_text),
    "snap_text": Move(
        "snapping the text to the simplex nearest to it", "delta_lcd.centred", snap_text
    ),
    "snap_to_images": Move(
        "snapping the text to the simplex nearest to the images",
        "etf_distance.cross.centred",
        snap_to_images,
    ),
    "text_to_means": Move(
        "setting the text to the image class means", "delta_mid.raw", text_to_means
    ),
    "whiten": Move("whitening the scatter within classes", "nc1", whiten),
}


def simplex_near(rows: Tensor) -> Tensor:
    """Unit rows (K, D): the nearest simplex ETF, or where K > D + 1 allows none the directions of
    the nearest zero-sum tight frame, which is what comes nearest to one."""
    if rows.shape[1] >= len(rows) - 1:
        return nearest_etf(rows)
    left, _, right = torch.linalg.svd(centre_rows(rows), full_matrices=False)
    return normalise_rows(left @ right)


def rotation_onto(rows: Tensor, goal: Tensor) -> Tensor:
    """(D, D) orthogonal R with the least |rows R - goal| (Procrustes), for two (P, D) tensors.

    Where that leaves directions free they move as little as they can.
    """
    left, values, right = torch.linalg.svd(rows.T @ goal)
    rank = int((values > values[0] * 1e-10).sum())
    turn = left[:, :rank] @ right[:rank]
    if rank < len(values):
        first, _, second = torch.linalg.svd(left[:, rank:].T @ right[rank:].T)
        turn = turn + left[:, rank:] @ (first @ second) @ right[rank:]
    return turn


def regularised(scatter: Tensor, freedom: int) -> Tensor:
    """A (D, D) covariance mixed with the round one of its trace, so that few images will do.

    The share of the round one is the oracle approximating shrinkage of Chen et al. 2010.
    """
    width = len(scatter)
    level = float(scatter.trace()) / width
    square = float(scatter.square().mean())
    below = (freedom + 1) * (square - level**2 / width)
    share = 1.0 if below <= 0 or math.isnan(below) else min(1.0, (square + level**2) / below)
    return (1 - share) * scatter + share * level * torch.eye(width).to(scatter)
