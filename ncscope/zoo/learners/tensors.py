"""Takes a learner's tensors out of a checkpoint, with the checks that all learners need."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.text_tower import text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.settings import Settings

Size = int | str  # an axis: its length, or the letter of any length


def take(
    tensors: Mapping[str, Tensor], key: str, shape: tuple[Size, ...], settings: Settings
) -> Tensor:
    """The tensor at `key` in float32, with its gradient where it is being trained.

    Args:
        shape: expected; a letter stands for any length.

    Raises:
        CheckpointError: it is missing, or of another shape.
    """
    if key not in tensors:
        raise CheckpointError(f"{settings.where}: no `{key}`, which {settings.method} needs")
    value = tensors[key]
    fits = value.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise CheckpointError(
            f"{settings.where}: `{key}` is {tuple(value.shape)}; expected ({wanted}). "
            f"Was it trained on another backbone?"
        )
    return value.float()


def stack(tensors: Mapping[str, Tensor], pattern: str) -> list[str]:
    """The keys of a list of modules, `{}` in the pattern standing for 0, 1, 2, ..."""
    keys: list[str] = []
    while pattern.format(len(keys)) in tensors:
        keys.append(pattern.format(len(keys)))
    return keys


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below a prefix, without it."""
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def prompt_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The prompt learner's entries, also where a whole model is in the file."""
    return under(tensors, "prompt_learner.") or dict(tensors)


def is_half(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the authors' code ran in half precision; deep prompts stay float32 in the file."""
    keys = ("prompt_learner.ctx", "ctx", "image_encoder.conv1.weight")
    known = [tensors[key].dtype for key in keys if key in tensors]
    return bool(known) and known[0] == torch.float16


def as_used(value: Tensor, backbone: Backbone, *, half: bool) -> Tensor:
    """A learned tensor as the authors use it: through half precision if they did, on the device."""
    return (value.half() if half else value).float().to(backbone.device)


def check_depth(depth: int, backbone: Backbone, settings: Settings) -> None:
    """Refuse prompts for more blocks than a text tower of the backbone has."""
    blocks = len(text_tower(backbone.model).blocks)
    if depth > blocks:
        raise CheckpointError(
            f"{settings.where}: prompts for {depth} blocks, but the backbone's text tower has "
            f"{blocks}. Was it trained on another backbone?"
        )
