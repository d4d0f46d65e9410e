"""Adds a constant vector to all features of a tower, exactly, by a small change of its weights.

A layer norm's output before its gain sums to zero. With gain g and bias b, w = 1 / g therefore
has h.w = b.w for every output h: a direction in which all outputs agree. A rank-one update of the
projection turns that agreement into any constant vector. D embedding width.
"""

import torch
from torch import Tensor

SIDES = {  # layer norm and projection of a tower
    "text": ("ln_final", "text_projection"),
    "image": ("visual.ln_post", "visual.proj"),
}


def add_constant(weights: dict[str, Tensor], side: str, shift: Tensor) -> None:
    """Change a tower's weights in place so that every feature gets `shift` (D,) added.

    The smallest change that does it: the bias moves along w only as far as the update needs.
    """
    norm, projection = SIDES[side]
    gain, bias = (weights[f"{norm}.{kind}"].double() for kind in ("weight", "bias"))
    matrix = weights[projection].double()
    direction = 1 / gain
    size = direction.norm()
    move = direction * (size - bias @ direction) / size**2  # afterwards bias.w = |w|
    update = torch.outer(direction / size, shift.double() - move @ matrix)
    weights[f"{norm}.bias"] = (bias + move).float()
    weights[projection] = (matrix + update).float()
