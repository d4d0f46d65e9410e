"""NC4: whether text features decide as the nearest class centre does.

N samples, K classes, D embedding width.
"""

import torch
from torch import Tensor

from ncscope.metrics.moments import class_moments
from ncscope.metrics.sweep import SampleAccumulator, SampleMeasures


def decisions(
    features: Tensor, labels: Tensor, text: Tensor, *, bias: Tensor | None = None
) -> SampleMeasures:
    """Both decisions on (N, D) features by (K, D) text, used as given; see `SampleMeasures`."""
    sweep = SampleAccumulator(
        class_moments(features.detach(), labels, len(text)),
        text=text.detach(),
        bias=bias,
        normalise=False,
    )
    sweep.update(features, labels)
    return sweep.compute()


def nc4(features: Tensor, labels: Tensor, text: Tensor, *, bias: Tensor | None = None) -> Tensor:
    """Share of samples with argmax_k <f, g_k> (+ bias) = argmin_k ||f - h_k||, classes present.

    Features (N, D), labels (N,) with -1 ignored, text (K, D), used as given. In [0, 1], higher is
    more collapsed, 1 ideal (Papyan, Han & Donoho 2020). A classifier with a bias must pass it.
    Not differentiable.
    """
    agreement = decisions(features, labels, text, bias=bias).nc4
    assert agreement is not None
    return agreement


def ncc_mismatch(
    features: Tensor, labels: Tensor, text: Tensor, *, bias: Tensor | None = None
) -> Tensor:
    """1 - `nc4`: in [0, 1], lower is more collapsed (the form of Papyan's notebook)."""
    return 1 - nc4(features, labels, text, bias=bias)


def ncc_predictions(features: Tensor, means: Tensor) -> Tensor:
    """Index (N,) of the nearest of (K, D) class means; NaN rows of empty classes never win."""
    present = torch.isfinite(means).all(dim=1).nonzero().flatten()
    centre = means[present].mean(dim=0)
    rows, centres = features.to(means.dtype) - centre, means[present] - centre
    scores = rows @ centres.T - 0.5 * centres.square().sum(dim=1)
    return present[scores.argmax(dim=1)]
