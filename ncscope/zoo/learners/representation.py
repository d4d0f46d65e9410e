"""The representation tokens of MMRL and MMRL++, made from one shared set for every upper block.

n tokens, R their width, r rank, J blocks, W width of a tower.
"""

import re
from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.text_flow import inserted, replaced
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.tensors import as_used, is_half, stack, take
from ncscope.zoo.settings import Settings, logged_number

_LEARNER = "representation_learner."
_USUAL_BETA = 0.9


def representation_tokens(
    tensors: Mapping[str, Tensor], side: str, width: int, backbone: Backbone, settings: Settings
) -> list[Tensor]:
    """J tensors of (n, W), for the text (`side` t) or the image tower (v).

    Raises:
        CheckpointError: tensors that are missing or of another shape.
    """
    shared = take(tensors, f"{_LEARNER}compound_rep_tokens", ("n", "R"), settings)
    size = shared.shape[1]
    common = f"{_LEARNER}srra_r2{side}proj."
    own = f"{_LEARNER}compound_rep_tokens_r2{side}proj."
    made: list[Tensor] = []
    if f"{common}weight" in tensors:
        weight = take(tensors, f"{common}weight", (width, size), settings)
        for index in range(len(stack(tensors, f"{common}srra.{{}}.A"))):
            layer = f"{common}srra.{index}."
            low = take(tensors, f"{layer}A", (width, "r"), settings)
            high = take(tensors, f"{layer}B", (low.shape[1], size), settings)
            bias = take(tensors, f"{layer}bias", (width,), settings)
            made.append(F.linear(shared, weight + low @ high, bias))
    for index in range(len(stack(tensors, f"{own}{{}}.weight"))):
        weight = take(tensors, f"{own}{index}.weight", (width, size), settings)
        made.append(
            F.linear(shared, weight, take(tensors, f"{own}{index}.bias", (width,), settings))
        )
    if not made:
        raise CheckpointError(f"{settings.where}: no projections of the representation tokens")
    return [as_used(tokens, backbone, half=is_half(tensors)) for tokens in made]


def changes(tokens: list[Tensor], *, keep: float) -> list[Callable[[Tensor], Tensor]]:
    """What each block does to (B, L, W) tokens: the first inserts after position 0, others replace.

    Args:
        keep: the share of the tokens before, 0 for MMRL.
    """

    def insert(given: Tensor) -> Tensor:
        return inserted(given, tokens[0], start=1)

    def mixed(given: Tensor, new: Tensor) -> Tensor:
        if keep:
            new = keep * given[:, 1 : 1 + len(new)] + (1 - keep) * new.to(given)
        return replaced(given, new, start=1)

    return [insert, *(lambda given, new=new: mixed(given, new) for new in tokens[1:])]


def kept_share(settings: Settings) -> tuple[float, tuple[str, ...]]:
    """1 - beta of MMRL++, which keeps a share of the tokens of the block before; and warnings."""
    if settings.method != "MMRL++":
        return 0.0, ()
    beta = logged_number(settings, "TRAINER.MMRLpp.BETA", "TRAINER.MMRLPP.BETA")
    if beta is not None:
        return 1 - beta, ()
    return 1 - _USUAL_BETA, (
        f"beta, by which representation tokens are mixed from block to block, is neither in the "
        f"file nor in a log.txt: the authors' default {_USUAL_BETA} is taken",
    )


def first_block(settings: Settings, usual: int) -> int:
    """The first block with tokens, from 0: by log.txt, which counts from 1, or else `usual`."""
    for section in ("MMRL", "MMRLpp"):
        layers = re.findall(r"\d+", settings.logged.get(f"TRAINER.{section}.REP_LAYERS", ""))
        if layers:
            return int(layers[0]) - 1
    return usual
