"""Text features of a learner whose prompts depend on the image, under a named condition.

N images, K classes, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.errors import DataError
from ncscope.zoo.learners.learner import Learner

CONDITIONS = ("mean", "class", "none", "per-image")


@torch.inference_mode()
def conditioned(
    learner: Learner, classnames: list[str], image_features: Tensor, labels: Tensor
) -> Tensor:
    """Text features as `learner.condition` says.

    `mean`: prompts shifted by the mean direction of all images; `class`: each class by the mean
    direction of its own; `none`: not shifted; `per-image`: every image has features of its own.

    Args:
        image_features: (N, D) that the prompts are conditioned on, of training images as a rule.
        labels: (N,) in 0..K-1, or -1 for no class.

    Returns:
        (K, D), or (N, K, D) per image.

    Raises:
        DataError: no images, or for `class` a class without any.
    """
    if learner.by_feature is None or learner.condition in (None, "none"):
        return learner.text_features(classnames)
    if not len(image_features):
        raise DataError(f"condition {learner.condition!r} needs image features; there are none")
    directions = F.normalize(image_features.to(learner.device), dim=-1)
    if learner.condition == "per-image":
        return learner.by_feature(classnames, directions)
    if learner.condition == "mean":
        return learner.by_feature(classnames, directions.mean(dim=0, keepdim=True))[0]
    return _by_class(learner, classnames, directions, labels.to(learner.device))


def _by_class(
    learner: Learner, classnames: list[str], directions: Tensor, labels: Tensor
) -> Tensor:
    """Each class under the mean direction of its own images."""
    assert learner.by_feature is not None
    rows = []
    for k, name in enumerate(classnames):
        own = directions[labels == k]
        if not len(own):
            raise DataError(
                f"condition 'class' needs an image of every class; {name!r} has none; use "
                f"--condition mean"
            )
        rows.append(learner.by_feature([name], own.mean(dim=0, keepdim=True))[0])
    return torch.cat(rows)
