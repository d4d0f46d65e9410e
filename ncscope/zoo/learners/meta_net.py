"""The small network of CoCoOp and TCP: two linear layers on features of length 1.

N features, D embedding width, h hidden width, R numbers made of each feature.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.zoo.learners.tensors import as_used, take
from ncscope.zoo.settings import Settings


def meta_net(
    learner: Mapping[str, Tensor],
    backbone: Backbone,
    settings: Settings,
    *,
    rows: int,
    activation: Callable[[Tensor], Tensor],
) -> Callable[[Tensor], Tensor]:
    """A function from (N, D) features, which it normalises, to (N, R).

    Args:
        learner: with `meta_net.linear1` and `meta_net.linear2`.
        rows: R.
    """
    first = take(learner, "meta_net.linear1.weight", ("h", backbone.width), settings)
    shapes = {
        "meta_net.linear1.weight": tuple(first.shape),
        "meta_net.linear1.bias": (len(first),),
        "meta_net.linear2.weight": (rows, len(first)),
        "meta_net.linear2.bias": (rows,),
    }
    parts = [
        as_used(take(learner, key, shape, settings), backbone, half=False)
        for key, shape in shapes.items()
    ]

    def made(features: Tensor) -> Tensor:
        directions = F.normalize(features.to(parts[0]), dim=-1)
        return F.linear(activation(F.linear(directions, parts[0], parts[1])), parts[2], parts[3])

    return made
