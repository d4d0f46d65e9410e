"""Decisions where text features depend on the image, as with CoCoOp run per image.

N samples, K classes, D embedding width.
"""

from dataclasses import replace

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.sides import ImageSide, decision_numbers, pair_numbers

_ROWS = 256


def with_per_image_text(
    side: ImageSide,
    image: Tensor,
    label: Tensor,
    per_image: Tensor,
    *,
    text: Tensor,
    logit_scale: Tensor | None,
    normalise: bool = True,
) -> ImageSide:
    """Add to a side without text what (N, K, D) text features decide, image by image.

    Geometry between the modalities uses `text` (K, D), the mean over images.
    """
    num_classes = per_image.shape[1]
    cosines = torch.cat(
        [
            torch.einsum("nkd,nd->nk", rows, _unit(images, normalise).to(rows.dtype))
            for rows, images in zip(per_image.split(_ROWS), image.split(_ROWS), strict=True)
        ]
    )
    logits = cosines if logit_scale is None else cosines * logit_scale.to(cosines)
    among = side.present[logits[:, side.present].argmax(dim=1)]
    nearest = metrics.ncc_predictions(_unit(image, normalise), side.moments.means)
    hits = logits.argmax(dim=1) == label
    bins = None
    if logit_scale is not None:
        confidence = logits.softmax(dim=1).amax(dim=1)
        bins = metrics.confidence_bins(confidence, hits, label, num_classes)
    samples = replace(
        side.samples,
        agree=_class_means(among == nearest, label, num_classes),
        correct=_class_means(hits, label, num_classes),
        cosines=_class_means(cosines.gather(1, label.unsqueeze(1)).squeeze(1), label, num_classes),
        bins=bins,
    )
    numbers = side.numbers | pair_numbers(text[side.present], side.moments)
    return ImageSide(side.moments, samples, numbers | decision_numbers(samples))


def _unit(rows: Tensor, normalise: bool) -> Tensor:
    return metrics.normalise_rows(rows) if normalise else rows


def _class_means(values: Tensor, label: Tensor, num_classes: int) -> Tensor:
    sums = torch.zeros(num_classes, dtype=torch.float64, device=values.device)
    sums.index_add_(0, label, values.double())
    return sums / torch.bincount(label, minlength=num_classes)
