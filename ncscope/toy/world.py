"""What a toy scene is made of: eight factors, their values, and how a scene is drawn.

A scene is a row of uniform numbers. Everything about its picture follows from that row, so images
do not depend on how many are drawn with them or on the size of a rendering batch.

A random stream is named by a path of words and numbers, of which the first is its space. The
spaces are disjoint by construction and each has one purpose, so that no two ever share an image:

- `pretraining`: the images and captions the toy CLIP is trained on
- `difficulty`: the images on which the camera strengths of the tasks were set, once
- `tuning`: for choosing learning rates and weights; never report a number from it
- `reporting`: everything a result is reported on (what `toy_images` draws by default)
- `world`: the fixed surfaces, cameras and class orders, the same for every user seed

N scenes.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ncscope.errors import DataError

SPACES = ("pretraining", "difficulty", "tuning", "reporting", "world")
SHAPES = tuple(
    "circle square triangle star heart cross diamond pentagon hexagon crescent ring arrow oval "
    "drop flower gear house tree fish mushroom cloud bolt leaf hourglass boat cup key".split()
)
COLOURS = {  # hue, saturation, value, each in 0..1
    "red": (0.00, 0.85, 0.85),
    "orange": (0.075, 0.90, 0.95),
    "yellow": (0.15, 0.85, 0.95),
    "lime": (0.22, 0.80, 0.90),
    "green": (0.35, 0.75, 0.60),
    "teal": (0.48, 0.75, 0.50),
    "cyan": (0.51, 0.65, 0.92),
    "blue": (0.61, 0.80, 0.85),
    "navy": (0.65, 0.80, 0.38),
    "purple": (0.77, 0.65, 0.65),
    "pink": (0.93, 0.40, 0.95),
    "magenta": (0.86, 0.85, 0.85),
    "brown": (0.07, 0.65, 0.45),
    "black": (0.00, 0.10, 0.08),
    "gray": (0.00, 0.03, 0.50),
    "white": (0.00, 0.02, 0.97),
}
TEXTURES = tuple(
    "plain striped dotted checkered wavy speckled grid hollow faded ridged crossed scaly".split()
)
COUNTS = ("one", "two", "three", "four", "five", "six")
SIZES = ("small", "medium", "large")
PLACES = ("centre", "left", "right", "top", "bottom")
BACKGROUNDS = tuple("cloth grass sand water snow brick wood sky stone lava forest tiles".split())
STYLES = ("photo", "cartoon", "sketch", "night")  # also the four domains
FACTORS: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "texture": TEXTURES,
    "count": COUNTS,
    "size": SIZES,
    "place": PLACES,
    "background": BACKGROUNDS,
    "style": STYLES,
}
_SHARED_JITTER = (
    "hue saturation value second radius aspect texture_x texture_y tile tile_x tile_y light "
    "light_angle noise_x noise_y noise_level square square_x square_y square_size square_tone"
).split()
JITTER = (
    *_SHARED_JITTER,
    *(f"{name}{i}" for i in range(len(COUNTS)) for name in ("x", "y", "rotation")),
)
ROW = len(FACTORS) + len(JITTER)  # uniform numbers a scene


def stream(space: str, *path: str | int) -> np.random.Generator:
    """The random generator of one purpose: numpy's PCG64 seeded by the CRC-32 of its path.

    CRC-32 and PCG64 are the same on every machine and in every version, Python's `hash` is not.
    """
    if space not in SPACES:
        raise DataError(f"unknown seed space `{space}`; expected one of {', '.join(SPACES)}")
    name = "/".join([space, *map(str, path)])
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


@dataclass(frozen=True, eq=False)
class Scenes:
    """N scenes: the index of every factor's value, (N,) int64 each, and (N, J) jitter in [0, 1)."""

    factors: Mapping[str, np.ndarray]
    jitter: np.ndarray

    def __len__(self) -> int:
        return len(self.jitter)

    def chance(self, name: str) -> np.ndarray:
        """One column of jitter, (N,) in [0, 1)."""
        return self.jitter[:, JITTER.index(name)]

    def take(self, index: np.ndarray | slice) -> "Scenes":
        """The scenes of a selection."""
        chosen = {name: values[index] for name, values in self.factors.items()}
        return Scenes(chosen, self.jitter[index])


