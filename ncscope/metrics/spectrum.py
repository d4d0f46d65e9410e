"""Spectrum of class vectors, and whether the frozen model's hierarchy of classes was kept.

K classes, D embedding width.
"""

import math

import torch
from torch import Tensor

from ncscope._checks import check_paired_rows
from ncscope.errors import ShapeError
from ncscope.metrics.pairs import mean_product, products
from ncscope.metrics.rows import class_rows
from ncscope.metrics.second import second_moment

MOST_RANKED = 5000  # classes: a GB of ranks and pairs


def participation_ratio(rows: Tensor, *, centred: bool = True) -> Tensor:
    """(sum lambda)^2 / sum lambda^2 over the eigenvalues of the Gram matrix of (K, D) rows.

    In [1, min(K-1, D)] centred; higher is more collapsed: K - 1 at a simplex ETF. Centred
    `etf_distance` is sqrt(2 - 2 sqrt(PR / (K-1))). Differentiable. NaN where all rows are zero.
    """
    gram = _smaller_gram(rows, centred=centred)
    return gram.trace().square() / gram.square().sum()


def _smaller_gram(rows: Tensor, *, centred: bool) -> Tensor:
    """(K, K) or (D, D), which have the same eigenvalues but for zeros."""
    if rows.shape[0] > rows.shape[1]:
        return second_moment(class_rows("rows", rows, centred=False), centred=centred)
    rows = class_rows("rows", rows, centred=centred)
    return rows @ rows.T


def effective_rank(rows: Tensor, *, centred: bool = True) -> Tensor:
    """exp of the entropy of lambda / sum(lambda), the eigenvalues of the Gram matrix of (K, D).

    In [1, min(K-1, D)] centred; K - 1 at a simplex ETF (Roy & Vetterli 2007). Differentiable.
    NaN where all rows are zero.
    """
    small = _smaller_gram(rows, centred=centred)
    if not bool(torch.isfinite(small).all()):  # on which the solver fails
        return small.new_full((), torch.nan)
    values = torch.linalg.eigvalsh(small).clamp_min(0)
    shares = values / values.sum()
    # The entropy has no gradient at a share of 0, and centred rows always have a null direction.
    return torch.special.entr(torch.where(shares == 0, 1.0, shares)).sum().exp()


def hierarchy_retention(
    text: Tensor, frozen: Tensor, *, centred: bool = False, spearman: bool = False
) -> Tensor:
    """Correlation of the off-diagonal entries of G G^T with those of the frozen model's.

    Which classes are alike, before and after tuning; both (K, D), the same classes in the same
    order. In [-1, 1], 1 = hierarchy kept; K >= 3. Pearson, or Spearman (average ranks) if asked
    for. At an exact ETF the entries are all equal and the correlation is undefined: NaN.
    Differentiable (Pearson).

    Raises:
        ShapeError: shapes that differ, or ranks of more than `MOST_RANKED` classes.
    """
    check_paired_rows("text", text, "frozen", frozen)
    if spearman and len(text) > MOST_RANKED:
        raise ShapeError(
            f"the ranks of all pairs of K = {len(text)} classes are held at once; expected at most "
            f"{MOST_RANKED} classes for spearman=True (Pearson has no limit)"
        )
    left = class_rows("text", text, centred=centred)
    right = class_rows("frozen", frozen, centred=centred).to(left.dtype)
    means = mean_product(left), mean_product(right)
    sums, tops = [], []
    for one, other in zip(products(left), products(right), strict=True):
        x, y = one.different - means[0], other.different - means[1]
        tops.append(torch.stack([x.detach().abs().max(), y.detach().abs().max()]))
        if not spearman:
            sums.append(one.times * torch.stack([(x * y).sum(), x.dot(x), y.dot(y)]))
    if spearman:
        x, y = _upper_ranks(left), _upper_ranks(right)
        sums = [torch.stack([x.dot(y), x.dot(x), y.dot(y)])]
    both, of_left, of_right = torch.stack(sums).sum(dim=0)
    top = torch.stack(tops).amax(dim=0)
    level = (top[0] <= _rounding(left)) | (top[1] <= _rounding(right))
    return torch.where(level, torch.nan, both / (of_left.sqrt() * of_right.sqrt()))


def _rounding(rows: Tensor) -> Tensor:
    """What rounding makes of equal entries of G G^T: a correlation of it would read as a number.

    Relative to the rows' squared norms, and as large as the square root of D.
    """
    rows = rows.detach()
    eps = torch.finfo(rows.dtype).eps
    return 2 * math.sqrt(rows.shape[1]) * eps * rows.square().sum(dim=1).mean()


def _upper_ranks(rows: Tensor) -> Tensor:
    """Ranks, less their mean, of the entries of G G^T above its diagonal."""
    upper = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    ranks = _ranks((rows @ rows.T)[upper[0], upper[1]])
    return ranks - ranks.mean()


def _ranks(values: Tensor) -> Tensor:
    """Ranks (from 0) with ties averaged."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    middle = last.to(values.dtype) - (counts.to(values.dtype) + 1) / 2
    return middle[inverse]
