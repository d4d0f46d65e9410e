"""Terms of the NPT objective, L = L_CE + w1 L_LC + w2 L_MI, beside `delta_lcd` and `delta_mid`.

N samples of a batch, K classes, D embedding width. After arXiv:2306.15955, whose formulas are not
available to this project: the definitions are its own, and every one is a mean, so that a weight
means the same on 10 classes and on 1000. L_LC is `delta_lcd(text, power=2)`. Sample-level terms are
means over the classes present of the mean over each class's samples; label -1 is ignored. All are
differentiable. Only cosines enter, `dispersion` apart, so nothing needs normalising first.
"""

from typing import Literal

import torch
from torch import Tensor

from ncscope._checks import check_paired_rows
from ncscope.errors import ShapeError
from ncscope.metrics.duality import class_balanced_mean, labelled_rows
from ncscope.metrics.frames import nearest_etf
from ncscope.metrics.rows import class_rows, normalise_rows, off_diagonal


def push_pull(
    features: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    pull: Literal["squared", "linear"] = "squared",
    image_mean: Tensor | None = None,
) -> Tensor:
    """L_MI: pull each (N, D) feature to its class's text row, push it to -1/(K-1) from the others.

    (cos(f, g_y) - 1)^2 / 2 + sum over k != y of (cos(f, g_k) + 1/(K-1))^2 / (2 (K-1)).
    `pull="linear"` takes 1 - cos(f, g_y) as the first part, i.e. `delta_mid_batch` plus the push.

    Args:
        image_mean: (D,) running mean of image features; given, cosines are taken between
            g_k - mean(G) and f - image_mean (`centred`), which removes the modality gap.

    Returns:
        Scalar >= 0, lower is more collapsed; 0 where text and features are one simplex ETF.
    """
    cosines, targets = _cosines(features, labels, text, image_mean)
    num_classes = len(text)
    own = cosines.gather(1, targets.unsqueeze(1)).squeeze(1)
    gap = 1 / (num_classes - 1)
    # Own class set to zero, not subtracted: near the optimum the rest is smaller than its rounding.
    others = (cosines + gap).square().scatter(1, targets.unsqueeze(1), 0.0).sum(dim=1)
    if pull not in ("squared", "linear"):
        raise ShapeError(f"unknown pull {pull!r}; known: squared, linear")
    pulled = 0.5 * (own - 1).square() if pull == "squared" else 1 - own
    return class_balanced_mean(pulled + 0.5 * gap * others, targets, num_classes)


def dot_regression(
    features: Tensor, labels: Tensor, text: Tensor, *, image_mean: Tensor | None = None
) -> Tensor:
    """(cos(f, g_y) - 1)^2 / 2, class-balanced: the unit-norm case of Yang et al. 2022's loss.

    In [0, 2], 0 where every feature is parallel to its class's text row. No push.
    """
    cosines, targets = _cosines(features, labels, text, image_mean)
    own = cosines.gather(1, targets.unsqueeze(1)).squeeze(1)
    return class_balanced_mean(0.5 * (own - 1).square(), targets, len(text))


def log_collapse(
    features: Tensor, labels: Tensor, text: Tensor, *, image_mean: Tensor | None = None
) -> Tensor:
    """MLC-NC's logarithmic form of L_MI, mean over classes, class-balanced over samples.

    -[y log((1 + cos)/2) + (1 - y) log(1 - (K-1)/K |cos + 1/(K-1)|)]. Lower is more collapsed, 0 at
    a shared simplex ETF; inf where a feature is opposite to its text row, or parallel to another's.
    """
    cosines, targets = _cosines(features, labels, text, image_mean)
    num_classes = len(text)
    gap = (cosines + 1 / (num_classes - 1)).abs() * (num_classes - 1) / num_classes
    own = torch.nn.functional.one_hot(targets, num_classes).bool()
    # Rounding can carry a cosine past -1 or 1, where the logarithm is inf and not NaN.
    kept = torch.where(own, (1 + cosines) / 2, 1 - gap).clamp_min(0)
    return class_balanced_mean(-kept.log().mean(dim=1), targets, num_classes)


def anchored(
    text: Tensor,
    anchor: Tensor | None = None,
    *,
    features: Tensor | None = None,
    labels: Tensor | None = None,
) -> Tensor:
    """Squared distance of cosines with a fixed ETF's rows from one: text, and features if given.

    mean over k of (cos(g_k, m_k) - 1)^2 / 2, plus the class-balanced mean of
    (cos(f_i, m_y) - 1)^2 / 2.

    Args:
        anchor: (K, D) rows of the frame; by default `nearest_etf(text)`, which keeps CLIP's
            alignment. A random frame discards it and ruins transfer to new classes.

    Returns:
        Scalar >= 0, 0 where everything lies on the anchor.

    Raises:
        ShapeError: K > D + 1, where no such frame exists; features without labels.
    """
    if (features is None) != (labels is None):
        raise ShapeError("`features` and `labels` go together; got one without the other")
    frame = nearest_etf(text) if anchor is None else anchor
    check_paired_rows("text", text, "anchor", frame)
    frame = normalise_rows(frame.detach())
    rows = normalise_rows(text)
    total = 0.5 * ((rows * frame.to(rows.dtype)).sum(dim=1) - 1).square().mean()
    if features is None or labels is None:
        return total
    return total + dot_regression(features, labels, frame.to(rows.dtype))


def dispersion(text: Tensor) -> Tensor:
    """ATFD, the average distance of (K, D) text features from their mean (C-TPT).

    (1/K) sum over k of ||g_k - mean(G)||. In [0, 1] for unit rows; higher is more dispersed. The
    loss is its negative.
    """
    return class_rows("text", text, centred=True).norm(dim=1).mean()


def orthogonality(text: Tensor) -> Tensor:
    """Mean over i != j of cos(g_i, g_j)^2 of (K, D) text features.

    O-TPT's off-diagonal part of ||G G^T - I||^2 as a mean; its released code penalises a
    Householder factor of the Gram matrix instead. In [0, 1], 0 for orthogonal rows.
    """
    rows = normalise_rows(class_rows("text", text, centred=False))
    return off_diagonal(rows @ rows.T).square().mean()


def _cosines(
    features: Tensor, labels: Tensor, text: Tensor, image_mean: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Cosines (N', K) of the labelled features with all text rows, and their labels (N',)."""
    samples, targets = labelled_rows(features, labels, text)
    rows = class_rows("text", text, centred=image_mean is not None)
    if image_mean is not None:
        samples = samples - image_mean
    samples = normalise_rows(samples)
    return samples @ normalise_rows(rows).to(samples.dtype).T, targets