def draw_scenes(
    generator: np.random.Generator,
    count: int,
    *,
    fixed: Mapping[str, int] | None = None,
    seen_only: bool = False,
) -> Scenes:
    """Draw `count` scenes; the first n of them are the same whatever `count` is.

    Args:
        fixed: factors with a given value; the others are random. A fixed place, size or texture
            means a single object, and a fixed count or place no large one.
        seen_only: leave out the colour x shape and texture x shape pairs that pretraining never
            sees, by moving on to the next colour or texture.
    """
    rows = generator.random((count, ROW))
    fixed = fixed or {}
    factors = {
        name: np.full(count, fixed[name]) if name in fixed else draw
        for name, draw in _free_factors(rows).items()
    }
    if not {"place", "size", "count"}.isdisjoint(fixed) and "count" not in fixed:
        factors["count"] = np.zeros(count, dtype=np.int64)
    if "place" in fixed and "size" not in fixed:
        factors["size"] = np.minimum(factors["size"], 1)
    _make_consistent(factors, placed="place" in fixed)
    if seen_only:
        _leave_out_unseen(factors)
    # rounding to float32 must not reach 1, which would be an index out of range
    jitter = np.minimum(rows[:, len(FACTORS) :], 1 - 2.0**-24).astype(np.float32)
    return Scenes(factors, jitter)


def _free_factors(rows: np.ndarray) -> dict[str, np.ndarray]:
    """All factors from the first columns of (N, ROW): uniform but for texture, count and style."""
    chance = dict(zip(FACTORS, rows.T, strict=False))
    draws = {
        name: (chance[name] * len(values)).astype(np.int64) for name, values in FACTORS.items()
    }
    patterned = (chance["texture"] - 0.3) / 0.7 * len(TEXTURES)
    draws["texture"] = np.clip(patterned, 0, len(TEXTURES) - 1).astype(np.int64)
    draws["count"] = 1 + ((chance["count"] - 0.65) / 0.35 * 5).astype(np.int64)
    draws["count"][chance["count"] < 0.65] = 0
    draws["style"] = np.maximum((chance["style"] - 0.7) * 10, -1).astype(np.int64) + 1
    draws["style"][chance["style"] < 0.7] = 0
    return draws


def _make_consistent(factors: dict[str, np.ndarray], *, placed: bool) -> None:
    """Several objects are small and centred as a group; a large object is in the centre."""
    several = factors["count"] > 0
    factors["size"] = np.where(several, 0, factors["size"])
    if not placed:
        factors["place"] = np.where(several | (factors["size"] == 2), 0, factors["place"])


def unseen_colour(colour: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Which colour x shape pairs pretraining never sees: one in seven."""
    return (5 * colour + 3 * shape) % 7 == 0


def unseen_texture(texture: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Which texture x shape pairs pretraining never sees: one in nine, never a plain one."""
    return ((3 * texture + 2 * shape) % 9 == 0) & (texture > 0)


def _leave_out_unseen(factors: dict[str, np.ndarray]) -> None:
    shape = factors["shape"]
    moved = unseen_colour(factors["colour"], shape)
    factors["colour"] = (factors["colour"] + moved) % len(COLOURS)
    # the step from the last colour to the first can land on an unseen pair again
    moved = unseen_colour(factors["colour"], shape)
    factors["colour"] = (factors["colour"] + moved) % len(COLOURS)
    moved = unseen_texture(factors["texture"], shape)
    factors["texture"] = (factors["texture"] + moved) % len(TEXTURES)
