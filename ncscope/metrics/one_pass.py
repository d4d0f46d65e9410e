"""All that is asked of the pairs of one side's class vectors, raw and centred, by one pass.

A pair's plain distance is made once, in blocks; those between the directions, about the origin and
about the mean, follow from it and from the rows' lengths. K classes, D embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.metrics.pairs import (
    Between,
    Block,
    LogPowers,
    MostAlike,
    Neighbours,
    Spread,
    keep_nearest,
    mean_product,
    pair_blocks,
)
from ncscope.metrics.rows import accumulator_dtype, class_rows, normalise_rows

_EVEN = 1e3  # lengths that differ by more would cost digits of what follows from plain distances


@dataclass(frozen=True, eq=False)
class Pairs:
    """Of one side: `pair_geometry` by form, centred or not; each class's share of `max_angle`
    (K,) by form; and of the rows as given the nearest other one."""

    numbers: dict[bool, dict[str, Tensor]]
    gaps: dict[bool, Tensor]
    neighbours: Neighbours | None


def pair_geometry(rows: Tensor, *, centred: bool = False) -> dict[str, Tensor]:
    """Every measure over pairs of (K, D) class vectors by one pass over their distances, detached.

    `cosine_mean`, `cosine_std`, `cosine_min`, `cosine_max`, `min_angle` (`cosine_summary`),
    `equiangular`, `max_angle`, `cosine_p2` and `cosine_rms` (`delta_lcd`), `orthogonality`,
    `nearest_cosine`, `gnc2/log`, `gnc2/dist`, `gnc2/riesz_log` each with `_variance`, and
    `uniformity` at t = 2, of the directions of the rows, centred if asked for. Range and direction
    of each are in the functions named. In float64; memory O(K D + block^2).
    """
    return pairs_of(rows, forms=(centred,)).numbers[centred]


def pairs_of(
    rows: Tensor,
    *,
    forms: Sequence[bool] = (False, True),
    plain: Callable[[Block], None] | None = None,
) -> Pairs:
    """One pass over the pairs of (K, D) rows, detached.

    Args:
        forms: whether centred.
        plain: is also given each block of squared distances between the rows themselves.
    """
    given = rows.detach().to(accumulator_dtype(rows.device))
    sides = {form: _Form(class_rows("rows", given, centred=form)) for form in forms}
    between = Between(given)
    shared = (plain is not None or len(sides) > 1) and all(
        bool(between.norms.max().sqrt() < _EVEN * side.lengths.min())
        and bool(side.lengths.max() < _EVEN**2)
        for side in sides.values()
    )
    alike = MostAlike(len(given), given) if False in sides else None
    for here, there in pair_blocks(len(rows)):
        base = between.squared(here, there) if plain is not None or shared else None
        if plain is not None and base is not None:
            plain(Block(here, there, base))
        for form, side in sides.items():
            squared = side.squared(here, there, base if shared else None)
            if alike is not None and not form:
                alike.add(Block(here, there, 1 - squared / 2))
            side.add(Block(here, there, squared))
    return Pairs(
        {form: side.numbers() for form, side in sides.items()},
        {form: side.gaps / (len(rows) - 1) for form, side in sides.items()},
        None if alike is None else alike.found(),
    )


class _Form:
    """Sums over the pairs of directions of (K, D) rows."""

    def __init__(self, rows: Tensor) -> None:
        directions = normalise_rows(rows)
        self.lengths = rows.norm(dim=1)
        self.width = rows.shape[1]
        self.between = Between(directions)
        self.target = -1 / (len(rows) - 1)
        level = 2 * (directions.square().sum(dim=1).mean() - mean_product(directions))
        self.cosines = Spread(mean_product(directions))
        self.logs, self.distances = Spread(minus_half_log(level)), Spread(level.sqrt())
        self.powers = LogPowers(2 - self.width)
        self.nearest = torch.full_like(directions[:, 0], torch.inf)
        self.farthest = torch.zeros_like(level)
        self.gaps = torch.zeros_like(directions[:, 0])
        self.uniform = torch.zeros_like(level)

    def squared(self, here: slice, there: slice, plain: Tensor | None) -> Tensor:
        """|u_i - u_j|^2 of directions, where known from |x_i - x_j|^2 and the two lengths."""
        if plain is None:
            return self.between.squared(here, there)
        left, right = self.lengths[here].unsqueeze(1), self.lengths[there]
        found = (left - right).square_().neg_().add_(plain).div_(left * right)
        return self.between.mended(found, here, there)

    def add(self, block: Block) -> None:
        """The squared distances of a block's pairs."""
        squared, times = block.different, block.times
        keep_nearest(self.nearest, block)
        self.farthest = torch.maximum(self.farthest, squared.max())
        gaps = torch.mul(block.values, -0.5).add_(1 - self.target).abs_()
        if times == 1:
            gaps.fill_diagonal_(0)
        else:
            self.gaps[block.columns] += gaps.sum(dim=0)
        self.gaps[block.rows] += gaps.sum(dim=1)
        held = torch.mul(squared, -0.5).add_(1 - self.cosines.level)
        self.cosines.add(held, times)
        self.uniform += times * torch.mul(squared, -2, out=held).exp_().sum()
        self.distances.add(torch.sqrt(squared, out=held).sub_(self.distances.level), times)
        torch.log(squared, out=held).mul_(-0.5)
        self.powers.add(-held, times)
        self.logs.add(held.sub_(self.logs.level), times)

    def numbers(self) -> dict[str, Tensor]:
        """Of all pairs added."""
        count = self.cosines.count
        summary = cosine_summary_of(self.cosines, 1 - self.farthest / 2, 1 - self.nearest.min() / 2)
        square = (self.cosines.mean - self.target).square() + self.cosines.variance
        found = {n if n == "min_angle" else f"cosine_{n}": value for n, value in summary.items()}
        found |= {
            "equiangular": summary["std"], "max_angle": self.gaps.sum() / count,
            "cosine_p2": square, "cosine_rms": square.sqrt(),
            "uniformity": (self.uniform / count).log(),
            "orthogonality": self.cosines.mean.square() + self.cosines.variance,
            "nearest_cosine": 1 - self.nearest.mean() / 2,
        }  # fmt: skip
        for name, spread in (("log", self.logs), ("dist", self.distances)):
            found |= {f"gnc2/{name}": spread.mean, f"gnc2/{name}_variance": spread.variance}
        if self.width > 2:
            found["gnc2/riesz_log"] = self.powers.log_mean
            found["gnc2/riesz_log_variance"] = self.powers.log_variance
        return found


def minus_half_log(squared: Tensor) -> Tensor:
    """log(1 / d) of squared distances."""
    return -0.5 * squared.log()


def cosine_summary_of(spread: Spread, low: Tensor, high: Tensor) -> dict[str, Tensor]:
    """`cosine_summary` of the spread of the cosines and their ends."""
    return {
        "mean": spread.mean, "std": spread.variance.sqrt(), "min": low, "max": high,
        "min_angle": torch.acos(high.clamp(-1, 1)),
    }  # fmt: skip
