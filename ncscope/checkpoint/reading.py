"""Reads the tensors of a prompt learner's checkpoint without running any code the file names.

Checkpoints of the CoOp family also pickle their optimiser and scheduler objects. torch.load with
`weights_only=True` refuses them and without it runs what they name, so neither is used: the file is
read as data (`ncscope.pickles`), and what is not a tensor, a container or a plain value is left
out and named in the notes.

Damage is noticed in zip files, by their checksums. torch's old format and safetensors have none.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ncscope.checkpoint.flat import Plain, flatten
from ncscope.errors import CheckpointError
from ncscope.pickles.objects import ITEMSIZE, MalformedError, TensorRef
from ncscope.pickles.torch_files import open_kind
from ncscope.pickles.torch_legacy import open_legacy
from ncscope.pickles.torch_zip import TorchFile, open_zip

_MAX_SHARING = 8  # real files share a storage between two or three tensors


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint file holds.

    `tensors` are on the CPU, keys without `module.`; those of a nested file have dotted keys
    (`weights.layer_0.q_proj.w_lora_A`), a bare tensor the key `tensor`. `extras` are its plain
    values (`epoch`, `val_result`, ...), `notes` what was left out. `format` is zip, legacy or
    safetensors.
    """

    path: Path
    format: str
    tensors: dict[str, Tensor]
    extras: dict[str, Plain]
    notes: tuple[str, ...]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint written by torch.save or safetensors. Nothing in the file is executed.

    Memory is bounded by a small multiple of the file's size.

    Raises:
        CheckpointError: not a readable checkpoint; one line that says what it is and what to do.
    """
    path = Path(path)
    kind = open_kind(path)
    try:
        if kind == "safetensors":
            return _read_safetensors(path)
        with path.open("rb") as file:
            size = path.stat().st_size
            opened = (open_zip if kind == "zip" else open_legacy)(file, size)
            return _from_torch(path, kind, opened, size)
    except MalformedError as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint: {error}; fetch or save it again"
        ) from error
    except (OSError, MemoryError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _from_torch(path: Path, kind: str, opened: TorchFile, size: int) -> Checkpoint:
    flat = flatten(opened.value)
    if not flat.tensors:
        raise CheckpointError(f"{path}: {flat.absent or 'holds no tensors'}")
    claimed = sum(math.prod(ref.size) * ITEMSIZE[ref.dtype] for ref in flat.tensors.values())
    if claimed > _MAX_SHARING * size:
        raise MalformedError("its tensors overlap, and claim many times the file's size")
    buffers: dict[str, Tensor] = {}
    tensors = {key: _build(ref, opened, buffers) for key, ref in flat.tensors.items()}
    notes = list(flat.notes)
    if opened.unread:
        shown = ", ".join(opened.unread[:8]) + (", ..." if len(opened.unread) > 8 else "")
        notes.append(f"objects of these classes were not read, and no code of theirs ran: {shown}")
    return Checkpoint(path, kind, tensors, flat.extras, tuple(notes))


def _build(ref: TensorRef, opened: TorchFile, buffers: dict[str, Tensor]) -> Tensor:
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


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise MalformedError(f"truncated or damaged safetensors ({reason})") from error
    flat = flatten({**metadata, "state_dict": tensors})
    if not flat.tensors:
        raise CheckpointError(f"{path}: holds no tensors")
    return Checkpoint(path, "safetensors", flat.tensors, flat.extras, flat.notes)
