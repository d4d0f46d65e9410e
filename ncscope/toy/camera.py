"""A task's own camera: one systematic change of all its pictures, which makes the task hard.

Every task looks through a camera that pretraining never saw: hue, tint, contrast, brightness,
a pattern over the picture, perhaps blur. All its pictures share it, so it is a shift that prompt
tuning can learn, unlike noise, which leaves nothing to learn. N scenes, P pixels a side.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ncscope.toy.seeds import stream
from ncscope.toy.styles import window
from ncscope.toy.surfaces import noise_bank
from ncscope.toy.world import Scenes

_OVERLAYS = ("lines", "vignette", "diagonals", "none")


@dataclass(frozen=True, eq=False)
class Camera:
    """Changes pictures (N, P, P, 3) in about 0..1: the same change for all, then little noise."""

    matrix: Tensor  # (3, 3), RGB row vectors are multiplied by it
    offset: Tensor  # (3,)
    overlay: str
    depth: float  # of the overlay
    blur: float  # share of the 3 x 3 mean

    def __call__(self, pictures: Tensor, scenes: Scenes) -> Tensor:
        """Take the pictures; what is random in it follows from the scenes."""
        pictures = pictures @ self.matrix + self.offset
        pixels = pictures.shape[1]
        pictures = pictures * (1 - self.depth * _pattern(self.overlay, pixels)).unsqueeze(-1)
        if self.blur > 0:
            planes = pictures.permute(0, 3, 1, 2)
            padded = torch.nn.functional.pad(planes, (1, 1, 1, 1), mode="replicate")
            mean = torch.nn.functional.avg_pool2d(padded, 3, stride=1).permute(0, 2, 3, 1)
            pictures = torch.lerp(pictures, mean, self.blur)
        _cover_a_square(pictures, scenes)
        level = 0.02 + 0.03 * _column(scenes, "noise_level")
        noise = torch.from_numpy(noise_bank()).view(-1, 3)[window(scenes, "tile", pixels)]
        return pictures + level.view(-1, 1, 1, 1) * noise


def camera_of(task: str, strength: float) -> Camera:
    """The camera of a task by its name, at a strength: 0 changes nothing systematic, 1 much."""
    draw = stream("world", "camera", task).random(8)
    sign = 1 if draw[0] < 0.5 else -1
    turn = sign * 0.55 * strength * (0.6 + 0.4 * draw[1])
    tint = 1 + 0.35 * strength * (draw[2:5] - 0.5)
    contrast = 1 - 0.30 * min(strength, 2.5) * draw[5]
    brightness = 0.25 * strength * (draw[6] - 0.5)
    matrix = _hue_rotation(turn) * torch.from_numpy(tint).float() * contrast
    overlay = _OVERLAYS[int(draw[7] * 4)]
    blurred = stream("world", "blur", task).random() < 0.5
    return Camera(
        matrix=matrix,
        offset=torch.full((3,), 0.5 * (1 - contrast) + brightness),
        overlay=overlay,
        depth=0.14 * strength,
        blur=min(0.8 * strength, 1.0) if blurred else 0.0,
    )


def _hue_rotation(angle: float) -> Tensor:
    """(3, 3): colours turned about the grey axis, in radians; greys stay."""
    axis = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return math.cos(angle) * (torch.eye(3) - axis) + axis + math.sin(angle) * cross


def _pattern(overlay: str, pixels: int) -> Tensor:
    """How dark the overlay is at each pixel, (P, P) in 0..2."""
    axis = torch.linspace(-1, 1, pixels)
    place = torch.arange(pixels)
    if overlay == "lines":
        return (place % 3 == 0).float().mul(2).view(-1, 1).expand(pixels, pixels)
    if overlay == "diagonals":
        return ((place.view(-1, 1) + place) % 5 == 0).float() * 2
    if overlay == "vignette":
        return axis.square().view(-1, 1) + axis.square()
    return torch.zeros(pixels, pixels)


def _cover_a_square(pictures: Tensor, scenes: Scenes) -> None:
    """In one picture in five, a small grey square somewhere, in place."""
    pixels = pictures.shape[1]
    for i in np.flatnonzero(scenes.chance("square") < 0.2):
        size = 4 + int(scenes.chance("square_size")[i] * 6)
        x, y = (int(scenes.chance(f"square_{a}")[i] * (pixels - size)) for a in "xy")
        pictures[i, y : y + size, x : x + size] = float(scenes.chance("square_tone")[i])


def _column(scenes: Scenes, name: str) -> Tensor:
    return torch.from_numpy(scenes.chance(name))
