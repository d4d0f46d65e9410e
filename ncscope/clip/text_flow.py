"""The text tokens between two blocks of the tower, and the changes deep prompts make to them.

B prompt contexts (1, or one an image), K classes, P shared tokens, S own tokens of the longest
class, T own tokens of all classes, n replaced or inserted tokens, W token width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ncscope.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the T own tokens lie in a padded (K, S) table."""

    lengths: Tensor  # (K,)
    longest: int  # S
    place: Tensor  # (T,) in 0..K*S-1

    @property
    def last(self) -> Tensor:
        """(K,): end-of-text among the T tokens."""
        return self.lengths.cumsum(0) - 1


@dataclass(frozen=True, eq=False)
class Flow:
    """`shared` (B, P, W), start-of-text first, and `own` (B, T, W), end-of-text last."""

    shared: Tensor
    own: Tensor
    packing: Packing


Edit = Callable[[Flow], Flow]  # of the tokens before a block
Extra = Callable[[Tensor], Tensor]  # (B, L, W) normalised input of a block to an addition


def pack(lengths: Tensor) -> Packing:
    """(K,) lengths of at least 1 to the places of their tokens."""
    longest = int(lengths.max())
    filled = torch.arange(longest, device=lengths.device) < lengths[:, None]  # (K, S)
    return Packing(lengths, longest, filled.flatten().nonzero().flatten())


def replaced(tokens: Tensor, new: Tensor, *, start: int) -> Tensor:
    """(B, L, W) tokens with (n, W) or (B, n, W) new ones from position `start` on.

    Raises:
        ShapeError: they do not fit.
    """
    stop = start + new.shape[-2]
    if new.shape[-1] != tokens.shape[-1] or stop > tokens.shape[1] or start < 0:
        raise ShapeError(
            f"deep prompts are {tuple(new.shape)}; expected (n, {tokens.shape[-1]}) that fit "
            f"between positions {start} and {tokens.shape[1]}. Another backbone?"
        )
    new = new.to(tokens).expand(len(tokens), -1, -1)
    return torch.cat([tokens[:, :start], new, tokens[:, stop:]], dim=1)


def inserted(tokens: Tensor, new: Tensor, *, start: int) -> Tensor:
    """(B, L, W) tokens with (n, W) more ones before position `start`."""
    new = new.to(tokens).expand(len(tokens), -1, -1)
    return torch.cat([tokens[:, :start], new, tokens[:, start:]], dim=1)


def on_shared(change: Callable[[Tensor], Tensor]) -> Edit:
    """An edit of the shared tokens alone."""
    return lambda flow: replace(flow, shared=change(flow.shared))


def deep_prompts(prompts: Sequence[Tensor], *, start: int = 1) -> dict[int, Edit]:
    """Prompts that replace positions `start`.. before blocks 1, 2, ... of the text tower.

    Args:
        prompts: (n, W) or (B, n, W) each.
    """
    return {
        block: on_shared(lambda tokens, new=new: replaced(tokens, new, start=start))
        for block, new in enumerate(prompts, start=1)
    }


def class_specific(context: Tensor) -> Edit:
    """An edit that replaces positions 1..n of class k by row k of (K, n, W).

    From there on only start-of-text is shared.
    """

    def edit(flow: Flow) -> Flow:
        batch, num_shared, width = flow.shared.shape
        classes, count, _ = context.shape
        if classes != len(flow.packing.lengths) or count >= num_shared:
            raise ShapeError(
                f"class-specific prompts are {tuple(context.shape)}; expected "
                f"({len(flow.packing.lengths)}, n, {width}) with n < {num_shared}"
            )
        packing = pack(flow.packing.lengths + num_shared - 1)
        own = flow.own.new_zeros(batch, classes, flow.packing.longest, width)
        own = own.flatten(1, 2).index_copy(1, flow.packing.place, flow.own)
        own = own.view(batch, classes, -1, width)
        kept = flow.shared[:, None, 1 + count :].expand(-1, classes, -1, -1)
        own = torch.cat([context.to(own).expand(batch, -1, -1, -1), kept, own], dim=2)
        own = own.flatten(1, 2).index_select(1, packing.place)
        return Flow(flow.shared[:, :1], own, packing)

    return edit
