"""How a run made its test images: as log.txt or the caller says, else as the backbone's own are.

Dassl's own defaults are bilinear resizing and ImageNet's mean; all published configurations of CLIP
set CLIP's bicubic and mean. A run with other values is read with those.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ncscope.checkpoint.runlog import RunLog
from ncscope.clip.backbone import Backbone
from ncscope.clip.pixels import inference_transform
from ncscope.errors import CheckpointError

# Until 9 October 2021 Dassl squashed images to the square instead of resizing the shorter edge and
# cropping the centre; CoOp's released checkpoints are of that time.
TRANSFORMS = ("current", "squash")
_RESIZED = ("bicubic", "bilinear")  # that open_clip's transform can do
_PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def with_transform(
    backbone: Backbone, *, asked: str | None, log: RunLog | None
) -> tuple[Backbone, str, list[str]]:
    """The backbone with the run's transform, who named its resizing, and warnings.

    Args:
        asked: current or squash; None takes the log's.

    Raises:
        CheckpointError: an unknown transform.
    """
    if asked is not None and asked not in TRANSFORMS:
        raise CheckpointError(f"`transform` is {asked!r}; expected {' or '.join(TRANSFORMS)}")
    logged = log.transform if log else None
    origin = "option" if asked else "log.txt" if logged else "default"
    own = dict(backbone.description["preprocess"])
    values, warnings = _of_log({} if log is None else log.settings, own)
    settings = {**own, **values}
    if (asked or logged) == "squash":
        settings["resize_mode"] = "squash"
    if settings == own:
        return backbone, origin, warnings
    made = replace(
        backbone,
        preprocess=inference_transform(settings),
        description={**backbone.description, "preprocess": settings},
    )
    return made, origin, warnings


def _of_log(logged: Mapping[str, str], own: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What the log's INPUT says otherwise than the backbone's transform, and a warning of each."""
    said: dict[str, tuple[str, Any]] = {}
    if way := logged.get("INPUT.INTERPOLATION"):
        said["interpolation"] = ("INPUT.INTERPOLATION", way)
    listed = logged.get("INPUT.TRANSFORMS")
    for name, key in (("mean", "INPUT.PIXEL_MEAN"), ("std", "INPUT.PIXEL_STD")):
        numbers = re.findall(r"\d+(?:\.\d*)?", logged.get(key, ""))
        if listed is not None and "normalize" not in listed:
            said[name] = ("INPUT.TRANSFORMS", _PLAIN[name])
        elif len(numbers) == 3:
            said[name] = (key, tuple(map(float, numbers)))
    found, warnings = dict[str, Any](), list[str]()
    for name, (key, value) in said.items():
        if _same(value, own.get(name)):
            continue
        if name == "interpolation" and value not in _RESIZED:
            warnings.append(f"{key} is {value} in log.txt, which is not done here: {own[name]} is")
            continue
        found[name] = value
        warnings.append(
            f"{key} is {logged[key]} in log.txt: images are made so, as the run's were; the "
            f"backbone's {name} is {own.get(name)}"
        )
    return found, warnings


def _same(value: Any, own: Any) -> bool:
    if isinstance(value, str) or own is None:
        return value == own
    return all(abs(a - b) < 1e-5 for a, b in zip(value, own, strict=True))
