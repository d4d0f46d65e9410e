"""Tensors from their checked descriptions in a torch file, and a file's value with them in place.

No class that the file names is imported: what is not a tensor, a container or a plain value stays
an `Opaque` or a `Name`.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.pickles.objects import ITEMSIZE, MalformedError, TensorRef
from ncscope.pickles.torch_files import TorchFile, open_kind, open_legacy, open_zip

_MAX_SHARING = 8  # real files share a storage between two or three tensors


def build(ref: TensorRef, opened: TorchFile, buffers: dict[str, Tensor]) -> Tensor:
    """The tensor of a checked description; tensors of one storage share memory here too."""
    storage, dtype = ref.storage, getattr(torch, ref.dtype)
    if math.prod(ref.size) == 0:
        return torch.empty(ref.size, dtype=dtype)
    if storage.key not in buffers:
        content = opened.fetch(storage)
        buffers[storage.key] = torch.frombuffer(content, dtype=torch.uint8)
    itemsize = ITEMSIZE[ref.dtype]
    whole = storage.nbytes // itemsize * itemsize
    raw = buffers[storage.key][storage.start : storage.start + whole]
    if opened.byteorder == "big":
        word = itemsize // 2 if dtype.is_complex else itemsize
        raw = raw.view(-1, word).flip(1).flatten()
    # a byte other than 0 and 1 is no bool
    elements = raw.ne(0) if dtype == torch.bool else raw.view(dtype)
    return elements.as_strided(ref.size, ref.stride, elements.storage_offset() + ref.offset)


def check_sizes(refs: list[TensorRef], size: int) -> None:
    """Refuse tensors that claim many times the file's bytes.

    Raises:
        MalformedError: their sum is more than a small multiple of `size`.
    """
    if sum(math.prod(ref.size) * ITEMSIZE[ref.dtype] for ref in refs) > _MAX_SHARING * size:
        raise MalformedError("its tensors overlap, and claim many times the file's size")


def state_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state dict in a torch file, bare or under `state_dict`, and the whole file's entries.

    Tensors of the state dict are built, the rest is left as it was described.

    Raises:
        MalformedError: damaged, or no dictionary of named tensors.
        CheckpointError: no file of torch's.
    """
    kind = open_kind(path)
    if kind == "safetensors":
        raise MalformedError("no file of torch's")
    with path.open("rb") as file:
        size = path.stat().st_size
        opened = (open_zip if kind == "zip" else open_legacy)(file, size)
        blob = opened.value
        state = blob.get("state_dict", blob) if isinstance(blob, dict) else None
        if not isinstance(blob, dict) or not isinstance(state, dict):
            raise MalformedError("no dictionary of named tensors")
        refs = {str(key): value for key, value in state.items() if key != "_metadata"}
        if not refs or not all(isinstance(value, TensorRef) for value in refs.values()):
            raise MalformedError("no dictionary of tensors alone")
        check_sizes(list(refs.values()), size)
        buffers: dict[str, Tensor] = {}
        return {key: build(ref, opened, buffers) for key, ref in refs.items()}, blob
