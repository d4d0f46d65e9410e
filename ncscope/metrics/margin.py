"""How surely images are told apart by text: margins, distances to the boundary, ranks, clusters.

N images, K classes, D embedding width. Rows are used as given: of unit rows, products are cosines.
"""

import warnings

import torch
from torch import Tensor

from ncscope._checks import check_class_rows, check_samples, working
from ncscope.errors import ShapeError
from ncscope.metrics.pairs import Distances
from ncscope.metrics.rows import accumulator_dtype, rescaled

_SCORES = 1 << 22  # images x classes whose scores are held at a time


def margins(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """(N,) product with the own class's text less the largest with another's; NaN for label -1.

    In [-2, 2] for unit rows; above 0 the image is classified rightly. Higher is better; 1 + 1/(K-1)
    for images on the text of a simplex ETF (Bartlett et al. 1998: the margin of a classifier).
    """
    return _least(features, labels, text, scaled=False)


def boundary_distances(features: Tensor, labels: Tensor, text: Tensor) -> Tensor:
    """(N,) signed length of the least shift of an image that changes a right decision.

    min over j of <f, g_y - g_j> / |g_y - g_j|: above 0 for images classified rightly, below 0 for
    others. In [-1, 1] for unit rows, higher is more robust; of a collapsed simplex ETF
    sqrt(K / (2 (K-1))). 0 where another class has the own class's text. NaN for label -1. The
    distance to the boundary of a linear classifier (Moosavi-Dezfooli et al. 2016).
    """
    return _least(features, labels, text, scaled=True)


def _least(features: Tensor, labels: Tensor, text: Tensor, *, scaled: bool) -> Tensor:
    check_class_rows("text", text)
    check_samples(features, labels, len(text))
    text = working(text)
    spans = Distances(text.to(accumulator_dtype(text.device))) if scaled else None
    found = []
    step = max(1, _SCORES // len(text))
    for rows, own in zip(features.split(step), labels.split(step), strict=True):
        places = own.clamp_min(0).unsqueeze(1)
        scores = working(rows).to(text) @ text.T
        ahead = scores.gather(1, places) - scores
        if spans is not None:
            between = spans.of(places.squeeze(1), text.dtype).sqrt()
            ahead = torch.where(between > 0, ahead / between, torch.zeros_like(ahead))
        ahead.scatter_(1, places, torch.inf)
        found.append(ahead.amin(dim=1).masked_fill(own < 0, torch.nan))
    return torch.cat(found)


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
    counts = torch.bincount(labels[labels >= 0], minlength=num_classes).tolist()
    features = rescaled(working(features))
    found = torch.full((num_classes,), torch.nan, dtype=torch.float64)
    start = int((labels < 0).sum())
    for place, count in enumerate(counts):
        rows = features[order[start : start + min(count, most)]].double()
        start += count
        if count > 1:
            rest = rows - rows.mean(dim=0)
            values = torch.linalg.eigvalsh(rest @ rest.T).clamp_min(0)
            level = torch.finfo(features.dtype).eps ** 2 * rows.square().sum()
            if float(values[-1]) > float(level):
                shares = values / values.sum()
                found[place] = torch.special.entr(shares).sum().exp()
    return found.to(features.device)
