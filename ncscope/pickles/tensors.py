"""The tensors that a torch file describes, made of its bytes; and what is no plain tensor.

What they claim is compared with the file's size before a byte is read: tensors may share a storage,
so a small file can describe many large ones.
"""

import math

import torch
from torch import Tensor

from ncscope.pickles.objects import ITEMSIZE, MalformedError, Opaque, TensorRef
from ncscope.pickles.torch_files import TorchFile

_MAX_SHARING = 8  # real files share a storage between two or three tensors
# torch's functions that make what is no plain tensor, what that is, and how it becomes one
_OTHERS = (
    ("_rebuild_sparse", "a sparse tensor", ".to_dense()"),
    ("_rebuild_qtensor", "a quantised tensor", ".dequantize()"),
    ("_rebuild_nested_tensor", "a nested tensor", ".to_padded_tensor(0.0)"),
    ("_rebuild_meta_tensor", "a tensor without values, of the device `meta`", ""),
    ("_rebuild_wrapper_subclass", "a tensor of a subclass", ".to(torch.float32)"),
    ("_rebuild_from_type", "a tensor of a subclass", ".as_subclass(torch.Tensor)"),
    ("_rebuild_device_tensor", "a tensor of another device", ".cpu()"),
)


def check_sizes(refs: list[TensorRef], size: int) -> None:
    """Refuse tensors that together claim many times the `size` of their file in bytes.

    Raises:
        MalformedError: they do.
    """
    claimed = sum(math.prod(ref.size) * ITEMSIZE[ref.dtype] for ref in refs)
    if claimed > _MAX_SHARING * size:
        raise MalformedError("its tensors overlap, and claim many times the file's size")


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


def what_else(value: object) -> str | None:
    """What an object in a tensor's place is, and what to do; None for one that is no tensor."""
    if not isinstance(value, Opaque):
        return None
    name = value.name.rpartition(".")[2]
    for start, what, remedy in _OTHERS:
        if name.startswith(start):
            how = f"save it as a plain one: tensor{remedy}" if remedy else "save its values"
            return f"{what}, which is not read; {how}"
    return None
