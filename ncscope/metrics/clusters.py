"""k-means by Lloyd's rounds, and how its clusters agree with classes.

In torch, for a start of scikit-learn takes longer than a tuning run's measures. From one seed the
clusters are those of its `KMeans`, whose draws, stopping rule and care for empty clusters these are
(tests compare them; of starts that are equally good, rounding takes either).
N images, C clusters, D width.
"""

import math

import numpy as np
import torch
from torch import Tensor

from ncscope._checks import working
from ncscope.metrics.rows import rescaled

_SCORES = 1 << 22  # images x clusters whose scores are held at a time
_ROUNDS = 300  # at most
_STILL = 1e-4  # of the mean variance: centres that move by less have arrived


def cluster_agreement(features: Tensor, labels: Tensor, *, seed: int = 0) -> tuple[float, float]:
    """V-measure and adjusted Rand index of k-means of the images, as many clusters as labels.

    Both 1 where the clusters are the classes; about 0 by chance (V-measure in [0, 1], which many
    small clusters raise; ARI in [-0.5, 1]). Higher is more collapsed images (Rosenberg & Hirschberg
    2007; Hubert & Arabie 1985). One start from `seed`; label -1 ignored.
    """
    kept = labels >= 0
    own = labels[kept].cpu().unique(return_inverse=True)[1]
    found = kmeans(rescaled(working(features[kept])), len(own.unique()), seed=seed)
    return v_measure(own, found), adjusted_rand(own, found)


def kmeans(rows: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """(N,) the cluster of each of (N, D) rows, on the CPU; fewer than `count` of equal rows.

    Greedy k-means++ from `seed` (Arthur & Vassilvitskii 2007), then means and nearest means in turn
    until nothing changes or the means hardly move.
    """
    rows = rows.detach().cpu()
    rows = rows - rows.mean(dim=0)  # near zero, differences of squares keep their digits
    still = _STILL * float(rows.var(dim=0, correction=0).mean())
    centres, found = rows[_seeds(rows, count, np.random.RandomState(seed))], None
    for _ in range(_ROUNDS):
        nearest = _nearest(rows, centres)
        if found is not None and torch.equal(nearest, found):
            return found
        before, found = centres, nearest
        centres = _means(rows, found, before)
        if float((centres - before).square().sum()) <= still:
            break
    return _nearest(rows, centres)


def _seeds(rows: Tensor, count: int, draw: np.random.RandomState) -> list[int]:
    """Numbers of `count` rows, each the one of a few drawn by squared distance that helps most."""
    rows = rows.double()
    squares, trials = rows.square().sum(dim=1), 2 + int(math.log(count))
    chosen = [int(draw.choice(len(rows), p=np.full(len(rows), 1 / len(rows))))]
    left = _distances(rows, squares, chosen)[0]  # squared, to the nearest of those chosen
    while len(chosen) < count:
        along = torch.from_numpy(draw.uniform(size=trials)) * left.sum()
        places = torch.searchsorted(left.cumsum(0), along).clamp_max(len(rows) - 1)
        nearer = torch.minimum(left, _distances(rows, squares, places.tolist()))
        best = int(nearer.sum(dim=1).argmin())
        chosen.append(int(places[best]))
        left = nearer[best]
    return chosen


def _distances(rows: Tensor, squares: Tensor, places: list[int]) -> Tensor:
    """(P, N) squared distances of all rows from those at P places."""
    found = squares[places].unsqueeze(1) + squares - 2 * rows[places] @ rows.T
    found[torch.arange(len(places)), torch.tensor(places)] = 0
    return found.clamp_min_(0)


def _nearest(rows: Tensor, centres: Tensor) -> Tensor:
    """(N,) the nearest of (C, D) centres, the first of equally near ones."""
    level = centres.square().sum(dim=1)
    parts = rows.split(max(1, _SCORES // len(centres)))
    return torch.cat([torch.addmm(level, part, centres.T, alpha=-2).argmin(1) for part in parts])


def _means(rows: Tensor, found: Tensor, before: Tensor) -> Tensor:
    """(C, D) each cluster's mean; one that lost all its rows takes the farthest row of another."""
    sums = torch.zeros_like(before).index_add_(0, found, rows)
    sizes = torch.bincount(found, minlength=len(before)).to(rows)
    empty = (sizes == 0).nonzero().flatten()
    if len(empty):
        far, places = (rows - before[found]).square().sum(dim=1).topk(len(empty))
        empty, places = empty[far > 0], places[far > 0]
        sums.index_add_(0, found[places], -rows[places])
        sizes.index_add_(0, found[places], -torch.ones_like(sizes[places]))
        sums[empty], sizes[empty] = rows[places], 1
    return torch.where(sizes.unsqueeze(1) > 0, sums / sizes.clamp_min(1).unsqueeze(1), before)


def v_measure(one: Tensor, other: Tensor) -> float:
    """Harmonic mean of homogeneity and completeness of two (N,) groupings, in [0, 1]."""
    shared, first, second = (counts.double() / len(one) for counts in _table(one, other))
    own, others = (float(-(part * part.log()).sum()) for part in (first, second))
    common = own + others + float((shared * shared.log()).sum())
    parts = [max(0.0, common / most) if most > 0 else 1.0 for most in (own, others)]
    return 2 * math.prod(parts) / sum(parts) if sum(parts) else 0.0


def adjusted_rand(one: Tensor, other: Tensor) -> float:
    """Pairs that two (N,) groupings agree on, 0 by chance and 1 where they are the same."""
    shared, first, second = (float((n * (n - 1) // 2).sum()) for n in _table(one, other))
    pairs = len(one) * (len(one) - 1) / 2
    chance = first * second / pairs if pairs else 0.0
    most = (first + second) / 2
    return (shared - chance) / (most - chance) if most != chance else 1.0


def _table(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How many are in each pair of groups that occurs, in each group of one, in each of other."""
    pairs = one * (int(other.max()) + 1) + other
    return tuple(part.unique(return_counts=True)[1] for part in (pairs, one, other))
