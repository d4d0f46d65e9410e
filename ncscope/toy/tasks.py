"""The tasks of the toy suite: which classes, under which names, how hard, and the list of them.

A class is a name and the factors it fixes, one of which is that there is a single object unless
the task counts; everything else about its scenes is random. The order of a task's classes is
shuffled by its name; the first half are the base classes, the rest the new ones. `camera` is the
strength of the task's own camera (`ncscope.toy.images`), which sets how far zero-shot accuracy is
from its ceiling. The strengths were set once, on the `difficulty` seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ncscope.data.classes import half
from ncscope.errors import DataError
from ncscope.toy.captions import plural
from ncscope.toy.world import FACTORS, STYLES, stream, unseen_colour, unseen_texture

Classes = Mapping[str, Mapping[str, int]]  # name -> factor -> index of its value
_A, _OBJECT, _ON, _OF = (
    "a photo of a {}.",
    "a photo of a {} object.",
    "a photo of a thing on {}.",
    "a photo of {}.",
)
_HEAD = ("task", "classes", "base + new", "told apart by", "prompt template", "for instance")


@dataclass(frozen=True)
class Task:
    """K classes of scenes with a way to ask for them."""

    name: str
    about: str
    classes: Classes
    template: str
    camera: float

    @property
    def classnames(self) -> tuple[str, ...]:
        """K names, in label order."""
        return tuple(self.classes)


def _by(factor: str, *, without: tuple[str, ...] = ()) -> Classes:
    """One class a value of a factor, under its own name."""
    values = enumerate(FACTORS[factor])
    return {name: {factor: index} for index, name in values if name not in without}


def _values(factor: str, names: str) -> dict[str, int]:
    """The named values of a factor with their indices."""
    return {name: FACTORS[factor].index(name) for name in names.split()}


def _counts() -> Classes:
    shapes = _values("shape", "star heart fish cup")
    return {
        f"{count} {plural(shape) if number else shape}": {"count": number, "shape": index}
        for number, count in enumerate(FACTORS["count"])
        for shape, index in shapes.items()
    }


def _places() -> Classes:
    said = ("in the centre", "on the left", "on the right", "at the top", "at the bottom")
    shapes = _values("shape", "star heart house key mushroom")
    return {
        f"{shape} {where}": {"place": place, "shape": index}
        for place, where in enumerate(said)
        for shape, index in shapes.items()
    }


def _coltex() -> Classes:
    colours = _values("colour", "red orange yellow green cyan blue purple pink brown")
    textures = _values("texture", "striped dotted checkered hollow")
    return {
        f"{c} {t}": {"colour": i, "texture": j}
        for c, i in colours.items()
        for t, j in textures.items()
    }


def _fish() -> Classes:
    colours = _values("colour", "red yellow green blue purple")
    textures = _values("texture", "striped dotted wavy scaly")
    fish = FACTORS["shape"].index("fish")
    return {
        f"{c} {t} fish": {"colour": i, "texture": j, "shape": fish}
        for c, i in colours.items()
        for t, j in textures.items()
    }


def _some(name: str, factor: str, size: int, *, unseen: bool) -> Classes:
    """A random `size` of a colour's or a texture's pairs with a shape, the same on every machine.

    Args:
        unseen: those that pretraining left out, or else those it saw.
    """
    pairs = {
        f"{value} {shape}": {factor: i, "shape": j}
        for i, value in enumerate(FACTORS[factor])
        for j, shape in enumerate(FACTORS["shape"])
    }
    left_out = unseen_colour if factor == "colour" else unseen_texture
    names = [
        pair
        for pair, fixed in pairs.items()
        if bool(left_out(*map(np.asarray, fixed.values()))) == unseen
    ]
    order = stream("world", "choice", name).permutation(len(names))[:size]
    return {names[i]: pairs[names[i]] for i in sorted(order)}


def _task(name: str, about: str, classes: Classes, template: str, camera: float) -> Task:
    """A task with its classes in an order that is shuffled by its name."""
    names = list(classes)
    order = stream("world", "class order", name).permutation(len(names))
    ordered = {names[i]: {"count": 0, **classes[names[i]]} for i in order}
    return Task(name, about, ordered, template, camera)


_COLSHAPE = _some("colshape", "colour", 40, unseen=True)
_TEXSHAPE = _some("texshape", "texture", 28, unseen=True)
_SOURCE = _some("source", "colour", 100, unseen=False)
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _task("shapes", "shapes of any colour", _by("shape", without=("fish",)), _A, 1.1),
        _task("colours", "colours of any shape", _by("colour"), _OBJECT, 0.8),
        _task("textures", "surface patterns", _by("texture"), _OBJECT, 0.6),
        _task("scenes", "what is behind the object", _by("background"), _ON, 0.85),
        _task("counts", "how many of which shape", _counts(), _OF, 2.4),
        _task("places", "which shape where", _places(), _A, 1.8),
        _task("colshape", "colour x shape, pairs never seen", _COLSHAPE, _A, 1.6),
        _task("texshape", "texture x shape, pairs never seen", _TEXSHAPE, _A, 2.4),
        _task("coltex", "colour x texture of any shape", _coltex(), _OBJECT, 0.8),
        _task("fish", "fine-grained: twenty kinds of fish", _fish(), _A, 1.2),
        _task("source", "colour x shape, a large source task", _SOURCE, _A, 1.0),
    )
}


def find_task(name: str) -> tuple[Task, str | None]:
    """The task and the domain of `NAME` or `NAME@DOMAIN`; a leading `toy:` is allowed.

    Raises:
        DataError: no such task or domain; the message lists those there are.
    """
    wanted, at, domain = name.removeprefix("toy:").partition("@")
    if wanted not in TASKS:
        raise DataError(f"no toy task `{wanted}`; there are {', '.join(TASKS)}")
    if at and domain not in STYLES:
        raise DataError(f"no toy domain `{domain}`; there are {', '.join(STYLES)}")
    return TASKS[wanted], domain or None


def task_lines() -> list[str]:
    """A head, one line a task (classes, halves, granularity, template, names) and the domains."""
    rows = [_HEAD, *map(_row, TASKS.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    others = ", ".join(f"@{style}" for style in STYLES[1:])
    return [*lines, f"toy:NAME is in the style of a {STYLES[0]}; toy:NAME{others} are others."]


def granularity(task: Task) -> str:
    """What tells a task's classes apart: one factor, a pair of them, or a pair on one shape."""
    values: dict[str, set[int]] = {}
    for fixed in task.classes.values():
        for factor, value in fixed.items():
            values.setdefault(factor, set()).add(value)
    apart = " + ".join(factor for factor, found in values.items() if len(found) > 1)
    one = len(values.get("shape", ())) == 1
    return f"{apart}, one shape" if one else apart


def _row(task: Task) -> tuple[str, ...]:
    size = len(task.classes)
    base = len(half(size, "base"))
    halves = f"{base} + {size - base}"
    names = ", ".join(task.classnames[:2])
    return (f"toy:{task.name}", str(size), halves, granularity(task), task.template, names)
