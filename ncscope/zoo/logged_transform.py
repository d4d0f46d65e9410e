"""The image transform a checkpoint was trained and tested with, where log.txt names another.

Until 9 October 2021 Dassl squashed images to the square instead of resizing the shorter edge and
cropping the centre; CoOp's released checkpoints are of that time.
"""

from dataclasses import replace

from ncscope.clip.backbone import Backbone, import_open_clip
from ncscope.clip.construct import inference_transform
from ncscope.errors import CheckpointError

TRANSFORMS = ("current", "squash")


def with_transform(
    backbone: Backbone, *, asked: str | None, logged: str | None
) -> tuple[Backbone, str]:
    """The backbone with the transform that the caller or else log.txt names, and who named it.

    Raises:
        CheckpointError: an unknown transform.
    """
    if asked is not None and asked not in TRANSFORMS:
        raise CheckpointError(f"`transform` is {asked!r}; expected {' or '.join(TRANSFORMS)}")
    origin = "option" if asked else "log.txt" if logged else "default"
    if (asked or logged) != "squash":
        return backbone, origin
    settings = {**backbone.description["preprocess"], "resize_mode": "squash"}
    return replace(
        backbone,
        preprocess=inference_transform(import_open_clip(), settings),
        description={**backbone.description, "preprocess": settings},
    ), origin
