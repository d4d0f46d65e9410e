"""The three losses of CPT (arXiv:2605.11939), to compare with: clustered ETF, centre, residual.

N samples, K classes, D embedding width, M clusters. From a note about the paper: the cluster count
is not stated in what this project has. Weights there: 0.25 / 0.15 / 0.10.
"""

import torch
from torch import Tensor

from ncscope._checks import check_finite, check_paired_rows
from ncscope.errors import ShapeError
from ncscope.metrics.duality import delta_mid_batch
from ncscope.metrics.rows import class_rows, normalise_rows, off_diagonal


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
    terms = []
    for cluster in torch.unique(clusters):
        members = rows[clusters == cluster]
        size = len(members)
        if size > 1:
            gap = members @ members.T + 1 / (size - 1)
            terms.append(off_diagonal(gap).square().sum() + (size if printed else 0))
    return torch.stack(terms).mean() if terms else rows.new_full((), torch.nan)


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
