"""Head, medium and tail: classes grouped by how many training images they had.

K classes.
"""

import torch
from torch import Tensor

from ncscope.errors import ShapeError


def frequency_groups(
    counts: Tensor, *, thresholds: tuple[int, int] | None = None
) -> dict[str, Tensor]:
    """Indices of head, medium and tail classes, by (K,) counts of images.

    By default thirds of the classes present, ranked by count with ties in label order, the extra
    class going to the head, then to the medium. `thresholds=(100, 20)` is the convention of the
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
