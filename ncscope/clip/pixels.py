"""The inference transform: an RGB image to the pixels a tower sees. Nothing in it is random.

What CLIP and nearly all its kin use (resize the shorter side or both, crop the centre, normalise)
is done here as torchvision does it, value for value; other settings are left to open_clip.

H and W pixels.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ncscope.clip.installed import import_open_clip

CLIPS_OWN: dict[str, Any] = {
    "size": 224,
    "mode": "RGB",
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
_FILTERS = {  # open_clip takes `random` for bicubic where nothing is to be random
    "bicubic": Image.Resampling.BICUBIC,
    "random": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True)
class InferenceTransform:
    """An image to (3, H, W); it can be pickled, for worker processes."""

    size: tuple[int, int]  # H, W
    squash: bool  # both sides, whatever their ratio
    filter: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        return self.finished(self.colours(image))

    def colours(self, image: Image.Image) -> Tensor:
        """(3, H, W) uint8, a quarter of the bytes: what is kept, and sent to a device."""
        return colours_of(self._sized(image).convert("RGB"))

    def finished(self, colours: Tensor) -> Tensor:
        """(..., 3, H, W) of `colours`, on whatever device, as the tower wants them."""
        return normalised(colours, self.mean, self.std)

    def _sized(self, image: Image.Image) -> Image.Image:
        (width, height), (high, wide) = image.size, self.size
        if not self.squash:
            short = min(width, height)
            wide, high = int(wide * width / short), int(high * height / short)
        if (wide, high) != image.size:
            image = image.resize((wide, high), Image.Resampling(self.filter))
        left, top = round((wide - self.size[1]) / 2), round((high - self.size[0]) / 2)
        return image.crop((left, top, left + self.size[1], top + self.size[0]))


def colours_of(image: Image.Image) -> Tensor:
    """(3, H, W) uint8 of an RGB image."""
    return torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1).contiguous()


def normalised(colours: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(..., 3, H, W) uint8 to float32 of this mean and deviation; others are finished already."""
    if colours.dtype != torch.uint8:
        return colours
    by_colour = (_column(values, colours.device) for values in (mean, std))
    return colours.float().div_(255).sub_(next(by_colour)).div_(next(by_colour))


@functools.lru_cache(maxsize=16)
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, device=device)[:, None, None]


def merged(settings: Mapping[str, Any]) -> dict[str, Any]:
    """CLIP's own settings with those of `settings` that there are and that say something."""
    said = {key: settings[key] for key in CLIPS_OWN if settings.get(key) is not None}
    return {**CLIPS_OWN, **said}


def inference_transform(settings: Mapping[str, Any]) -> Callable[[Image.Image], Tensor]:
    """An RGB image to (3, H, W), by settings as open_clip names them."""
    size, mode = settings["size"], settings["resize_mode"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    colours = tuple(settings["mean"]) if _numbers(settings["mean"]) else ()
    spread = tuple(settings["std"]) if _numbers(settings["std"]) else ()
    usual = (
        settings["mode"] == "RGB"
        and settings["interpolation"] in _FILTERS
        and (mode == "squash" or (mode == "shortest" and size[0] == size[1]))
        and len(colours) == len(spread) == 3
        and all(spread)
    )
    if usual:
        chosen = int(_FILTERS[settings["interpolation"]])
        return InferenceTransform(size, mode == "squash", chosen, colours, spread)
    transform = import_open_clip().transform
    return transform.image_transform_v2(transform.PreprocessCfg(**settings), is_train=False)


def _numbers(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(x, int | float) for x in value)
