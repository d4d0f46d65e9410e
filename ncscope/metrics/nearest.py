"""Which class centre an image is nearest to, from its residual and one product with all centres.

N samples, P classes with samples, D embedding width, r whitened directions.
"""

import torch
from torch import Tensor

from ncscope.metrics.pairs import Distances
from ncscope.metrics.variability import Whitening

_NOISE = 64  # roundings by which a score may be off
_UNSURE = 64  # rows whose distances to all centres are held at a time


class Centres:
    """The (P, D) class means less their mean, which the whitened directions span.

    A residual x - h_y is met as it is, or, where the means span fewer than D directions, whitened
    (`met`): that holds all of <x, h_k>, at r instead of D columns, as A^T x undone by
    Lambda A^T h_k.
    """

    def __init__(self, offsets: Tensor, white: Whitening) -> None:
        starts = centres = offsets
        if 0 < white.rank < offsets.shape[1]:
            starts = offsets @ white.matrix
            centres = starts * white.eigenvalues
        squares = offsets.square().sum(dim=1)
        self._distances = Distances(offsets)
        self._reach = float(squares.max().sqrt())
        safe = self._distances.to_nearest() / 4  # (half the way to the next centre)^2
        self._small = {offsets.dtype: (starts, centres, -squares / 2, safe)}

    def decide(
        self, met: Tensor, squares: Tensor, own: Tensor, chosen: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Whether the own centre is the nearest, and whether the chosen class's is, each (B,).

        `squares` (B,) of the residuals; `own` and `chosen` (B,) are places among the P classes.
        x - h_k = (x - h_y) + (h_y - h_k), so the nearest maximises
        <x - h_y, h_k> - ||h_k - h_y||^2 / 2, which a large common mean cannot spoil. As long as no
        two centres are equally near up to rounding, <x - h, h_k - h> - ||h_k - h||^2 / 2 about the
        mean h of all says the same without distances. A sample nearer to its own centre than half
        the way to the next one is its own centre's by the triangle inequality: no product needed.
        Equally near centres are all nearest.
        """
        starts, centres, halves, safe = self._in(met.dtype)
        nearest = torch.ones_like(own, dtype=torch.bool)
        agree = None if chosen is None else chosen == own
        open_ = (squares >= safe.index_select(0, own)).nonzero().squeeze(1)
        if not len(open_):
            return nearest, agree
        if len(open_) < len(own):
            met, own = met.index_select(0, open_), own.index_select(0, open_)
        scores = torch.addmm(halves, met + starts.index_select(0, own), centres.T)
        eps = _NOISE * torch.finfo(met.dtype).eps
        noise = eps * self._reach * (squares[open_].sqrt() + self._reach)
        sides = [(nearest, own)]
        if chosen is not None and agree is not None:
            sides.append((agree, chosen.index_select(0, open_)))
        unsure = torch.zeros_like(noise, dtype=torch.bool)
        for decided, classes in sides:
            ahead = _ahead(scores, classes)
            decided[open_] = ahead >= 0
            unsure |= ahead.abs() <= noise
        for rows in unsure.nonzero().squeeze(1).split(_UNSURE):
            exact = self._distances.of(own[rows], met.dtype)
            exact = exact.addmm_(met[rows], centres.T, beta=-0.5)
            best = exact.amax(dim=1)
            for decided, classes in sides:
                reached = exact.gather(1, classes[rows].unsqueeze(1)).squeeze(1)
                decided[open_[rows]] = reached >= best
        return nearest, agree

    def _in(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What images of this precision are met with, converted once."""
        if dtype not in self._small:
            starts, centres, halves, safe = next(iter(self._small.values()))
            self._small[dtype] = (
                starts.to(dtype).contiguous(), centres.to(dtype).contiguous(),
                halves.to(dtype), safe.to(dtype),
            )  # fmt: skip
        return self._small[dtype]


def _ahead(scores: Tensor, classes: Tensor) -> Tensor:
    """(B,) by how much scores (B, P) of `classes` are above the largest of any other."""
    places = classes.unsqueeze(1)
    own = scores.gather(1, places)
    others = scores.scatter_(1, places, -torch.inf).amax(dim=1)
    scores.scatter_(1, places, own)
    return own.squeeze(1) - others
