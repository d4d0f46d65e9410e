"""What tuning did to class vectors, and how two modalities lie: angles, spreads, parts of the gap.

K classes, D embedding width. Rows are used as given: l2-normalise them first. `frozen` are the same
classes' vectors before tuning, in the same order.
"""

import torch
from torch import Tensor

from ncscope._checks import check_class_rows, check_paired_rows
from ncscope.metrics.rows import centre_rows


def drift_angles(rows: Tensor, frozen: Tensor) -> Tensor:
    """(K,) angle in degrees between each class's vector and its frozen one.

    In [0, 180], 0 where nothing moved; no ideal. Exact for small angles, where arccos is not
    (Kahan 2006). NaN for a zero row.
    """
    check_paired_rows("rows", rows, "frozen", frozen)
    one = rows.double() / rows.double().norm(dim=1, keepdim=True)
    other = frozen.double() / frozen.double().norm(dim=1, keepdim=True)
    halves = torch.atan2((one - other).norm(dim=1), (one + other).norm(dim=1))
    return torch.rad2deg(2 * halves)


def drift_outside(rows: Tensor, frozen: Tensor, *, share: float = 0.95) -> Tensor:
    """Share of the squared drift that lies outside the frozen vectors' principal subspace.

    That subspace is spanned by the fewest principal directions, not centred, that hold `share` of
    the frozen rows' squared length. In [0, 1]: 0 where tuning stayed among directions that the
    frozen classes use, 1 where it found new ones; no ideal; about 1 - r / D for a random drift and
    r directions. NaN where nothing moved. The project's own, after the principal angles between
    subspaces (Bjorck & Golub 1973).
    """
    check_paired_rows("rows", rows, "frozen", frozen)
    old = frozen.double()
    moved = rows.double() - old
    _, values, right = torch.linalg.svd(old, full_matrices=False)
    held = values.square().cumsum(0) / values.square().sum()
    kept = right[: int((held < share - 1e-12).sum()) + 1]
    outside = moved - moved @ kept.T @ kept
    total = moved.square().sum()
    noise = (torch.finfo(rows.dtype).eps * old.norm()) ** 2
    return torch.where(total > noise, outside.square().sum() / total, torch.nan)


def centre_and_spread(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Length of the rows' mean, and their mean squared distance from it.

    Of unit rows in [0, 1] each, and the sum of one's square and the other is 1: a narrow cone has a
    long centre and a small spread; of a simplex ETF the centre is 0 and the spread 1, the ideal.
    The mean's length is the mean resultant length of directional statistics (Mardia & Jupp 2000).
    """
    check_class_rows("rows", rows)
    centre = rows.mean(dim=0)
    return centre.norm(), (rows - centre).square().sum(dim=1).mean()


def conformity(rows: Tensor) -> Tensor:
    """(K,) cosine of each vector with the mean of all: how common it is among its own side.

    In [-1, 1]; 0 at a simplex ETF is never reached by a mean that is not 0: NaN there. High and
    equal values are a cone. After Levi & Gilboa 2024 (arXiv:2411.14517), whose conformity, the
    mean cosine with the others, this stands for.
    """
    check_class_rows("rows", rows)
    centre = rows.mean(dim=0)
    level = 16 * torch.finfo(rows.dtype).eps * rows.norm(dim=1).mean()
    own = rows @ centre / (rows.norm(dim=1) * centre.norm())
    return torch.where(centre.norm() > level, own, torch.nan)


def gap_parts(image_means: Tensor, text: Tensor) -> dict[str, Tensor]:
    """Mean squared distance of matched vectors (K, D), split into that of the centres and the rest.

    `pairs` = `centre` + `distribution`, exactly: the mean of |g_k - h_k|^2 is |g - h|^2 plus the
    mean of |g~_k - h~_k|^2, with centres g, h and centred rows g~, h~. Each >= 0, lower is nearer,
    0 ideal; `centre` is the square of the modality gap of Liang et al. 2022, and `distribution`
    what a common shift leaves.
    `centre_share` in [0, 1] is the part of the first in the whole; NaN where all coincide.
    """
    check_paired_rows("image_means", image_means, "text", text)
    apart = text - image_means
    pairs = apart.square().sum(dim=1).mean()
    centre = apart.mean(dim=0).square().sum()
    rest = centre_rows(apart).square().sum(dim=1).mean()
    share = torch.where(pairs > 0, centre / pairs, torch.nan)
    return {"pairs": pairs, "centre": centre, "distribution": rest, "centre_share": share}
