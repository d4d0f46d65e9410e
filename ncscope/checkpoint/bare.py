"""What a file of one tensor is: Tip-Adapter's caches, labels, stored features, a bare context.

Such a file says nothing of itself. Tip-Adapter's are told by the names its authors give them
(`best_F_16shots.pt`, `keys_16shots.pt`, `values_16shots.pt`), the rest by the values; what cannot
be told is a matrix, which is refused rather than taken for anything.
"""

from pathlib import Path

import torch
from torch import Tensor

# What the keys or a bare tensor tell of a file that is no learner's, and what to do with it
NOT_LEARNERS: dict[str, str] = {
    "CLIP backbone": "a CLIP backbone, not a prompt learner; give it as --backbone",
    "feature file": "stored features, not a checkpoint; `ncscope analyze FILE` takes them as they "
    "are, without --data",
    "Nemesis features": "stored features, not a checkpoint",
    "cached labels": "labels of cached images, not a checkpoint; Tip-Adapter's caches are best_F_* "
    "and keys_*",
    "matrix": "a matrix of numbers that nothing tells the method of; cached features? put `image` "
    "and `label` in one .npz; a cache of Tip-Adapter's is called best_F_*.pt or keys_*.pt, or "
    "named by --method Tip-Adapter",
    "bare context": "a bare matrix that looks like CoOp's context: save it as {'ctx': ...}, then "
    "it is read as CoOp's",
}

_CACHES = {"best_F_": "Tip-Adapter-F", "keys_": "Tip-Adapter", "values_": "cached labels"}
_MOST_TOKENS = 64  # of a learned context; caches have a row for every training image
_HEAD = 64  # a tower's width is a multiple of it


def bare_method(tensor: Tensor, path: Path) -> tuple[str, str]:
    """What the tensor is, and what says so.

    Returns:
        `Tip-Adapter`, `Tip-Adapter-F`, `cached labels`, `bare context` or `matrix`.
    """
    for start, method in _CACHES.items():
        if path.name.startswith(start) and tensor.ndim == 2:
            return method, "its shape, and the file's name, which is a hint only"
    if tensor.ndim < 2 or tensor.numel() == 0 or _one_hot(tensor):
        return "cached labels", "its values: labels, one an image"
    few = tensor.ndim == 2 and len(tensor) <= min(_MOST_TOKENS, tensor.shape[1] - 1)
    if few and tensor.shape[1] % _HEAD == 0 and tensor.is_floating_point() and not _units(tensor):
        return "bare context", "its shape: few rows as wide as a text tower"
    return "matrix", "its shape: one matrix, and no name that tells its method"


def _one_hot(tensor: Tensor) -> bool:
    """Whether every row is one 1 among zeros."""
    if tensor.ndim != 2:
        return False
    ones, zeros = tensor == 1, tensor == 0
    return bool((ones | zeros).all()) and bool((ones.sum(dim=1) == 1).all())


def _units(tensor: Tensor) -> bool:
    """Whether rows have length 1, as cached features have; to half precision."""
    lengths = tensor.float().norm(dim=1)
    return torch.allclose(lengths, torch.ones_like(lengths), atol=1e-2)
