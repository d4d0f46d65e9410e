"""How surely images are told apart by text: margins, distances to the boundary, ranks, clusters.

N images, K classes, D embedding width. Rows are used as given: of unit rows, products are cosines.
"""

import warnings

import torch
from torch import Tensor

from ncscope._checks import check_class_rows, check_samples, working
from ncscope.errors import ShapeError
from ncscope.metrics.pairs import Distances
from ncscope.metrics.rows import rescaled

_SCORES = 1 << 22  # images x classes whose scores are held at a time


def margins(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """(N,) product with the own class's text less the largest with another's; NaN for label -1.

    In [-2, 2] for unit rows; above 0 the image is classified rightly. Higher is better; 1 + 1/(K-1)
    for images on the text of a simplex ETF (Bartlett et al. 1998: the margin of a classifier).
    """
    return _of_blocks(features, labels, text, scaled=False)[0]


def boundary_distances(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """(N,) signed length of the least shift of an image that changes a right decision.

    min over j of <f, g_y - g_j> / |g_y - g_j|: above 0 for images classified rightly, below 0 for
    others. In [-1, 1] for unit rows, higher is more robust; of a collapsed simplex ETF
    sqrt(K / (2 (K-1))). 0 where another class has the own class's text. NaN for label -1. The
    distance to the boundary of a linear classifier (Moosavi-Dezfooli et al. 2016).
    """
    return _of_blocks(features, labels, text, scaled=True)[1]


def margins_and_boundaries(features: Tensor, labels: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """`margins` and `boundary_distances` by one product of images and text, each (N,)."""
    return _of_blocks(features, labels, text, scaled=True)


def _of_blocks(
    features: Tensor, labels: Tensor, text: Tensor, *, scaled: bool
) -> tuple[Tensor, Tensor]:
    check_class_rows("text", text)
    check_samples(features, labels, len(text))
    text = working(text)
    rivals = Rivals(text, scaled=scaled)
    order = torch.argsort(
        labels, stable=True
    )  # a class's distances are made for its images at once
    found = torch.empty(2, len(labels), dtype=text.dtype, device=text.device)
    for places in order.split(max(1, _SCORES // len(text))):
        own = labels[places]
        scores = working(features[places]).to(text) @ text.T
        both = rivals.of(scores, own.clamp_min(0))
        found[:, places] = torch.stack(both).masked_fill_(own < 0, torch.nan)
    margin, boundary = found
    return margin, boundary


class Rivals:
    """How far images are ahead of the class that comes nearest to theirs: (K, D) text's.

    Distances between texts are made in the text's own precision to find the nearest boundary, and
    the one found anew from the difference of the two texts.
    """

    def __init__(self, text: Tensor, *, scaled: bool = True) -> None:
        self._text = text
        self._spans = Distances(text) if scaled else None

    def of(self, scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """`margins` and `boundary_distances` (B,) of scores (B, K) and labels (B,)."""
        places = own.unsqueeze(1)
        ahead = scores.gather(1, places) - scores
        ahead.scatter_(1, places, torch.inf)
        margin = ahead.amin(dim=1)
        if self._spans is None:
            return margin, margin
        between = self._spans.of(own, ahead.dtype)
        ratios = ahead.mul_(torch.where(between > 0, between.rsqrt(), 0.0))
        least, which = ratios.scatter_(1, places, torch.inf).min(dim=1)
        gap = (self._text[own] - self._text[which]).norm(dim=1)
        own_ahead = (scores.gather(1, places) - scores.gather(1, which.unsqueeze(1))).squeeze(1)
        return margin, torch.where(least == 0, least, own_ahead / gap)


def recall_at(features: Tensor, text: Tensor, depth: int) -> Tensor:
    """Share of the N rows of `features` whose own row of `text` is among the `depth` nearest.

    Pairs: row i of one side belongs to row i of the other, both (N, D). In [0, 1], higher is
    better; depth / N by chance. A row as near as the own one, up to rounding, counts as nearer, so
    that texts all alike recall nothing. Swap the sides for the other way (recall@k of image-text
    retrieval).
    """
    if features.shape != text.shape or features.ndim != 2:
        raise ShapeError(
            f"`features` and `text` must be pairs of one shape (N, D); "
            f"got {tuple(features.shape)} and {tuple(text.shape)}"
        )
    features, text = working(features), working(text)
    text = text.to(features)
    ranks = []
    noise = 16 * torch.finfo(features.dtype).eps * features.norm(dim=1).max()
    noise = noise * text.norm(dim=1).max()
    step = max(1, _SCORES // len(text))
    for start in range(0, len(text), step):
        scores = features[start : start + step] @ text.T
        own = scores.diagonal(offset=start).unsqueeze(1)
        ranks.append((scores >= own - noise).sum(dim=1))  # its own counts as one
    return (torch.cat(ranks) <= depth).to(features.dtype).mean()


def cluster_agreement(features: Tensor, labels: Tensor, *, seed: int = 0) -> tuple[float, float]:
    """V-measure and adjusted Rand index of k-means of the images, as many clusters as labels.

    Both 1 where the clusters are the classes; about 0 by chance (V-measure in [0, 1], which many
    small clusters raise; ARI in [-0.5, 1]). Higher is more collapsed images (Rosenberg & Hirschberg
    2007; Hubert & Arabie 1985). scikit-learn's `KMeans`, one start from `seed`; label -1 ignored.
    """
    from sklearn.cluster import KMeans  # slow to import
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    kept = labels >= 0
    own = labels[kept].cpu().numpy()
    rows = rescaled(working(features[kept])).detach().cpu().numpy()
    count = len(set(own.tolist()))
    clusters = KMeans(count, n_init="auto", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        found = clusters.fit_predict(rows)
    return float(v_measure_score(own, found)), float(adjusted_rand_score(own, found))


def within_ranks(features: Tensor, labels: Tensor, num_classes: int, *, most: int = 100) -> Tensor:
    """(K,) effective rank of each class's images about their mean; NaN below two images.

    exp of the entropy of the shares of the within-class covariance's eigenvalues (Roy & Vetterli
    2007), in [1, min(n - 1, D)] for n images: compare classes of equally many. Lower is fewer ways
    to differ; no ideal. The first `most` images of a class are taken; NaN where all are alike.
    """
    check_samples(features, labels, num_classes)
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels[labels >= 0], minlength=num_classes)
    starts = counts.cumsum(0) - counts + int((labels < 0).sum())
    features = rescaled(working(features))
    level = torch.finfo(features.dtype).eps ** 2
    found = torch.full((num_classes,), torch.nan, dtype=torch.float64, device=features.device)
    taken = counts.clamp_max(most)
    for count in taken.unique().tolist():
        classes = (taken == count).nonzero().squeeze(1)
        if count < 2:
            continue
        places = torch.arange(count, device=features.device)
        for some in classes.split(max(1, _SCORES // (count * features.shape[1]))):
            rows = features[order[starts[some].unsqueeze(1) + places]].double()  # (C, n, D)
            rest = rows - rows.mean(dim=1, keepdim=True)
            values = torch.linalg.eigvalsh(rest @ rest.mT).clamp_min(0)
            shares = values / values.sum(dim=1, keepdim=True)
            ranks = torch.special.entr(shares).sum(dim=1).exp()
            spread = values[:, -1] > level * rows.square().sum(dim=(1, 2))
            found[some] = torch.where(spread, ranks, torch.nan)
    return found
