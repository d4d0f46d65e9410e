"""Tip-Adapter-F (Zhang et al. 2022, arXiv:2207.09519): a cache of training images decides, too.

To CLIP's logits of an image f, of length 1, it adds alpha exp(-beta (1 - f K)) V, with the training
images K, which are trained, and their classes V. Neither text nor image features change: what a
report measures of them is CLIP's. N images, M of them in the cache, K classes, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.clip.backbone import Backbone
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from ncscope.features.parts import stored_rows
from ncscope.tuning.losses import logits_of
from ncscope.tuning.values import Recipe
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import plain_text, take
from ncscope.zoo.settings import Settings

KEYS, VALUES, MIXED = "tip_adapter.keys", "tip_adapter.values", "tip_adapter.alpha_beta"
_BETAS = [i * (7 - 0.1) / 200 + 0.1 for i in range(200)]  # the authors' search
_ALPHAS = [i * (3 - 0.1) / 20 + 0.1 for i in range(20)]
_SAID = (
    "the measures and the top-1 of a report are of CLIP's features: Tip-Adapter's cache takes part "
    "in the decision only, and the run's accuracies are by it"
)


@dataclass(frozen=True, eq=False)
class Cache:
    """What decides beside the cosine."""

    keys: Tensor  # (M, D)
    values: Tensor  # (M, K), one-hot
    mixed: Tensor  # (2,), alpha and beta

    def __call__(self, image: Tensor) -> Tensor:
        """(N, K) logits that are added to those of (N, D) image features."""
        alpha, beta = self.mixed.to(image)
        return alpha * self.kernel(image, beta) @ self.values.to(image)

    def kernel(self, image: Tensor, beta: Tensor | float) -> Tensor:
        """(N, M)."""
        affinity = F.normalize(image, dim=-1) @ self.keys.T
        return (-beta * (1 - affinity)).exp()


def load_tip_adapter_f(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner with zero-shot features whose `extra_logits` are the cache's."""
    keys = take(tensors, KEYS, ("M", backbone.width), settings)
    cache = Cache(keys, tensors[VALUES], tensors[MIXED])
    text = plain_text(backbone, settings)
    alpha, beta = cache.mixed.tolist()
    facts = {"alpha": alpha, "beta": beta}
    sides = Sides(text, facts=facts, extra_logits=cache, warnings=(_SAID,))
    return build(backbone, settings, sides)


def initial_cache(images: ImageSet) -> dict[str, Tensor]:
    """The keys that training begins with: the training images' features."""
    table = stored_rows(images)
    assert table is not None
    return {KEYS: F.normalize(table, dim=-1)}


def fixed_cache(images: ImageSet, recipe: Recipe) -> dict[str, Tensor]:
    """The classes of the cache's images, and alpha and beta as the recipe has them."""
    values = F.one_hot(torch.tensor(images.labels), len(images.classnames)).float()
    return {VALUES: values, MIXED: torch.tensor([recipe.alpha, recipe.beta])}


@torch.no_grad()
def search(learner: Learner, image: Tensor, labels: Tensor, text: Tensor) -> tuple[float, float]:
    """The authors' search: alpha and beta of the highest accuracy, of equal ones the first.

    Args:
        image: (N, D) of validation images; those of the test would be learned by heart.
        labels: (N,).
        text: (K, D).

    Raises:
        DataError: no image with a label.
    """
    cache = learner.extra_logits
    assert isinstance(cache, Cache)
    known = labels >= 0
    if not bool(known.any()):
        raise DataError("no validation image with a label to search alpha and beta on")
    image, labels = image[known], labels[known]
    logits = logits_of(image, text, learner.logit_scale)
    best, found = 0.0, (_ALPHAS[0], _BETAS[0])
    for beta in _BETAS:
        cached = cache.kernel(image, beta) @ cache.values.to(image)
        for alpha in _ALPHAS:
            accuracy = float(metrics.top1(logits + alpha * cached, labels))
            if accuracy > best:
                best, found = accuracy, (alpha, beta)
    return found
