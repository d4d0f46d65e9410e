"""What every source of features offers: the protocol between learners and extraction.

B batch, C classes, D embedding width, H and W image size. Features come as the towers give them,
not normalised.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor


class PromptedClip(Protocol):
    """A frozen CLIP with hand-written or learned prompts. Any object with these members will do.

    `ncscope.extract` takes such an object, or a class that makes one: `extract(source,
    learner=Class)` and `--learner module:Class` call it as `Class(source, backbone)`.
    """

    @property
    def description(self) -> dict[str, Any]:
        """What it is, for the provenance: JSON, with a `warnings` list where there is cause."""
        ...

    @property
    def image_digest(self) -> str:
        """Changes with whatever changes image features: weights, prompts, preprocessing, precision.

        Image features are cached under it.
        """
        ...

    @property
    def device(self) -> torch.device:
        """Where pixels have to be, and where features come out."""
        ...

    @property
    def logit_scale(self) -> Tensor:
        """The multiplier of the cosine itself, not its logarithm: (), 100 for CLIP."""
        ...

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        """The inference transform: an RGB image to (3, H, W). Picklable, for worker processes."""
        ...

    def text_features(self, classnames: Sequence[str]) -> Tensor:
        """(C, D), one row a class."""
        ...

    def image_features(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) preprocessed pixels to (B, D)."""
        ...


class ImageConditioned(PromptedClip, Protocol):
    """A learner whose text features depend on the image, such as CoCoOp; `--condition per-image`.

    Its `text_features` are those of one named condition (a mean image, none).
    """

    def text_features_per_image(self, classnames: Sequence[str], image_features: Tensor) -> Tensor:
        """(B, C, D): the text features that each of (B, D) image features brings about."""
        ...
