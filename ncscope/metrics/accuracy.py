"""Accuracy and calibration, from logits or from the second sweep's bins; head, medium and tail.

N samples, K classes.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from ncscope._checks import check_finite, check_samples, working
from ncscope.errors import ShapeError

BINS = 15


def top1(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of samples whose largest of (N, K) logits is at their label; in [0, 1], higher better.

    Label -1 is ignored; NaN without labels.

    Raises:
        ShapeError: wrong shapes or labels, NaN or inf (rows named); so for the measures below.
    """
    return _hits(logits, labels)[0].double().mean()


def per_class_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Top-1 of each class, (K,), in [0, 1]; NaN for a class without samples."""
    hits, targets = _hits(logits, labels)
    counts = torch.bincount(targets, minlength=logits.shape[1])
    return torch.bincount(targets[hits], minlength=logits.shape[1]).double() / counts


def class_mean_accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Unweighted mean of `per_class_accuracy` over the classes present; in [0, 1]."""
    return per_class_accuracy(logits, labels).nanmean()


def harmonic_mean(base: float, new: float) -> float:
    """H = 2BN / (B + N) of base and new accuracy. In [0, 1], higher is better.

    0 where both are 0; NaN where either is.
    """
    return 0.0 if base == new == 0 else 2 * base * new / (base + new)


def ece(logits: Tensor, labels: Tensor, *, class_balanced: bool = False) -> Tensor:
    """Expected calibration error: sum over bins of |B|/N |acc(B) - conf(B)| (Guo et al. 2017).

    15 equal-width bins, open below, of the largest softmax probability of (N, K) logits, which
    must carry the model's own scale. In [0, 1], lower is better, 0 ideal. `class_balanced`
    weighs every class alike. Label -1 is ignored.
    """
    hits, targets = _hits(logits, labels)
    confidence = working(logits[labels >= 0]).softmax(dim=1).amax(dim=1)
    return binned_ece(
        confidence_bins(confidence, hits, targets, logits.shape[1]), class_balanced=class_balanced
    )


def confidence_bins(confidence: Tensor, hits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(K, 15, 3): count, summed confidence and summed hits of each class and confidence bin."""
    which = (confidence * BINS).ceil().long().clamp(1, BINS) - 1  # (0, 1/15], (1/15, 2/15], …
    values = torch.stack([torch.ones_like(confidence), confidence, hits.to(confidence)], dim=1)
    bins = torch.zeros(num_classes * BINS, 3, dtype=torch.float64, device=confidence.device)
    return bins.index_add_(0, labels * BINS + which, values.double()).view(num_classes, BINS, 3)


def binned_ece(bins: Tensor, *, class_balanced: bool = False) -> Tensor:
    """`ece` from (K, 15, 3) bins of count, summed confidence and summed hits.

    In [0, 1], lower is better; NaN for empty bins.
    """
    if class_balanced:
        counts = bins[:, :, 0].sum(dim=1)
        bins = bins[counts > 0] / counts[counts > 0].view(-1, 1, 1)
    totals = bins.sum(dim=0)  # (15, 3)
    return (totals[:, 2] - totals[:, 1]).abs().sum() / totals[:, 0].sum()


def _hits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    check_samples(logits, labels, logits.shape[1])
    check_finite("logits", logits)  # NaN would win every argmax
    kept = labels >= 0
    targets = labels[kept].long()
    return logits[kept].argmax(dim=1) == targets, targets


def frequency_groups(
    counts: Tensor, *, thresholds: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """Indices of head, medium and tail classes, by (K,) counts of images.

    By default thirds of the classes present, ranked by count with ties in label order, the extra
    class going to the head, then to the medium: `cut_tie` says whether that order decided who is in
    which. `thresholds=(100, 20)` is the convention of the
    long-tailed benchmarks instead: head > 100, tail < 20. A group may be empty.

    Raises:
        ShapeError: counts are not (K,) integers, or negative.
    """
    if counts.ndim != 1 or counts.is_floating_point() or bool((counts < 0).any()):
        raise ShapeError(
            f"`counts` must be (K,) integers >= 0; got {counts.dtype} {counts.tolist()}"
        )
    if thresholds is not None:
        upper, lower = thresholds
        present = counts > 0
        masks = {
            "head": counts > upper,
            "medium": (counts <= upper) & (counts >= lower) & present,
            "tail": (counts < lower) & present,
        }
        return {name: mask.nonzero().flatten() for name, mask in masks.items()}
    present = (counts > 0).nonzero().flatten()
    ranked = present[torch.argsort(counts[present], descending=True, stable=True)]
    parts = torch.tensor_split(ranked, 3)
    return dict(zip(("head", "medium", "tail"), parts, strict=True))


def cut_tie(groups: Mapping[str, Tensor], counts: Tensor) -> int | None:
    """The count that the last class of a group of `frequency_groups` shares with the first of the
    next, so that label order alone parts them; None where every cut parts different counts."""
    parts = [index for index in groups.values() if len(index)]
    for upper, lower in pairwise(parts):
        if int(counts[upper[-1]]) == int(counts[lower[0]]):
            return int(counts[lower[0]])
    return None
