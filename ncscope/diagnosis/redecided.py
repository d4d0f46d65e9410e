"""NC1 and NC4 of replicates: the two whose every draw looks at the images again.

N samples, P classes with images, D embedding width, G replicates taken together, r their whitened
directions. A replicate whitens anew, so NC1 multiplies each residual with its directions: that
product is the time of a bootstrap. Whether the class that text chose has the nearest mean is known
without it where it was clear in the whole set and the means have moved less than it was clear by.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ncscope.diagnosis.resampling import Fixed, Replicate
from ncscope.metrics import Whitening, centre_rows
from ncscope.metrics.pairs import Distances
from ncscope.metrics.variability import spread_classes, whitening_if_any

NAMES = ("nc1/default", "nc4")
_VALUES = 1 << 18  # of whitened residuals held at a time: what stays in a core's cache
_COLUMNS = 512  # whitened directions of the replicates taken together
_SCORES = 1 << 22  # images x classes whose distances are held at a time


@dataclass(frozen=True, eq=False)
class Clear:
    """What the whole set decides, and by how much, (N,) each.

    agrees: 1.0 where the class that text chose has the nearest mean. margin: how much nearer or
    farther it is than the nearest other one, less the rounding of both distances.
    """

    agrees: Tensor
    margin: Tensor


def clear_of(fixed: Fixed) -> Clear | None:
    """Agreement of text and nearest mean in the whole set; None without text."""
    if fixed.chosen is None:
        return None
    offsets = centre_rows(fixed.moments.means[fixed.moments.present])
    distances, rows = Distances(offsets), fixed.residuals
    centres = offsets.to(rows)
    level = float(fixed.squares.max() + offsets.square().sum(dim=1).max())
    noise = 16 * torch.finfo(rows.dtype).eps * level  # of a squared distance
    agrees, margin = [], []
    for part in torch.arange(len(rows)).split(max(64, _SCORES // len(offsets))):
        here = slice(int(part[0]), int(part[-1]) + 1)
        own, chosen = fixed.own[here].unsqueeze(1), fixed.chosen[here].unsqueeze(1)
        met = rows[here] @ centres.T
        squared = distances.of(own.squeeze(1), rows.dtype).sub_(met, alpha=2)
        squared += 2 * met.gather(1, own) + fixed.squares[here].unsqueeze(1).to(met)
        mine = squared.gather(1, chosen)
        other = squared.scatter_(1, chosen, torch.inf).amin(dim=1, keepdim=True)
        agrees.append(mine <= other)
        ends = [end.clamp_min(0).double().sqrt() for end in (mine, other)]
        least = torch.minimum(*ends).clamp_min(noise**0.5)
        # NaN where squares leave the dtype's range: never clear
        margin.append(((ends[1] - ends[0]).abs() - noise / least).nan_to_num(nan=0.0))
    return Clear(torch.cat(agrees).squeeze(1).double(), torch.cat(margin).squeeze(1))


def redecided(fixed: Fixed, clear: Clear | None, drawn: list[Replicate]) -> list[dict[str, Tensor]]:
    """`nc1/default`, and with `clear` `nc4`, of each replicate; NaN where its means are one."""
    found: list[dict[str, Tensor]] = []
    ones = [_One(fixed, replicate) for replicate in drawn]
    while ones:
        ranks = torch.tensor([one.white.rank for one in ones]).cumsum(0)
        together = max(1, int((ranks <= _COLUMNS).sum()))
        group, ones = ones[:together], ones[together:]
        found += _together(fixed, clear, group)
    return found


@dataclass(eq=False)
class _One:
    """A replicate's own directions, and what nearest means take of them once any image asks."""

    fixed: Fixed
    replicate: Replicate
    white: Whitening = field(init=False)

    def __post_init__(self) -> None:
        self.white = whitening_if_any(self.replicate.moments)

    @cached_property
    def moved(self) -> Tensor:
        """(P, r) shifts of the means in whitened directions."""
        return self.replicate.shifts @ self.white.matrix

    @cached_property
    def offsets(self) -> Tensor:
        moments = self.replicate.moments
        return centre_rows(moments.means[moments.present])

    @cached_property
    def distances(self) -> Distances:
        return Distances(self.offsets)

    @cached_property
    def centres(self) -> Tensor:
        """(r, P): <x, m_k> by the directions, in which the means lie: A'x undone by L A'm."""
        return ((self.offsets @ self.white.matrix) * self.white.eigenvalues).T

    def agree(self, rows: Tensor, projected: Tensor) -> Tensor:
        """Whether the chosen class has the nearest mean: of sorted rows (B,), from their (r, B).

        As in the second sweep: x is nearest to the k with the largest
        <x - m_y, m_k> - |m_k - m_y|^2 / 2; equally near means are all nearest.
        """
        assert self.fixed.chosen is not None
        agree = []
        for part in torch.arange(len(rows)).split(max(64, _SCORES // len(self.offsets))):
            own = self.fixed.own[rows[part]]
            met = projected[:, part].T - self.moved.to(projected)[own]
            scores = self.distances.of(own, met.dtype)
            scores = scores.addmm_(met, self.centres.to(met), beta=-0.5)
            chosen = self.fixed.chosen[rows[part]].unsqueeze(1)
            agree.append(scores.gather(1, chosen).squeeze(1) >= scores.amax(dim=1))
        return torch.cat(agree)


def _together(fixed: Fixed, clear: Clear | None, group: list[_One]) -> list[dict[str, Tensor]]:
    eligible = spread_classes(fixed.counts)
    share = torch.where(eligible, 1 / fixed.counts.double(), 0.0) / eligible.sum()  # of a class
    parts = share[fixed.own]  # of an image
    weights = torch.stack([one.replicate.weights for one in group])  # (G, N)
    ranks = [one.white.rank for one in group]
    traces = weights.new_zeros(len(group))
    agree = weights @ clear.agrees if clear is not None else traces
    # How far an image's distances to its chosen class's mean and to any other may have gone.
    lengths = torch.stack([one.replicate.shifts.norm(dim=1) for one in group])  # (G, P)
    reach = lengths + lengths.amax(dim=1, keepdim=True)
    matrix = torch.cat([one.white.matrix.T for one in group]).to(fixed.residuals).contiguous()
    for rows in torch.arange(len(fixed.own)).split(max(64, _VALUES // max(1, len(matrix)))):
        here = slice(int(rows[0]), int(rows[-1]) + 1)
        projected = (matrix @ fixed.residuals[here].T).split(ranks)  # (r, B) each
        open_ = None
        if clear is not None and fixed.chosen is not None:
            open_ = clear.margin[here] <= reach[:, fixed.chosen[here]]
            open_ &= weights[:, here] > 0
        for place, (one, part) in enumerate(zip(group, projected, strict=True)):
            weight = weights[place, here]
            if one.white.rank:
                squares = part.square().sum(dim=0).double()  # vector_norm is 20 times slower
                traces[place] += (weight * parts[here]).dot(squares)
            if open_ is None or clear is None or not len(found := open_[place].nonzero()):
                continue
            found = found.squeeze(1)
            now = one.agree(rows[found], part[:, found]).double()
            agree[place] += weight[found].dot(now - clear.agrees[here][found])
    return [
        _numbers(fixed, one, share, trace, None if clear is None else hits)
        for one, trace, hits in zip(group, traces, agree, strict=True)
    ]


def _numbers(
    fixed: Fixed, one: _One, share: Tensor, trace: Tensor, agree: Tensor | None
) -> dict[str, Tensor]:
    """From the summed whitened squares about the whole set's means, and the images that agree."""
    none = torch.full_like(trace, torch.nan)
    classes, eligible = len(fixed.counts), share > 0
    nc1 = none  # no units to be in where the means are one, and no spread without two images
    if one.white.rank and bool(eligible.any()):
        moved = one.moved[eligible].square().sum(dim=1).mean()
        nc1 = (trace - moved).clamp_min(0) / classes
    if agree is None:
        return {"nc1/default": nc1}
    return {"nc1/default": nc1, "nc4": agree / len(fixed.own) if one.white.rank else none}
