"""Cross-entropy and what people use against class imbalance in its place.

B images, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.errors import DataError

LOSSES = ("ce", "balanced", "logit-adjusted", "balanced-softmax")


def classification_loss(
    logits: Tensor, labels: Tensor, counts: Tensor, *, loss: str = "ce", strength: float = 1.0
) -> Tensor:
    """The mean loss of (B, K) logits under (K,) counts of training images.

    `ce`: softmax cross-entropy. `balanced`: each image weighs N / (K n_y), the inverse frequency,
    the limit of Cui et al. 2019's effective numbers; weights are of the whole training set, so the
    mean over it is that over classes. `logit-adjusted` (Menon et al. 2021, arXiv:2007.07314):
    cross-entropy of logits + strength x log(n_k / N) in training, plain logits in testing;
    `balanced-softmax` (Ren et al. 2020, arXiv:2007.10740) is the same with strength 1.

    Raises:
        DataError: an unknown loss.
    """
    if loss not in LOSSES:
        raise DataError(f"`loss` is {loss!r}; expected one of {', '.join(LOSSES)}")
    shares = counts.to(logits) / counts.sum()
    if loss == "balanced":
        weights = 1 / (len(counts) * shares[labels])
        return (weights * F.cross_entropy(logits, labels, reduction="none")).mean()
    if loss == "ce":
        return F.cross_entropy(logits, labels)
    factor = strength if loss == "logit-adjusted" else 1.0
    return F.cross_entropy(logits + factor * shares.log(), labels)


def logits_of(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """(B, K) logits of (B, D) image features with (K, D) or (B, K, D) text features."""
    rows = F.normalize(image, dim=-1)
    directions = F.normalize(text, dim=-1).to(rows)
    if text.ndim == 2:
        return scale.to(rows) * rows @ directions.T
    return scale.to(rows) * torch.einsum("bd,bkd->bk", rows, directions)
