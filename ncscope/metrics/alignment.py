"""Measures between the modalities: gap, alignment, uniformity.

N samples, K classes, D embedding width; rows l2-normalised unless said.
"""

import math

import torch
from torch import Tensor

from ncscope._checks import check_class_rows, check_paired_rows, working
from ncscope.metrics.duality import class_balanced_mean, labelled_rows


def modality_gap(text: Tensor, image_means: Tensor) -> Tensor:
    """|| mean over k of h_k - mean over k of g_k ||, class-balanced, of (K, D) text and means.

    In [0, 2] for unit rows, 0 where the centres coincide. About 0.82 for CLIP on MSCOCO (Liang
    et al. 2022, who use sample means: `modality_gap_samples`). Differentiable.
    """
    check_paired_rows("text", text, "image_means", image_means)
    return (working(image_means).mean(dim=0) - working(text).mean(dim=0)).norm()


def modality_gap_samples(features: Tensor, text: Tensor) -> Tensor:
    """Liang et al.'s gap (2022): || mean over samples of f_i - mean over rows of g_k ||.

    Features (N, D) and text (K, D). In [0, 2] for unit rows. Head classes weigh more.
    """
    check_class_rows("features", features, least=1)
    check_class_rows("text", text, least=1)
    return (working(features).mean(dim=0) - working(text).mean(dim=0)).norm()


def alignment(features: Tensor, labels: Tensor, text: Tensor, *, alpha: float = 2.0) -> Tensor:
    """Class-balanced mean of ||f_i - g_y||^alpha (after Wang & Isola 2020, pairs image and text).

    Features (N, D), labels (N,) with -1 ignored, text (K, D). In [0, 2^alpha], lower is better
    aligned. At alpha 2 and unit rows it is twice `delta_mid_batch`. Differentiable.
    """
    rows, targets = labelled_rows(features, labels, text)
    distances = (rows - working(text).to(rows.dtype)[targets]).square().sum(dim=1)
    return class_balanced_mean(distances.pow(alpha / 2), targets, len(text))


def uniformity(rows: Tensor, *, t: float = 2.0) -> Tensor:
    """log of the mean over i != j of exp(-t ||x_i - x_j||^2), of (N, D) unit rows (Wang & Isola).

    In [-4t, 0], lower is more uniform; -4K/(K-1) at an ETF of K rows with t = 2. In blocks: no
    (N, N) temporary for more than a few thousand rows. Differentiable.
    """
    check_class_rows("rows", rows)
    rows = working(rows)
    count = len(rows)
    norms = rows.square().sum(dim=1)
    step = max(1, (1 << 22) // count)
    parts = []
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        squared = norms[block].unsqueeze(1) + norms - 2 * rows[block] @ rows.T
        here = torch.arange(block.start, block.stop, device=rows.device)
        exponents = -t * squared.clamp_min(0)
        exponents[torch.arange(len(here), device=rows.device), here] = -math.inf
        parts.append(torch.logsumexp(exponents.flatten(), dim=0))
    return torch.logsumexp(torch.stack(parts), dim=0) - math.log(count * (count - 1))
