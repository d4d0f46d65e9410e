"""All pairs of K class vectors, a block at a time: never a (K, K) matrix of many classes.

Memory is O(K D + block^2). Up to `BLOCK` classes there is one block. K classes, D embedding width.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ncscope.metrics.rows import normalise_rows, off_diagonal

BLOCK = 512  # rows: 2 MB of float64 a block
MOST_KEPT = 2048  # rows whose (K, K) distances are kept: 34 MB of float64
_FEW_NEAR = 64  # one in so many pairs may be so near that its distance is taken by itself
_FEW_ROWS = 4096  # such pairs whose differences are held at a time


@dataclass(frozen=True, eq=False)
class Block:
    """What some rows have with some columns, on or above the diagonal of a symmetric (K, K)."""

    rows: slice
    columns: slice
    values: Tensor

    @property
    def times(self) -> int:
        """How often each value counts: twice where the block's mirror image is not looked at."""
        return 1 if self.rows == self.columns else 2

    @property
    def different(self) -> Tensor:
        """The values of pairs of different classes, as one vector."""
        return off_diagonal(self.values) if self.times == 1 else self.values.flatten()


def is_many(rows: Tensor) -> bool:
    """Whether (K, D) rows are so many that a (K, K) matrix is larger than anything (D, D)."""
    return len(rows) > max(BLOCK, 2 * rows.shape[1])


