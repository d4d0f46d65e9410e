"""Random streams by name, so that no two purposes ever share an image.

A stream is named by a path of words and numbers, of which the first is its space. The spaces are
disjoint by construction and each has one purpose:

- `pretraining`: the images and captions the toy CLIP is trained on
- `difficulty`: the images on which the camera strengths of the tasks were set, once
- `tuning`: for choosing learning rates and weights; never report a number from it
- `reporting`: everything a result is reported on (what `toy_images` draws by default)
- `world`: the fixed surfaces, cameras and class orders, the same for every user seed
"""

import zlib

import numpy as np

from ncscope.errors import DataError

SPACES = ("pretraining", "difficulty", "tuning", "reporting", "world")


def stream(space: str, *path: str | int) -> np.random.Generator:
    """The random generator of one purpose: numpy's PCG64 seeded by the CRC-32 of its path.

    CRC-32 and PCG64 are the same on every machine and in every version, Python's `hash` is not.
    """
    if space not in SPACES:
        raise DataError(f"unknown seed space `{space}`; expected one of {', '.join(SPACES)}")
    name = "/".join([space, *map(str, path)])
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
