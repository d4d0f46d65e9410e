"""Reads the tensors of a prompt learner's checkpoint without running any code the file names.

Checkpoints of the CoOp family also pickle their optimiser and scheduler objects. torch.load with
`weights_only=True` refuses them and without it runs what they name, so neither is used: the file is
read as data (`ncscope.pickles`), and what is not a tensor, a container or a plain value is left
out and named in the notes.

Damage is noticed in zip files, by their checksums. torch's old format and safetensors have none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ncscope.errors import CheckpointError
from ncscope.pickles.objects import MalformedError, Name, Opaque, TensorRef
from ncscope.pickles.tensors import build, check_sizes, what_else
from ncscope.pickles.torch_files import TorchFile, open_kind, open_legacy, open_zip

Plain = bool | int | float | str | None | tuple[Any, ...]
BARE = "tensor"  # the key of a file that holds one tensor and nothing else
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_SKIPPED = ("optimizer", "scheduler")
_WRAPPERS = ("module", "_orig_mod")
_MAX_DEPTH = 6
_MAX_ENTRIES = 20_000  # real files have up to 1500
_MAX_NAME = 300
_MAX_TEXT = 2**16


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
    check_sizes(list(flat.tensors.values()), size)
    buffers: dict[str, Tensor] = {}
    tensors = {key: build(ref, opened, buffers) for key, ref in flat.tensors.items()}
    notes = list(flat.notes)
    if opened.unread:
        names = first_few(opened.unread, most=8)
        notes.append(f"objects of these classes were not read, and no code of theirs ran: {names}")
    return Checkpoint(path, kind, tensors, flat.extras, tuple(notes))


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


@dataclass(eq=False)
class Flat:
    """Tensors (or descriptions of them) and plain values by key. `absent`: why there are none."""

    tensors: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, Plain] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    absent: str = ""
    visits: int = 0


def flatten(value: object) -> Flat:
    """Sort a checkpoint's value: the state dict's entries by their own keys, others beside them.

    A file without a `state_dict` is taken as nested dictionaries of tensors, with dotted keys.

    Raises:
        MalformedError: keys that are no names, two tensors of one name, endless nesting.
    """
    if isinstance(value, Tensor | TensorRef):
        return Flat(tensors={BARE: value})
    if not isinstance(value, dict):
        return Flat(absent=_absent(value))
    flat, skipped = Flat(), list[str]()
    state_key = next((key for key in _STATE_KEYS if isinstance(value.get(key), dict)), None)
    if state_key is not None:
        _collect(flat, value[state_key], "", skipped, depth=0)
    for key, entry in value.items():
        if key == state_key:
            continue
        if key in _SKIPPED or (state_key is not None and isinstance(entry, dict)):
            skipped.append(str(key)[:80])
        else:
            _collect(flat, {key: entry}, "", skipped, depth=0)
    if skipped:
        flat.notes = (f"left out: {first_few([f'`{key}`' for key in skipped], most=8)}",)
    flat.absent = _absent(value.get("state_dict")) if "state_dict" in value else ""
    return flat


def _collect(
    flat: Flat, entries: dict[Any, Any], prefix: str, skipped: list[str], *, depth: int
) -> None:
    flat.visits += 1 + len(entries)  # one dictionary may stand in many places
    if depth > _MAX_DEPTH or flat.visits > _MAX_ENTRIES:
        raise MalformedError("dictionaries nested without end")
    for key, value in entries.items():
        name = _name(key, prefix)
        if isinstance(value, Tensor | TensorRef):
            if name in flat.tensors:
                raise MalformedError(f"two tensors named `{name}` once `module.` is dropped")
            flat.tensors[name] = value
        elif isinstance(value, dict):
            if name != "_metadata":
                _collect(flat, value, f"{name}.", skipped, depth=depth + 1)
        elif other := what_else(value):
            raise MalformedError(f"`{name}` is {other}")
        elif _is_plain(value):
            flat.extras[name] = tuple(value) if isinstance(value, list) else value
        else:
            skipped.append(name)


def _name(key: object, prefix: str) -> str:
    """The dotted name, without what DataParallel and torch.compile put anywhere in it."""
    text = str(key) if isinstance(key, int) else key
    if not isinstance(text, str) or len(text) > _MAX_NAME or not text.isprintable():
        raise MalformedError("an entry whose name is not readable text")
    return prefix + (".".join(part for part in text.split(".") if part not in _WRAPPERS) or text)


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return len(value) <= 64 and all(map(_is_scalar, value))
    return _is_scalar(value)


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT and value.isprintable()
    return value is None or isinstance(value, bool | int | float)


def _absent(value: object) -> str:
    if isinstance(value, Opaque | Name):
        name = value.name if isinstance(value, Opaque) else value.text[:80]
        return (
            f"holds an object of the class {name} instead of tensors, which is not built because "
            "that runs code; save its `state_dict()`"
        )
    return f"holds no tensors but a {type(value).__name__}"


def first_few(names: Sequence[str], *, most: int) -> str:
    """The first names of a list, for a note."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
