"""Toy tasks as data sets: `toy:NAME` or `toy:NAME@DOMAIN` to an `ImageSet`.

The j-th image of a class follows from (space, part, seed, task, class, j) alone: sixteen shots
begin with the four of the same seed, and every domain shows the same scenes in its own style.

Every task looks through a camera of its own that pretraining never saw: hue, tint, contrast,
brightness, a pattern over the picture, perhaps blur. All its pictures share it, so it is a shift
that prompt tuning can learn, unlike noise, which leaves nothing to learn.
N scenes, P pixels a side.
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ncscope.data.draw import imbalanced_counts
from ncscope.data.images import ImageSet, image_digest
from ncscope.errors import DataError
from ncscope.toy.paint import render
from ncscope.toy.surfaces import noise
from ncscope.toy.tasks import Task, find_task
from ncscope.toy.world import STYLES, Scenes, draw_scenes, stream

PER_CLASS = {"train": 32, "val": 8, "test": 24}  # images of a class, unless asked for otherwise
_OVERLAYS = ("lines", "vignette", "diagonals", "none")  # of cameras


def toy_images(
    name: str,
    *,
    domain: str | None = None,
    part: str = "test",
    seed: int = 0,
    per_class: int | None = None,
    shots: int | None = None,
    tau: float | None = None,
    space: str = "reporting",
) -> ImageSet:
    """Render a toy task.

    Args:
        name: `NAME` or `NAME@DOMAIN`, with or without a leading `toy:`.
        domain: photo, cartoon, sketch or night; by default the name's, else photo.
        part: train, val or test: different images of the same classes.
        seed: which images of the part; 0 is a seed.
        per_class: how many of each class; by default 32, 8 or 24 by part.
        shots: the same for few-shot training: the first that many of each class.
        tau: make it long-tailed: class k of K gets max(int(n tau^(k / (K - 1))), 1) of the n
            images that class 0 gets, in label order; 1 is balanced.
        space: `reporting`, or `tuning` for images on which settings are chosen.

    Raises:
        DataError: an unknown task, domain, part or space; numbers out of range.
    """
    task, named = find_task(name)
    style = domain or named or STYLES[0]
    if style not in STYLES or (domain and named and domain != named):
        raise DataError(
            f"`domain` is {domain!r} for {name!r}; expected one of {', '.join(STYLES)}, once"
        )
    if part not in PER_CLASS:
        raise DataError(f"`part` is {part!r}; expected one of {', '.join(PER_CLASS)}")
    most = PER_CLASS[part] if per_class is None else per_class
    most = most if shots is None else shots
    counts = imbalanced_counts(len(task.classes), most=most, tau=1 if tau is None else tau)
    scenes = _task_scenes(task, style, counts, path=(space, part, str(seed)))
    pixels = render(scenes, camera=camera_of(task.name, task.camera)).numpy()
    labels = np.repeat(np.arange(len(counts)), counts).tolist()
    items = [f"{c}/{j:04d}" for c, n in zip(task.classnames, counts, strict=True) for j in range(n)]
    contents = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pixels]
    return ImageSet(
        name=f"toy:{task.name}" + ("" if style == STYLES[0] else f"@{style}"),
        classnames=task.classnames,
        labels=tuple(labels),
        items=tuple(items),
        digest=image_digest(task.classnames, items, labels, contents),
        load=Pictures(pixels),
        part=part,
    )


def _task_scenes(
    task: Task, style: str, counts: list[int], *, path: tuple[str, str, str]
) -> Scenes:
    """The scenes of a task, class after class; `path` is the space and what follows it."""
    drawn = [
        draw_scenes(
            stream(*path, task.name, classname),
            count,
            fixed={**fixed, "style": STYLES.index(style)},
        )
        for (classname, fixed), count in zip(task.classes.items(), counts, strict=True)
    ]
    factors = {
        name: np.concatenate([scenes.factors[name] for scenes in drawn])
        for name in drawn[0].factors
    }
    return Scenes(factors, np.concatenate([scenes.jitter for scenes in drawn]))


@dataclass(frozen=True, eq=False)
class Pictures:
    """Loads the i-th of N pictures kept in memory, (N, P, P, 3) uint8. Picklable."""

    pixels: np.ndarray

    def __call__(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


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
        level = 0.02 + 0.03 * torch.from_numpy(scenes.chance("noise_level"))
        return pictures + level.view(-1, 1, 1, 1) * noise(scenes, pixels, at="tile")


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
