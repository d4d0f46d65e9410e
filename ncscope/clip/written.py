"""Features of written texts: nothing is computed behind end-of-text, and what all texts of a batch
begin with is computed once.

CLIP's text tower is causal, so both leave every feature as it is, up to rounding. A template is the
beginning that its texts share. Towers of another kind encode texts their own way.

B texts, L positions, P tokens that all begin with, S own tokens of the longest, D embedding width.
"""

from typing import Any

import torch
from torch import Tensor

from ncscope.clip.text_tower import Prompts, TextTower, encode_prompts, text_tower
from ncscope.errors import BackboneError

_KNOWN = ("open_clip.model", "ncscope.clip.plain")  # whose `encode_text` is what it says


def encode_ids(model: Any, ids: Tensor, *, device: torch.device | None = None) -> Tensor:
    """(B, L) token ids to (B, D) features, not normalised, as `model.encode_text` gives them.

    Ids on the CPU are counted there; `device` is the model's, None for that of the ids.
    """
    device = device or ids.device
    tower = _causal_tower(model)
    if tower is None or not len(ids):
        return model.encode_text(ids.to(device))
    lengths = ids.argmax(dim=1) + 1  # end-of-text is the largest id, and the first of its kind
    same = (ids == ids[:1]).all(dim=0)
    shared = int(torch.minimum(same.int().cumprod(0).sum(), lengths.min() - 1))
    if shared < 1:  # no start-of-text
        return model.encode_text(ids.to(device))
    first, own = ids[0, :shared].to(device), ids[:, shared : int(lengths.max())].to(device)
    table = tower.embedding
    return encode_prompts(tower, Prompts(table[first], table[own], lengths - shared))


def _causal_tower(model: Any) -> TextTower | None:
    """The parts of a tower that is read at its largest id; None for another, or a changed one."""
    own = type(model).__module__ in _KNOWN and "encode_text" not in vars(model)
    text = getattr(model, "text", model)
    pooling = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    if not own or pooling != "argmax" or _is_watched(text):
        return None
    try:
        return text_tower(model)
    except BackboneError:
        return None


def _is_watched(model: Any) -> bool:
    """Whether somebody's hooks want to see, or change, what flows through it."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