def is_crowded(rows: Tensor) -> bool:
    """Whether (K, D) rows are too many for an ETF, and so many that (D, D) is the smaller product.

    With more than 5/4 D classes the distance cannot fall below 0.45 (`etf_distance_floor`), so
    that the plain difference 2 - 2 <X, E> loses no digits.
    """
    return len(rows) > max(BLOCK, rows.shape[1] + rows.shape[1] // 4)


def pair_blocks(size: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of rows and columns, on and above the diagonal, of nearly equal blocks."""
    count = -(-size // BLOCK)
    edges = [place * size // count for place in range(count + 1)]
    ranges = [slice(start, stop) for start, stop in pairwise(edges)]
    for place, rows in enumerate(ranges):
        yield from ((rows, columns) for columns in ranges[place:])


def products(rows: Tensor) -> Iterator[Block]:
    """Inner products of the rows of (K, D)."""
    for here, there in pair_blocks(len(rows)):
        yield Block(here, there, rows[here] @ rows[there].T)


def squared_distances(rows: Tensor) -> Iterator[Block]:
    """||x_i - x_j||^2 between the rows of (K, D); 0 where two coincide up to rounding.

    From inner products; where rows are so near that these would lose digits, by the exact, slower
    way.
    """
    between = Between(rows)
    for here, there in pair_blocks(len(rows)):
        yield Block(here, there, between.squared(here, there))


class Distances:
    """||x_i - x_j||^2 from any rows of (K, D) to all: kept of few rows, made anew of many."""

    def __init__(self, rows: Tensor) -> None:
        self._between, self._rows, whole = Between(rows), rows, slice(0, len(rows))
        self._kept: dict[torch.dtype, Tensor] = {}
        if len(rows) <= MOST_KEPT:
            self._kept[rows.dtype] = self._between.squared(whole, whole)

    def of(self, places: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, K) in `dtype` from the rows at `places` (B,), which may name one more than once."""
        if not self._kept:
            different, back = places.unique(return_inverse=True)
            found = self._between.squared(different, slice(0, len(self._rows)))
            return found.to(dtype).index_select(0, back)
        if dtype not in self._kept:
            self._kept[dtype] = self._kept[self._rows.dtype].to(dtype)
        return self._kept[dtype].index_select(0, places)

    def to_nearest(self) -> Tensor:
        """(K,) from each row to the nearest other one."""
        nearest = self._rows.new_full((len(self._rows),), torch.inf)
        for block in squared_distances(self._rows):
            keep_nearest(nearest, block)
        return nearest


class Between:
    """Squared distances between some rows of (K, D) and others; `norms` (K,) about their mean."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows - rows.mean(dim=0)
        self.norms = self.rows.square().sum(dim=1)
        eps = torch.finfo(rows.dtype).eps
        self.near = eps ** (1 / 3) * self.norms.detach().max()
        self.noise = (4 * eps * rows.detach().norm(dim=1).max()).square()

    def squared(self, here: slice | Tensor, there: slice) -> Tensor:
        left, right = self.rows[here], self.rows[there]
        squared = (self.norms[here].unsqueeze(1) + self.norms[there]).sub(left @ right.T, alpha=2)
        return self.mended(squared, here, there)

    def mended(self, squared: Tensor, here: slice | Tensor, there: slice) -> Tensor:
        """The squared distances of these rows, made anew where they are so small that products
        lose their digits; 0 where two rows coincide up to rounding."""
        if squared.numel() and squared.detach().min() >= max(self.near, self.noise):
            return squared
        left, right = self.rows[here], self.rows[there]
        near = squared.detach() < self.near
        if isinstance(here, slice) and here == there:
            near.fill_diagonal_(fill_value=False)
        places = near.nonzero()
        if len(places) * _FEW_NEAR > squared.numel():
            exact = "donot_use_mm_for_euclid_dist"
            squared = torch.cdist(left, right, compute_mode=exact).square()
        elif len(places):
            rows, columns = places.unbind(dim=1)
            some = zip(rows.split(_FEW_ROWS), columns.split(_FEW_ROWS), strict=True)
            gaps = [(left[i] - right[j]).square().sum(dim=1) for i, j in some]
            squared = squared.index_put((rows, columns), torch.cat(gaps))
        return torch.where(squared.detach() <= self.noise, 0.0, squared)


def mean_over_pairs(blocks: Iterator[Block], function: Callable[[Tensor], Tensor]) -> Tensor:
    """Mean over i != j of a function of the blocks' values. Differentiable."""
    total, count = None, 0
    for block in blocks:
        found = function(block.different)
        part = block.times * found.sum()
        total, count = part if total is None else total + part, count + block.times * len(found)
    assert total is not None
    return total / count


def mean_over_others(
    blocks: Iterator[Block], size: int, function: Callable[[Tensor], Tensor]
) -> Tensor:
    """(K,) for each row i the mean over j != i of a function of the blocks' values."""
    total = None
    for block in blocks:
        found = function(block.values)
        total = found.new_zeros(size) if total is None else total
        if block.times == 1:
            total[block.rows] += found.sum(dim=1) - found.diagonal()
        else:
            total[block.rows] += found.sum(dim=1)
            total[block.columns] += found.sum(dim=0)
    assert total is not None
    return total / (size - 1)


def keep_nearest(nearest: Tensor, block: Block) -> None:
    """Lower each of K `nearest` to the smallest of the block's values of it with another row."""
    values = block.values
    if block.times == 1:
        own = torch.eye(len(values), dtype=torch.bool, device=values.device)
        values = values.masked_fill(own, torch.inf)
    else:
        columns = nearest[block.columns]
        torch.minimum(columns, values.amin(dim=0), out=columns)
    rows = nearest[block.rows]
    torch.minimum(rows, values.amin(dim=1), out=rows)


def mean_product(rows: Tensor) -> Tensor:
    """Mean over i != j of <x_i, x_j> of (K, D) rows, from their sum."""
    size = len(rows)
    return (rows.sum(dim=0).square().sum() - rows.square().sum()) / (size * (size - 1))


class Spread:
    """Mean and variance (ddof 0) of values given as offsets from a level that is near them."""

    def __init__(self, level: Tensor) -> None:
        self.level = level
        self.total = self.squares = torch.zeros_like(level)
        self.count = 0

    def add(self, offsets: Tensor, times: int) -> None:
        """Offsets (n,), each of which counts so many times."""
        self.total = self.total + times * offsets.sum()
        self.squares = self.squares + times * offsets.dot(offsets)
        self.count += times * len(offsets)

    @property
    def mean(self) -> Tensor:
        return self.level + self.total / self.count

    @property
    def variance(self) -> Tensor:
        return (self.squares / self.count - (self.total / self.count).square()).clamp_min(0)


class LogPowers:
    """Logarithms of the mean and of the variance of x^s, from log x, for s of any size."""

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent
        self.first = self.second = torch.tensor(-torch.inf)
        self.count = 0

    def add(self, logs: Tensor, times: int) -> None:
        """Logarithms (n,), each of which counts so many times."""
        logs = logs * self.exponent
        top = logs.detach().max()
        top = torch.where(top.isfinite(), top, 0.0)
        values = (logs - top).exp()
        first, second = (times * values.sum()).log(), (times * values.dot(values)).log()
        self.first = torch.logaddexp(self.first.to(first), top + first)
        self.second = torch.logaddexp(self.second.to(first), 2 * top + second)
        self.count += times * len(logs)

    @property
    def log_mean(self) -> Tensor:
        return self.first - math.log(self.count)

    @property
    def log_variance(self) -> Tensor:
        """-inf where all are equal: var = E[x^2] - E[x]^2, and rounding noise is cut off at 0."""
        second = self.second - math.log(self.count)
        ratio = (2 * self.log_mean - second).clamp_max(0)
        return second + torch.log(-torch.expm1(ratio))


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Of each row of (K, D) the one most alike, and the pairs that point the same way.

    cosine (K,), -2 for a row without direction; which (K,); `twins` the number of pairs whose
    cosine is 1 within 1e-6, `first_twins` up to three of them.
    """

    cosine: Tensor
    which: Tensor
    twins: int
    first_twins: list[tuple[int, int]]


class MostAlike:
    """Finds `Neighbours` block by block of cosines; of equally near ones the first."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.best = torch.full((size,), -2.0, dtype=like.dtype, device=like.device)
        self.which = torch.zeros(size, dtype=torch.int64, device=like.device)
        self.twins, self.first = 0, []

    def add(self, block: Block) -> None:
        """A block's cosines, which are overwritten."""
        here, there, cosines = block.rows, block.columns, block.values.nan_to_num_(-2.0)
        best, which = self.best, self.which
        if here == there:
            cosines.fill_diagonal_(-2.0)
        _take_nearer(best[here], which[here], *cosines.max(dim=1), there.start)
        if here != there:
            _take_nearer(best[there], which[there], *cosines.max(dim=0), here.start)
        alike = cosines > 1 - 1e-6
        if bool(alike.any()):
            alike = alike.triu(diagonal=1) if here == there else alike
            self.twins += int(alike.sum())
            some = alike.nonzero()[:3] + torch.tensor([here.start, there.start])
            self.first = sorted([*self.first, *((a, b) for a, b in some.tolist())])[:3]

    def found(self) -> Neighbours:
        return Neighbours(self.best, self.which, self.twins, self.first)


def neighbours_of(rows: Tensor) -> Neighbours:
    """The nearest other row, by cosine, of each of (K, D) rows; of equally near ones the first."""
    alike = MostAlike(len(rows), rows)
    for block in products(normalise_rows(rows)):
        alike.add(block)
    return alike.found()


def _take_nearer(best: Tensor, which: Tensor, values: Tensor, places: Tensor, start: int) -> None:
    nearer = values > best
    best[nearer] = values[nearer]
    which[nearer] = places[nearer] + start
