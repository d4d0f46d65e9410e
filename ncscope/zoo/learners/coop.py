"""CoOp: learned context vectors around the class name (Zhou et al. 2022, arXiv:2109.01134).

Also ProGrad (arXiv:2205.14865), KgCoOp (arXiv:2303.13283), Nemesis (Fu et al. 2024, ICLR) and DeKg:
they train the same prompt with another loss. What KgCoOp and DeKg save beside it has no effect.
n context tokens, K classes, W token width.
"""

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import ClassTokens
from ncscope.clip.text_tower import Prompts, encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build, rows_for
from ncscope.zoo.learners.parts import class_source, prompt_part
from ncscope.zoo.settings import Settings

POSITIONS = ("end", "middle", "front")
_SHARED = "its contexts belong to the classes it was trained on"


def load_coop(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner from `ctx`, (n, W), or (K, n, W) if class-specific.

    Raises:
        CheckpointError: another shape, an unknown position of the class token.
    """
    tower = text_tower(backbone.model)
    tensors = prompt_part(tensors)
    context = context_of(tensors, tower.positions.shape[1], settings)
    position = position_of(settings)
    num_context = context.shape[-2]
    source = class_source(tensors, backbone, settings, num_context=num_context, dtype=context.dtype)
    context = context.float().to(backbone.device)

    def text(names: list[str]) -> Tensor:
        own_context = of_classes(context, names, settings)
        return encode_prompts(tower, arrange(source(names), own_context, position=position))

    facts = {"context": list(context.shape), "class_token_position": position}
    return build(backbone, settings, Sides(text, facts=facts))


def of_classes(context: Tensor, names: list[str], settings: Settings) -> Tensor:
    """The context of these classes: the shared (n, W) one, or their rows of a (C, n, W) one."""
    if context.ndim == 2:
        return context
    return rows_for(context, names, settings, what=_SHARED)


def position_of(settings: Settings) -> str:
    """Where the class name stands: end, middle or front."""
    position = settings.class_token_position or "end"
    if position not in POSITIONS:
        raise CheckpointError(
            f"{settings.where}: class token position {position!r}; expected {', '.join(POSITIONS)}"
        )
    return position


def arrange(tokens: ClassTokens, context: Tensor, *, position: str = "end") -> Prompts:
    """Prompts with the class name at the end, middle or front of the context.

    The authors cut as many tokens off as the name has, counted from the first fixed word where
    there are any: then as much of the name's end stands after the context.

    Args:
        context: (n, W), or (K, n, W) one a class.
    """
    num_context = context.shape[-2]
    before = {"end": num_context, "middle": num_context // 2, "front": 0}[position]
    first, rest = context.to(tokens.own).split([before, num_context - before], dim=-2)
    if rest.shape[-2] and len(tokens.words):
        tokens = _own_words(tokens)
    own, lengths = tokens.own, tokens.lengths
    if rest.shape[-2]:
        own = _after_names(own, rest.expand(len(own), -1, -1), tokens.name_lengths)
        lengths = lengths + rest.shape[-2]
    if context.ndim == 2:
        return Prompts(torch.cat([tokens.start, first, tokens.words]), own, lengths)
    words = tokens.words.expand(len(own), -1, -1)
    own = torch.cat([first, words, own], dim=1)
    return Prompts(tokens.start, own, lengths + before + words.shape[1])


def _own_words(tokens: ClassTokens) -> ClassTokens:
    """The same tokens with the fixed words in front of every class's own."""
    words = tokens.words.expand(len(tokens.own), -1, -1)
    own = torch.cat([words, tokens.own], dim=1)
    lengths = tokens.lengths + len(tokens.words)
    return ClassTokens(tokens.start, tokens.words[:0], own, lengths, tokens.name_lengths)


def _after_names(own: Tensor, rest: Tensor, name_lengths: Tensor) -> Tensor:
    """(K, S, W) own tokens with (K, m, W) context tokens put in after each name."""
    index = _moved(tuple(name_lengths.tolist()), own.shape[1], rest.shape[1], own.device)
    both = torch.cat([own, rest], dim=1)
    return both.gather(1, index[:, :, None].expand(-1, -1, both.shape[2]))


@functools.lru_cache(maxsize=16)
def _moved(stops: tuple[int, ...], longest: int, count: int, device: torch.device) -> Tensor:
    """(K, S + m): which of the S own tokens, then of the m others, stands where; made once."""
    with torch.inference_mode(False):
        place, stop = torch.arange(longest + count), torch.tensor(stops)[:, None]
        moved = torch.where(place < stop + count, longest + place - stop, place - count)
        return torch.where(place < stop, place, moved).to(device)


def context_of(tensors: Mapping[str, Tensor], width: int, settings: Settings) -> Tensor:
    """`ctx` as it is stored, (n, W), or (C, n, W) if class-specific."""
    context = tensors.get("ctx")
    if context is None:
        raise CheckpointError(f"{settings.where}: no `ctx`, which {settings.method} needs")
    if context.ndim not in (2, 3) or context.shape[-1] != width or 0 in context.shape:
        raise CheckpointError(
            f"{settings.where}: `ctx` is {tuple(context.shape)}; expected (n, {width}) or "
            f"(C, n, {width}). Was it trained on another backbone?"
        )
    return context
