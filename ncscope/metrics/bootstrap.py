"""Seeded bootstrap intervals, over samples within their class and over classes.

N samples, K classes.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.errors import ShapeError
from ncscope.metrics.pairs import Block


@dataclass(frozen=True)
class Interval:
    """A central interval of a measure. `bias` is the replicates' mean minus the value.

    The interval is the percentile interval shifted by -bias: replicates of a measure such as NC1
    are off by what the duplicates in them cost, and their plain percentiles can miss the value.
    """

    low: float
    high: float
    bias: float
    replicates: int


def resample_within_classes(
    labels: Tensor, *, replicates: int, seed: int, only: Container[int] | None = None
) -> Iterator[Tensor]:
    """Yield index tensors (N',): each class's samples drawn anew with replacement.

    Class sizes stay what they are; label -1 is left out. `only` yields those replicates, as they
    are among all.
    """
    generator = torch.Generator().manual_seed(seed)
    host = labels.cpu()
    order = torch.argsort(host, stable=True)
    order = order[host[order] >= 0]
    sizes = torch.bincount(host[order])
    starts = (sizes.cumsum(0) - sizes)[host[order]]
    spans = sizes[host[order]]
    for place in range(replicates):
        draws = torch.rand(len(order), dtype=torch.float64, generator=generator)
        if only is not None and place not in only:
            continue
        yield order[starts + (draws * spans).long()].to(labels.device)


def resample_classes(num_classes: int, *, replicates: int, seed: int) -> Iterator[Tensor]:
    """Yield index tensors (K,) of classes drawn with replacement."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(replicates):
        yield torch.randint(num_classes, (num_classes,), generator=generator)


def bootstrap(
    measure: Callable[[Tensor], Mapping[str, float]],
    value: Mapping[str, float],
    draws: Iterator[Tensor],
    *,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Intervals of `measure(index)` around `value`, over the index tensors in `draws`.

    A measure that is not finite in some replicate gets its interval from the others; one that is
    finite in fewer than two has none.
    """
    return intervals_of(map(measure, draws), value, level=level)


def intervals_of(
    replicates: Iterable[Mapping[str, float]], value: Mapping[str, float], *, level: float = 0.95
) -> dict[str, Interval]:
    """Intervals around `value` from the numbers of each replicate, as `bootstrap` gives them.

    Raises:
        ShapeError: `level` is no probability.
    """
    if not 0 < level < 1:
        raise ShapeError(f"`level` must lie in (0, 1); got {level}")
    table: dict[str, list[float]] = {name: [] for name in value}
    for numbers in replicates:
        for name, number in numbers.items():
            if name in table:
                table[name].append(number)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    intervals = {}
    for name, numbers in table.items():
        found = torch.tensor(numbers, dtype=torch.float64)
        found = found[torch.isfinite(found)]
        if len(found) < 2:
            continue
        bias = float(found.mean()) - value[name]
        low, high = (float(q) - bias for q in torch.quantile(found, tails))
        intervals[name] = Interval(low, high, bias, len(found))
    return intervals


def pair_means(matrix: Tensor | Iterable[Block], draws: Tensor) -> Tensor:
    """Means (R,) of a symmetric (K, K) over pairs of *different* classes, for class draws (R, K).

    Two copies of one class are no pair: their entry says nothing about the geometry. An entry
    that is NaN or inf makes the mean so if its classes are drawn; NaN without two classes. With w
    the number of times each class was drawn, a mean is w'Mw / (K^2 - w'w), diagonal aside: one
    product of matrices for all draws. The matrix as a whole, or in blocks on and above its
    diagonal; of those as many classes are drawn as there are.
    """
    size = draws.shape[1]
    if isinstance(matrix, Tensor):
        size = len(matrix)
        whole = slice(0, size)
        matrix = [Block(whole, whole, matrix)]
    counts = torch.zeros(len(draws), size, dtype=torch.float64)
    counts.scatter_add_(1, draws.cpu(), torch.ones(draws.shape, dtype=torch.float64))
    sums = pairs = None
    for block in matrix:
        weights = counts.to(block.values)
        left, right = weights[:, block.rows], weights[:, block.columns]
        found = block.times * _weighted(block, left, right)
        sums = found if sums is None else sums + found
        pairs = weights.sum(dim=1).square() - weights.square().sum(dim=1)
    assert sums is not None
    assert pairs is not None
    return sums / pairs


def _weighted(block: Block, left: Tensor, right: Tensor) -> Tensor:
    """Sums (R,) of a block's entries, times how often its row and its column were drawn."""
    plain = block.values.clone()
    if block.times == 1:
        plain.fill_diagonal_(0)
    odd = ~plain.isfinite()
    if not bool(odd.any()):
        return ((left @ plain) * right).sum(dim=1)
    rows, columns = odd.nonzero().unbind(dim=1)
    times = left[:, rows] * right[:, columns]
    sums = torch.where(times > 0, times * plain[rows, columns], 0.0).sum(dim=1)
    return sums + ((left @ plain.masked_fill(odd, 0)) * right).sum(dim=1)


def pair_mean(matrix: Tensor, index: Tensor) -> Tensor:
    """`pair_means` of one class draw (K,)."""
    return pair_means(matrix, index.unsqueeze(0))[0]
