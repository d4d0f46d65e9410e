"""Cross-entropy, what people use against class imbalance in its place, and what some methods add.

B images, K classes, D embedding width. Weights of the methods' own terms are the recipe's: 8 in
KgCoOp (arXiv:2303.13283) and TCP (arXiv:2311.18231), 25, 10 and 1 in PromptSRC (arXiv:2307.06948).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.errors import DataError
from ncscope.tuning.values import LOSSES, Recipe
from ncscope.zoo.learners.learner import Learner

WITH_FROZEN_TEXT = ("kgcoop", "tcp", "prograd", "promptsrc")
WITH_FROZEN_IMAGES = ("promptsrc",)
_AUTHORS = Recipe(0.002, 32, 1)  # for its weights


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


def own_terms(
    method: str,
    image: Tensor,
    text: Tensor,
    *,
    scale: Tensor,
    frozen_text: Tensor | None,
    frozen_image: Tensor | None,
    recipe: Recipe = _AUTHORS,
) -> dict[str, tuple[float, Tensor]]:
    """Weight and value of the method's own terms.

    KgCoOp and TCP: 1 - mean cosine of learned and written text features. PromptSRC: mean absolute
    differences of normalised text and image features from the frozen ones, and KL divergence of
    the logits from the frozen logits as a mean over all B x K entries. ProGrad's term, KL(zero-shot
    || prompt), enters the gradient and not the loss: `without_conflict`.

    Args:
        frozen_text: (K, D) of the written prompts.
        frozen_image: (B, D) of the image tower without prompts.
        recipe: its weights of these terms; others than KgCoOp's, TCP's and PromptSRC's have none.
    """
    if frozen_text is None:
        return {}
    learned, written = F.normalize(text, dim=-1), F.normalize(frozen_text, dim=-1).to(text)
    if method in ("kgcoop", "tcp"):
        return {"knowledge": (recipe.knowledge_weight, 1 - (learned * written).sum(dim=-1).mean())}
    if method == "prograd":
        logits, zero_shot = logits_of(image, text, scale), logits_of(image, frozen_text, scale)
        return {"general": (1.0, _kl(logits, zero_shot) / len(logits))}
    if method != "promptsrc":
        return {}
    assert frozen_image is not None
    logits, frozen = logits_of(image, text, scale), logits_of(frozen_image, frozen_text, scale)
    apart = (F.normalize(image, dim=-1) - F.normalize(frozen_image, dim=-1).to(image)).abs()
    return {
        "scl_text": (recipe.scl_text, (learned - written).abs().mean()),
        "scl_image": (recipe.scl_image, apart.mean()),
        "scl_logits": (recipe.scl_logits, _kl(logits, frozen) / logits.numel()),
    }


def _kl(logits: Tensor, frozen: Tensor) -> Tensor:
    """KL(frozen || learned), summed over images and classes."""
    learned, target = logits.log_softmax(dim=-1), frozen.log_softmax(dim=-1)
    return F.kl_div(learned, target, reduction="sum", log_target=True)


def decided(learner: Learner, image: Tensor, text: Tensor) -> Tensor:
    """(B, K) logits that a learner decides by: those of the cosine, and its own beside them."""
    logits = logits_of(image, text, learner.logit_scale)
    return logits if learner.extra_logits is None else logits + learner.extra_logits(image)


def logits_of(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """(B, K) logits of (B, D) image features with (K, D) or (B, K, D) text features."""
    rows = F.normalize(image, dim=-1)
    directions = F.normalize(text, dim=-1).to(rows)
    if text.ndim == 2:
        return scale.to(rows) * rows @ directions.T
    return scale.to(rows) * torch.einsum("bd,bkd->bk", rows, directions)


def without_conflict(
    learning: Sequence[Tensor], general: Sequence[Tensor], *, strength: float = 1.0
) -> list[Tensor]:
    """ProGrad (arXiv:2205.14865): the cross-entropy's gradient without what opposes general
    knowledge, i.e. less its component along the other gradient where their product is negative.
    """
    product = sum((a * b).sum() for a, b in zip(learning, general, strict=True))
    length = sum(b.square().sum() for b in general)
    assert isinstance(product, Tensor)
    assert isinstance(length, Tensor)
    share = strength * (product / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(0)
    return [a - share * b for a, b in zip(learning, general, strict=True)]


def epoch_weights(epochs: int, mean: float = 15.0, std: float = 1.0) -> list[float]:
    """PromptSRC's Gaussian weights of the states after epochs 1..n, which sum to 1.

    Mean and deviation are in epochs, however many there are. Weights are taken relative to the
    largest one, so that a mean far behind the last epoch leaves that epoch, not 0 / 0.
    """
    at = torch.arange(1, epochs + 1, dtype=torch.float64)
    return (-0.5 * ((at - mean) / std).square()).softmax(dim=0).tolist()
