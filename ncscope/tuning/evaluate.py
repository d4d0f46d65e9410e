"""How a learner does on one split: accuracy, calibration and the measures of collapse, cheaply.

N test images, K classes, D embedding width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.data.images import ImageSet
from ncscope.features.forward import encode_images
from ncscope.features.processes import ALONE, Spread, own_parts, put_together
from ncscope.metrics.rows import unit_text
from ncscope.tuning.losses import decided, logits_of
from ncscope.zoo.learners.learner import Learner

ByFeature = Callable[[list[str], Tensor], Tensor]
Pair = tuple[Tensor, Tensor]  # image and text features of a split, as of `split_features`
_IMAGES_AT_ONCE = 64  # of learners with text features for every image
_DECIDED_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class TestSplit:
    """Test images of one half of the classes; `frozen` are the backbone's own features of them."""

    name: str  # base, new or all
    images: ImageSet
    frozen: Tensor | None  # (N, D) on the device; None where the image tower is trained
    labels: Tensor  # (N,) on the device
    template: str | None = None  # of another data set than the trained one
    target: bool = False  # another data set than the trained one


@torch.no_grad()
def split_features(
    learner: Learner, split: TestSplit, *, batch_size: int = 64, spread: Spread = ALONE
) -> Pair:
    """(N, D) image features and (K, D) text features, or (N, K, D) where they depend on images.

    Of several processes each computes a share of what is an image's own, and gets all.
    """
    names = list(split.images.classnames)
    if split.frozen is not None and learner.from_backbone is not None:
        image = learner.from_backbone(split.frozen)
    else:
        found = encode_images(learner, split.images, batch_size=batch_size, spread=spread)
        image = found.rows.to(split.labels.device)
    if learner.by_feature is None:
        return image, learner.encode_names(names)
    return image, _text_by_image(learner.by_feature, names, image, spread)


def _text_by_image(
    by_feature: ByFeature, names: list[str], image: Tensor, spread: Spread
) -> Tensor:
    """(N, K, D)."""
    parts = own_parts(len(image), _IMAGES_AT_ONCE, spread)
    found = [by_feature(names, image[part.to(image.device)]) for part in parts]
    return put_together(found, parts, spread, image.device)


@torch.no_grad()
def decisions(
    learner: Learner, image: Tensor, text: Tensor, *, spread: Spread = ALONE
) -> tuple[Tensor, Tensor]:
    """The class (N,) that each image is decided for, and the confidence (N,) in it.

    Of several processes each decides a share.
    """
    parts = own_parts(len(image), _DECIDED_AT_ONCE, spread)
    found = []
    for part in parts:
        rows = slice(int(part[0]), int(part[-1]) + 1)
        logits = decided(learner, image[rows], text[rows] if text.ndim == 3 else text)
        sure = logits.softmax(dim=1).amax(dim=1)
        found.append(torch.stack([logits.argmax(dim=1).double(), sure.double()], dim=1))
    chosen, sure = put_together(found, parts, spread, image.device).unbind(dim=1)
    return chosen.long(), sure


@torch.no_grad()
def quick_measures(
    image: Tensor, labels: Tensor, text: Tensor, scale: Tensor, extra: Tensor | float = 0.0
) -> dict[str, Any]:
    """What the log keeps of an evaluation; every number is a function of `ncscope.metrics`.

    `accuracy` and `ece` are fractions. Measures of text features that depend on the image are
    those of their mean direction, as in a report. `extra` is added to the cosine's logits.
    """
    logits, rows = logits_of(image, text, scale) + extra, unit_text(text)
    means = metrics.class_moments(metrics.normalise_rows(image), labels, len(rows)).means.to(rows)
    both = {"raw": False, "centred": True}
    return {
        "accuracy": float(metrics.top1(logits, labels)),
        "ece": float(metrics.ece(logits, labels)),
        "delta_lcd": {k: float(metrics.delta_lcd(rows, centred=c)) for k, c in both.items()},
        "delta_mid": {k: float(metrics.delta_mid(means, rows, centred=c)) for k, c in both.items()},
        "etf_distance": {
            "text": {k: float(metrics.etf_distance(rows, centred=c)) for k, c in both.items()},
            "image": {k: float(metrics.etf_distance(means, centred=c)) for k, c in both.items()},
        },
        "modality_gap": float(metrics.modality_gap(means, rows)),
    }
