"""Terms of training objectives beside `delta_lcd` and `delta_mid`: NPT's forms and CPT's losses.

NPT trains L = L_CE + w1 L_LC + w2 L_MI, with L_LC = `delta_lcd(text, power=2)`; after
arXiv:2306.15955, whose formulas are not available to this project. CPT (arXiv:2605.11939) adds a
clustered ETF, a centre and a residual term, with weights 0.25 / 0.15 / 0.10; from a note about that
paper, which does not state the cluster count. Last, what cross-entropy itself does to each class's
text feature: its own images pull, others push (a reading of Remarks 1-3 on class imbalance).

The definitions are this project's own. NPT's are means, so that a weight means the same on 10
classes and on 1000: over the classes present, of the mean over each class's samples; label -1 is
ignored. All terms are differentiable. Between uncentred vectors only cosines enter, `dispersion`
apart; centred ones, with `image_mean`, are used as given: normalise text and features first, and
take the class-balanced mean of the unit rows, as `ncscope.NPTLoss` does.

N samples of a batch, K classes, D embedding width, M clusters.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ncscope._checks import check_finite, check_paired_rows
from ncscope.errors import ShapeError
from ncscope.metrics.duality import class_balanced_mean, delta_mid_batch, labelled_rows
from ncscope.metrics.frames import nearest_etf
from ncscope.metrics.pairs import mean_over_pairs, products
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
        image_mean: (D,) class-balanced mean of image features; given, cosines are taken between
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
    own = torch.zeros_like(cosines, dtype=torch.bool).scatter(1, targets.unsqueeze(1), True)
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
    return mean_over_pairs(products(rows), torch.square)


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


def cpt_clusters(frozen: Tensor, num_clusters: int, *, seed: int = 0) -> Tensor:
    """Cluster index (K,) of each row of the (K, D) frozen prototypes: K-means on unit rows.

    Once before training; the map stays fixed. Clusters are numbered by their first class.
    """
    from sklearn.cluster import KMeans  # slow to import, and only this option needs it

    rows = normalise_rows(class_rows("frozen", frozen, centred=False))
    if not 1 <= num_clusters <= len(rows):
        raise ShapeError(f"`num_clusters` must lie in 1..K = {len(rows)}; got {num_clusters}")
    check_finite("frozen", rows)  # a row of length 0 is NaN by now
    found = KMeans(num_clusters, random_state=seed, n_init="auto").fit_predict(
        rows.detach().double().cpu().numpy()
    )
    order: dict[int, int] = {}
    renumbered = [order.setdefault(int(cluster), len(order)) for cluster in found]
    return torch.tensor(renumbered, device=frozen.device)


def cpt_tetf(text: Tensor, clusters: Tensor, *, printed: bool = False) -> Tensor:
    """L_TETF: each cluster's prototypes towards a simplex ETF of their own; text (K, D).

    (1/M) sum over m of ||C_m + (1 1^T - I)/(k_m - 1)||_F^2, less k_m: as printed, the diagonal
    stays inside and a perfect ETF gives k_m (`printed=True`). Clusters of one class are skipped.
    For one cluster it is K(K-1) `delta_lcd(power=2)`. Scalar >= 0, 0 ideal; a sum, so its
    size grows with k_m^2. NaN if every cluster is a single class. Differentiable.
    """
    rows = normalise_rows(class_rows("text", text, centred=False))
    if clusters.shape != rows.shape[:1]:
        raise ShapeError(
            f"`clusters` must be (K,) with K = {len(rows)}; got {tuple(clusters.shape)}"
        )
    same = clusters.unsqueeze(1) == clusters  # (K, K); which they are is not asked of a device
    sizes = same.sum(dim=1)
    gaps = rows @ rows.T + (1 / (sizes - 1).clamp_min(1)).to(rows).unsqueeze(1)
    apart = off_diagonal(torch.where(same, gaps, 0.0)).square().sum()
    several = sizes > 1
    number = (several / sizes).sum().round()  # of clusters of several classes
    return (apart + (several.sum() if printed else 0)) / number


def cpt_cc(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """L_CC: class-balanced mean of ||f_i - g_y||^2, both normalised; = 2 `delta_mid_batch`.

    In [0, 4], 0 ideal. Differentiable.
    """
    return 2 * delta_mid_batch(features, labels, text)


def cpt_rs(text: Tensor, frozen: Tensor) -> Tensor:
    """L_RS: mean over k of ||g_k - frozen_k||_1, both (K, D) and normalised. >= 0, 0 unchanged."""
    check_paired_rows("text", text, "frozen", frozen)
    rows = normalise_rows(text)
    return (rows - normalise_rows(frozen).to(rows.dtype)).abs().sum(dim=1).mean()


@dataclass(frozen=True, eq=False)
class PullPush:
    """The two parts of the negative gradient of the mean cross-entropy at (K, D) text features.

    -dL/dg_k = pull_k + push_k, `pull` = (s/N) sum over y_i = k of (1 - p_ik) f_i and `push` =
    -(s/N) sum over y_j != k of p_jk f_j. A tail class has few terms in the first and nearly all
    images in the second.
    """

    pull: Tensor  # (K, D)
    push: Tensor  # (K, D)

    @property
    def pull_strength(self) -> Tensor:
        """(K,) lengths of the pulls, >= 0."""
        return self.pull.norm(dim=1)

    @property
    def push_strength(self) -> Tensor:
        """(K,) lengths of the pushes, >= 0."""
        return self.push.norm(dim=1)

    def push_alignment(self, classes: Tensor) -> Tensor:
        """Mean cosine between the pushes on some classes, in [-1, 1].

        Near 1 the classes are driven the same way, which makes their text features parallel:
        minority collapse. NaN for fewer than two classes.
        """
        directions = normalise_rows(self.push[classes])
        return off_diagonal(directions @ directions.T).mean()


def pull_push(
    features: Tensor, labels: Tensor, text: Tensor, *, logit_scale: float | Tensor = 100.0
) -> PullPush:
    """Take apart the gradient of cross-entropy at the text features.

    Args:
        features: (N, D), l2-normalised here; label -1 is ignored.
        text: (K, D), l2-normalised here; the gradient is that at the normalised rows.
        logit_scale: s, the multiplier of the cosine.

    Raises:
        ShapeError: shapes that do not fit.
    """
    samples, targets = labelled_rows(features, labels, text)
    samples = normalise_rows(samples)
    rows = normalise_rows(class_rows("text", text, centred=False)).to(samples.dtype)
    shares = (logit_scale * samples @ rows.T).softmax(dim=1)  # (N, K)
    own = torch.zeros_like(shares).scatter(1, targets.unsqueeze(1), 1.0)
    factor = logit_scale / len(samples)
    pull = factor * (own * (1 - shares)).T @ samples
    push = -factor * ((1 - own) * shares).T @ samples
    return PullPush(pull, push)
