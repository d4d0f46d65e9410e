"""Toy tasks as data sets: `toy:NAME` or `toy:NAME@DOMAIN` to an `ImageSet`.

The j-th image of a class follows from (space, part, seed, task, class, j) alone: sixteen shots
begin with the four of the same seed, and every domain shows the same scenes in its own style.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ncscope.data.images import ImageSet, image_digest
from ncscope.data.imbalance import imbalanced_counts
from ncscope.errors import DataError
from ncscope.toy.camera import camera_of
from ncscope.toy.paint import render
from ncscope.toy.seeds import stream
from ncscope.toy.tasks import Task, find_task
from ncscope.toy.world import STYLES, Scenes, draw_scenes

PER_CLASS = {"train": 32, "val": 8, "test": 24}  # images of a class, unless asked for otherwise


@dataclass(frozen=True, eq=False)
class Pictures:
    """Loads the i-th of N pictures kept in memory, (N, P, P, 3) uint8. Picklable."""

    pixels: np.ndarray

    def __call__(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index])


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
    scenes = task_scenes(task, style, counts, path=(space, part, seed))
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


def task_scenes(
    task: Task, style: str, counts: list[int], *, path: tuple[str | int, ...]
) -> Scenes:
    """The scenes of a task, class after class; `path` is the space and what follows it."""
    space, *rest = map(str, path)
    drawn = [
        draw_scenes(
            stream(space, *rest, task.name, classname),
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
