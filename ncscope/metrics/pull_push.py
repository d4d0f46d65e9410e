"""What cross-entropy does to each class's text feature: its own images pull, the others push.

N samples, K classes, D embedding width. The gradient reading behind the paper's remarks on class
imbalance (arXiv:2306.15955, Remarks 1-3; the formulas are this project's own).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.metrics.duality import labelled_rows
from ncscope.metrics.rows import class_rows, normalise_rows, off_diagonal


@dataclass(frozen=True, eq=False)
class PullPush:
    """The two parts of the negative gradient of the mean cross-entropy at (K, D) text features.

    -dL/dg_k = pull_k + push_k, `pull` = (s/N) sum over y_i = k of (1 - p_ik) f_i and `push` =
    -(s/N) sum over y_j != k of p_jk f_j. A tail class has few terms in the first and nearly all
    images in the second.
    """

    pull: Tensor  # (K, D)
    push: Tensor  # (K, D)

    @property
    def pull_strength(self) -> Tensor:
        """(K,) lengths of the pulls, >= 0."""
        return self.pull.norm(dim=1)

    @property
    def push_strength(self) -> Tensor:
        """(K,) lengths of the pushes, >= 0."""
        return self.push.norm(dim=1)

    def push_alignment(self, classes: Tensor) -> Tensor:
        """Mean cosine between the pushes on some classes, in [-1, 1].

        Near 1 the classes are driven the same way, which makes their text features parallel:
        minority collapse. NaN for fewer than two classes.
        """
        directions = normalise_rows(self.push[classes])
        return off_diagonal(directions @ directions.T).mean()


def pull_push(
    features: Tensor, labels: Tensor, text: Tensor, *, logit_scale: float | Tensor = 100.0
) -> PullPush:
    """Take apart the gradient of cross-entropy at the text features.

    Args:
        features: (N, D), l2-normalised here; label -1 is ignored.
        text: (K, D), l2-normalised here; the gradient is that at the normalised rows.
        logit_scale: s, the multiplier of the cosine.

    Raises:
        ShapeError: shapes that do not fit.
    """
    samples, targets = labelled_rows(features, labels, text)
    samples = normalise_rows(samples)
    rows = normalise_rows(class_rows("text", text, centred=False)).to(samples.dtype)
    shares = (logit_scale * samples @ rows.T).softmax(dim=1)  # (N, K)
    own = torch.zeros_like(shares).scatter(1, targets.unsqueeze(1), 1.0)
    factor = logit_scale / len(samples)
    pull = factor * (own * (1 - shares)).T @ samples
    push = -factor * ((1 - own) * shares).T @ samples
    return PullPush(pull, push)
