"""Sorts what a checkpoint holds into tensors by dotted key, plain values, and what is left out."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ncscope.pickles.objects import MalformedError, TensorRef
from ncscope.pickles.pickles_objects import Name, Opaque

Plain = bool | int | float | str | None | tuple[Any, ...]
BARE = "tensor"  # the key of a file that holds one tensor and nothing else
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_SKIPPED = ("optimizer", "scheduler")
_MAX_DEPTH = 6
_MAX_ENTRIES = 20_000  # real files have up to 1500
_MAX_NAME = 300
_MAX_TEXT = 2**16


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
        names = ", ".join(f"`{key}`" for key in skipped[:8]) + (", ..." if skipped[8:] else "")
        flat.notes = (f"left out: {names}",)
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
        elif _is_plain(value):
            flat.extras[name] = tuple(value) if isinstance(value, list) else value
        else:
            skipped.append(name)


def _name(key: object, prefix: str) -> str:
    """The dotted name, without the `module` that DataParallel puts anywhere in it."""
    text = str(key) if isinstance(key, int) else key
    if not isinstance(text, str) or len(text) > _MAX_NAME or not text.isprintable():
        raise MalformedError("an entry whose name is not readable text")
    return prefix + (".".join(part for part in text.split(".") if part != "module") or text)


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
