"""`preprocessor_config.json`: how a Hugging Face model wants its images, as our transform has it.

What the transform here cannot do as the file says, such as a resize to more than what is cropped,
is refused; so is a size that is not the model's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncscope.clip.rules import SWITCH, Rule, check_value, list_of, read_json, real
from ncscope.errors import BackboneError, brief

NAMES = ("preprocessor_config.json", "processor_config.json")  # the second since transformers 5
_RESAMPLE = {2: "bilinear", 3: "bicubic"}
_NUMBERS: dict[str, Rule] = {
    "image_mean": list_of(3, real(-10, 10)),
    "image_std": list_of(3, real(1e-6, 10)),
}
_STEPS = ("do_resize", "do_rescale", "do_normalize")
_CLIP = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
_SIGLIP = {**_CLIP, "mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
USUAL = {"clip": _CLIP, "siglip": _SIGLIP}


def image_settings(path: Path, *, kind: str, side: int) -> dict[str, Any]:
    """The transform's settings, as open_clip names them.

    Args:
        kind: clip or siglip, whose processor's defaults stand for what is not said.
        side: of the images that the model takes.

    Raises:
        BackboneError: unreadable, or a transform that is not made here.
    """
    stored = read_json(path)
    if isinstance(stored, dict) and isinstance(stored.get("image_processor"), dict):
        stored = stored["image_processor"]
    if not isinstance(stored, dict):
        raise BackboneError(f"{path}: {brief(stored)}; expected a JSON object")
    for key in ("do_center_crop", *_STEPS):
        check_value(f"{path}: `{key}`", stored.get(key), SWITCH)
        if key in _STEPS and stored.get(key) is False:
            raise BackboneError(f"{path}: `{key}` is False; expected a transform that does it")
    for key, rule in _NUMBERS.items():
        check_value(f"{path}: `{key}`", stored.get(key), rule)
    factor = stored.get("rescale_factor", 1 / 255)
    if type(factor) is not float or abs(factor * 255 - 1) > 1e-6:
        raise BackboneError(f"{path}: `rescale_factor` is {brief(factor)}; expected 1/255")
    resample = stored.get("resample", 3)
    if type(resample) is not int or resample not in _RESAMPLE:
        raise BackboneError(
            f"{path}: `resample` is {brief(resample)}; expected 2 (bilinear) or 3 (bicubic)"
        )
    usual = USUAL[kind]
    return {
        "mean": stored.get("image_mean") or usual["mean"],
        "std": stored.get("image_std") or usual["std"],
        "interpolation": _RESAMPLE[resample],
        "resize_mode": _resize_mode(path, stored, kind=kind, side=side),
    }


def _resize_mode(path: Path, stored: Mapping[str, Any], *, kind: str, side: int) -> str:
    """Whether images are cropped or squashed to the model's size; anything else is refused."""
    size = stored.get("size")
    if size is None:
        size = {"shortest_edge": 224} if kind == "clip" else {"height": 224, "width": 224}
    if type(size) is int:
        size = {"shortest_edge": size} if kind == "clip" else {"height": size, "width": size}
    crops = stored.get("do_center_crop")
    crops = kind == "clip" if crops is None else crops
    crop = stored.get("crop_size", 224)
    crop = {"height": crop, "width": crop} if type(crop) is int else crop
    square = {"height": side, "width": side}
    if size == square and (not crops or crop == square):
        return "squash"
    if size == {"shortest_edge": side} and crops and crop == square:
        return "shortest"
    said = f"a crop of {_words(crop)}" if crops else "no crop"
    raise BackboneError(
        f"{path}: images are resized to {_words(size)}, with {said}; expected `shortest_edge` "
        f"{side} and a crop of {side}, or `height` and `width` {side}, as the model takes them"
    )


def _words(size: object) -> str:
    if isinstance(size, dict) and len(size) <= 4:
        return " and ".join(
            f"{ascii(key)[1:-1][:20]} {brief(value)}" for key, value in size.items()
        )
    return brief(size)
