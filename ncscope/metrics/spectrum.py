"""Spectrum of class vectors, and whether the frozen model's hierarchy of classes was kept.

K classes, D embedding width.
"""

import math

import torch
from torch import Tensor

from ncscope._checks import check_paired_rows
from ncscope.metrics.rows import class_rows


def participation_ratio(rows: Tensor, *, centred: bool = True) -> Tensor:
    """(sum lambda)^2 / sum lambda^2 over the eigenvalues of the Gram matrix of (K, D) rows.

    In [1, min(K-1, D)] centred; higher is more collapsed: K - 1 at a simplex ETF. Centred
    `etf_distance` is sqrt(2 - 2 sqrt(PR / (K-1))). Differentiable. NaN where all rows are zero.
    """
    rows = class_rows("rows", rows, centred=centred)
    gram = rows @ rows.T
    return gram.trace().square() / gram.square().sum()


def effective_rank(rows: Tensor, *, centred: bool = True) -> Tensor:
    """exp of the entropy of lambda / sum(lambda), the eigenvalues of the Gram matrix of (K, D).

    In [1, min(K-1, D)] centred; K - 1 at a simplex ETF (Roy & Vetterli 2007). Differentiable.
    NaN where all rows are zero.
    """
    rows = class_rows("rows", rows, centred=centred)
    small = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
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
    """
    check_paired_rows("text", text, "frozen", frozen)
    left = _entries(class_rows("text", text, centred=centred), ranked=spearman)
    right = _entries(class_rows("frozen", frozen, centred=centred), ranked=spearman)
    return left @ right.to(left.dtype)


def _entries(rows: Tensor, *, ranked: bool) -> Tensor:
    """Entries of G G^T above the diagonal, or their ranks, less their mean and of norm one.

    NaN where they are equal up to rounding, whose correlation or ranks would read as a number.
    """
    gram = rows @ rows.T
    upper = torch.triu_indices(len(rows), len(rows), offset=1, device=rows.device)
    values = gram[upper[0], upper[1]]
    # Rounding is relative to the rows' squared norms, and grows as the square root of D.
    noise = 2 * math.sqrt(rows.shape[1]) * torch.finfo(rows.dtype).eps * gram.detach().diagonal()
    level = (values - values.mean()).detach().abs().max() <= noise.mean()
    values = _ranks(values) if ranked else values
    values = values - values.mean()
    return torch.where(level, torch.nan, values / values.norm())


def _ranks(values: Tensor) -> Tensor:
    """Ranks (from 0) with ties averaged."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0)
    middle = last.to(values.dtype) - (counts.to(values.dtype) + 1) / 2
    return middle[inverse]
