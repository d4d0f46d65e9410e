"""NC3, duality: how far image class means and text features form the same frame.

And what else lies between the modalities: gap, alignment, uniformity.

N samples, K classes, D embedding width. G (K, D) text features, H (K, D) image class means, row k
of each for class k. Used as given: l2-normalise text and images first; H is not re-normalised.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from ncscope._checks import (
    check_class_rows,
    check_paired_rows,
    check_samples,
    labels_are_known,
    working,
)
from ncscope.errors import ShapeError
from ncscope.metrics.geometry import product_distance
from ncscope.metrics.pairs import is_many, products
from ncscope.metrics.rows import (
    accumulator_dtype,
    centre_rows,
    class_rows,
    frobenius_norm,
    normalise_rows,
    off_diagonal,
)
from ncscope.metrics.second import kept, second_moment

MidForm = Literal["cosine", "frobenius", "self_duality", "cka"]
_NEAR = 1e-2  # squared CKA distance below which 2 - 2 CKA would lose digits


def cross_etf_distance(
    image_means: Tensor, text: Tensor, *, center: Literal["none", "image", "both"] = "none"
) -> Tensor:
    """Distance of G H^T from the Gram matrix of one simplex ETF shared by text and images.

    || G H^T / ||G H^T||_F - E ||_F (Zhu et al. 2021, NC3, with W := G). `center="image"` is their
    literal form (W not centred, H centred); `"both"` ignores any shift of either side.

    Returns:
        Scalar in [0, 2], lower is more collapsed, 0 for the same ETF matched class by class,
        about sqrt(2) if unrelated. Depends on K. Raw (`"none"`) is a trap: closing the modality
        gap makes it worse. Differentiable. NaN where G H^T is zero.
    """
    if center not in ("none", "image", "both"):
        raise ShapeError(f"unknown center {center!r}; known: none, image, both")
    check_paired_rows("image_means", image_means, "text", text)
    return product_distance(text, image_means, centred=(center == "both", center != "none"))


def self_duality(image_means: Tensor, text: Tensor, *, centred: bool = False) -> Tensor:
    """|| G/||G||_F - H/||H||_F ||_F, the default NC3 of this library.

    In [0, 2], lower is more collapsed, 0 where G = a H with a > 0. Not squared; the square is
    `nc3/squared` (Papyan's notebook). Sees the modality gap when raw. Differentiable.
    """
    means, rows = _pair(image_means, text, centred=centred)
    return frobenius_norm(rows / frobenius_norm(rows) - means / frobenius_norm(means))


def cka_distance(image_means: Tensor, text: Tensor, *, centred: bool = True) -> Tensor:
    """sqrt(2 - 2 CKA) of the two Gram matrices: same shape up to *separate* rotations.

    In [0, sqrt(2)], lower is more alike. Two unrelated ETFs give 0: it is blind to misalignment,
    so never read it alone. Raw uses uncentred Gram matrices (kernel alignment). Differentiable.
    """
    means, rows = _pair(image_means, text, centred=centred)
    if not is_many(rows):
        left, right = rows @ rows.T, means @ means.T
        return frobenius_norm(left / frobenius_norm(left) - right / frobenius_norm(right))
    wide = accumulator_dtype(rows.device)
    sides = [
        class_rows(name, side, centred=False).to(wide)
        for name, side in (("text", text), ("image_means", image_means))
    ]
    # || G G^T ||, || H H^T || and || G^T H ||
    scales = [second_moment(side, centred=centred).square().sum().sqrt() for side in sides]
    both = second_moment(*sides, centred=centred).square().sum()
    square = 2 - 2 * both / (scales[0] * scales[1])
    left, right = rows.to(wide), means.to(wide)
    if float(square.detach()) < _NEAR:  # digits are lost: the difference itself
        left, right = left / scales[0].sqrt(), right / scales[1].sqrt()
        gaps = zip(products(left), products(right), strict=True)
        square = torch.stack(
            [one.times * (one.values - other.values).square().sum() for one, other in gaps]
        ).sum()
    return square.sqrt().to(rows.dtype)


def delta_mid(
    image_means: Tensor, text: Tensor, *, form: MidForm = "cosine", centred: bool = False
) -> Tensor:
    """Multi-modality isomorphism degree of text features and image class means, both (K, D).

    After Definition 3 of arXiv:2306.15955; the definition is this project's own.

    Forms:
        cosine: mean over k of 1 - cos(g_k, h_k), in [0, 2]; raw is mostly modality gap.
        frobenius: `cross_etf_distance`, centred on both sides if centred.
        self_duality: `self_duality`.
        cka: `cka_distance`; blind to misalignment.

    Returns:
        Scalar, lower is more collapsed; 0 where g_k is parallel to h_k for all k (cosine).
        Differentiable. NaN where a row, centred if asked for, is zero.
    """
    if form == "cosine":
        return (1 - matched_cosines(image_means, text, centred=centred)).mean()
    if form == "frobenius":
        return cross_etf_distance(image_means, text, center="both" if centred else "none")
    if form == "self_duality":
        return self_duality(image_means, text, centred=centred)
    if form == "cka":
        return cka_distance(image_means, text, centred=centred)
    raise ShapeError(
        f"unknown form {form!r} of delta_mid; known: cosine, frobenius, self_duality, cka"
    )


def matched_cosines(image_means: Tensor, text: Tensor, *, centred: bool = False) -> Tensor:
    """cos(g_k, h_k) of each class, (K,), in [-1, 1]; 1 is aligned."""
    means, rows = _pair(image_means, text, centred=centred)
    return (normalise_rows(rows) * normalise_rows(means)).sum(dim=1)


def unc3(image_means: Tensor, text: Tensor, *, variance: bool = False) -> Tensor:
    """Uniform duality: coefficient of variation over k of <g_k, h_k - mean(H)>, ddof 0.

    Lower is more uniform, 0 where all classes are equally aligned (Wu & Papyan 2024, who report
    the variance: `variance=True`). The coefficient divides by |mean|. Differentiable.
    """
    means, rows = _pair(image_means, text, centred=False, keep_scale=variance)
    products = (rows * centre_rows(means)).sum(dim=1)
    if variance:
        return products.var(correction=0)
    return products.std(correction=0) / products.mean().abs()


def cosine_table(
    image_means: Tensor, text: Tensor, *, centred: bool = False
) -> dict[str, dict[str, Tensor]]:
    """Mean and standard deviation of diagonal and off-diagonal cosines, text and image.

    Keys `text_text`, `image_image`, `image_text`; each with `off_diagonal_mean`,
    `off_diagonal_std`, and for `image_text` also `diagonal_mean`, `diagonal_std`.
    """
    means, rows = _pair(image_means, text, centred=centred)
    rows, means = normalise_rows(rows), normalise_rows(means)
    with kept():
        text_side, image_side = _Offsets(rows), _Offsets(means)
        table = {
            "text_text": _off_diagonal(text_side, text_side),
            "image_image": _off_diagonal(image_side, image_side),
            "image_text": _off_diagonal(image_side, text_side),
        }
    own = (rows * means).sum(dim=1)
    table["image_text"] |= {"diagonal_mean": own.mean(), "diagonal_std": own.std(correction=0)}
    return table


class _Offsets:
    """(K, D) rows, their mean, and of many what is left of them about it."""

    def __init__(self, rows: Tensor) -> None:
        self.rows, self.mean = rows, rows.mean(dim=0)
        self.offsets = rows - self.mean if is_many(rows) else rows


def _off_diagonal(left: _Offsets, right: _Offsets) -> dict[str, Tensor]:
    """Mean and standard deviation of <x_i, y_j> over i != j of (K, D) rows.

    Of many rows without their (K, K) products: with x_i = x + a_i and y_j = y + b_j about their
    means, the sum over all i, j of (<x_i, y_j> - <x, y>)^2 is
    K sum <a_i, y>^2 + K sum <x, b_j>^2 + <A^T A, B^T B>, none of which is negative.
    """
    if not is_many(left.rows):
        off = off_diagonal(left.rows @ right.rows.T)
        return {"off_diagonal_mean": off.mean(), "off_diagonal_std": off.std(correction=0)}
    size, x, y = len(left.rows), left.mean, right.mean
    a, b, own = left.offsets, right.offsets, (left.rows * right.rows).sum(dim=1)
    pairs = size * (size - 1)
    mean = (size * size * (x @ y) - own.sum()) / pairs
    total = size * ((a @ y).square().sum() + (b @ x).square().sum())
    total = total + (second_moment(a) * second_moment(b)).sum()
    total = total + size * size * (x @ y - mean).square()
    square = (total - (own - mean).square().sum()) / pairs
    return {"off_diagonal_mean": mean, "off_diagonal_std": square.clamp_min(0).sqrt()}


def _pair(
    image_means: Tensor, text: Tensor, *, centred: bool, keep_scale: bool = False
) -> tuple[Tensor, Tensor]:
    check_paired_rows("image_means", image_means, "text", text)
    rows = class_rows("text", text, centred=centred, keep_scale=keep_scale)
    means = class_rows("image_means", image_means, centred=centred, keep_scale=keep_scale)
    common = torch.promote_types(rows.dtype, means.dtype)
    return means.to(common), rows.to(common)


def delta_mid_batch(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """Sample-level twin of `delta_mid`, for losses: class-balanced mean of 1 - cos(f_i, g_y).

    Over the classes present in the batch; label -1 is ignored. It exceeds `delta_mid` where
    within-class spread shortens the class means, and equals it on fully collapsed classes.
    In [0, 2], lower is more collapsed. Equals CPT's L_CC / 2 (arXiv:2605.11939) and half of
    `alignment` at alpha 2. Differentiable. NaN for a batch without labels.
    """
    rows, targets = labelled_rows(features, labels, text)
    rows = normalise_rows(rows)
    cosines = (rows * normalise_rows(text).to(rows.dtype)[targets]).sum(dim=1)
    return class_balanced_mean(1 - cosines, targets, len(text))


def alignment(features: Tensor, labels: Tensor, text: Tensor, *, alpha: float = 2.0) -> Tensor:
    """Class-balanced mean of ||f_i - g_y||^alpha (after Wang & Isola 2020, pairs image and text).

    Features (N, D), labels (N,) with -1 ignored, text (K, D). In [0, 2^alpha], lower is better
    aligned. At alpha 2 and unit rows it is twice `delta_mid_batch`. Differentiable.
    """
    rows, targets = labelled_rows(features, labels, text)
    distances = (rows - working(text).to(rows.dtype)[targets]).square().sum(dim=1)
    return class_balanced_mean(distances.pow(alpha / 2), targets, len(text))


def labelled_rows(
    features: Tensor, labels: Tensor, text: Tensor, *, name: str = "text"
) -> tuple[Tensor, Tensor]:
    """Those of (N, D) features that have a label, in their working dtype, and their labels.

    Raises:
        ShapeError: wrong shapes or labels, or text (K, D), called `name`, of another width.
    """
    check_class_rows(name, text)
    check_samples(features, labels, len(text))
    if text.shape[1] != features.shape[1]:
        raise ShapeError(
            f"`{name}` is {tuple(text.shape)}; expected (K, {features.shape[1]}), "
            f"as wide as the features"
        )
    if labels_are_known():
        return working(features), labels.long()
    kept = labels >= 0
    return working(features[kept]), labels[kept].long()


def class_balanced_mean(values: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean over the classes present of the mean over each class's samples.

    Of values (N,) a scalar; of rows (N, D) their class-balanced centre (D,). NaN without samples.
    """
    counts = labels.new_zeros(num_classes).index_add(0, labels, torch.ones_like(labels))
    sums = values.new_zeros(num_classes, *values.shape[1:]).index_add(0, labels, values)
    each = counts.clamp_min(1).view(-1, *[1] * (values.ndim - 1))
    return (sums / each).sum(dim=0) / (counts > 0).sum()  # no device is asked which are present


def modality_gap(image_means: Tensor, text: Tensor) -> Tensor:
    """|| mean over k of h_k - mean over k of g_k ||, class-balanced, of (K, D) text and means.

    In [0, 2] for unit rows, 0 where the centres coincide. About 0.82 for CLIP on MSCOCO (Liang
    et al. 2022, who use sample means: `modality_gap_samples`). Differentiable.
    """
    check_paired_rows("image_means", image_means, "text", text)
    return (working(image_means).mean(dim=0) - working(text).mean(dim=0)).norm()


def modality_gap_samples(features: Tensor, text: Tensor) -> Tensor:
    """Liang et al.'s gap (2022): || mean over samples of f_i - mean over rows of g_k ||.

    Features (N, D) and text (K, D). In [0, 2] for unit rows. Head classes weigh more.
    """
    check_class_rows("features", features, least=1)
    check_class_rows("text", text, least=1)
    return (working(features).mean(dim=0) - working(text).mean(dim=0)).norm()


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
