"""Named arrays in a file: `.safetensors`, or `.npz` without pickle. Files are untrusted."""

import contextlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ncscope.errors import DataError
from ncscope.features.npz import names_of_npz, read_npz
from ncscope.features.provenance import read_provenance
from ncscope.opening import open_regular, require_regular
from ncscope.text import short
from ncscope.writing import replacing

FORMAT = "ncscope features 1"
_WORDS = ("classnames", "format", "provenance")
_PLAIN = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)
_WIDE = (torch.uint16, torch.uint32, torch.uint64)


# numbers and texts by name, what is written beside them, and the names of what was passed over
_Read = tuple[dict[str, Tensor], dict[str, tuple[str, ...]], dict[str, str], list[str]]


@dataclass(frozen=True, eq=False)
class Stored:
    """What a feature file holds, before anything is checked."""

    arrays: dict[str, Tensor]
    classnames: tuple[str, ...] | None
    provenance: dict[str, Any]
    warnings: tuple[str, ...]
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # names in a label's place


def write_arrays(
    path: Path, arrays: dict[str, Tensor], *, classnames: Sequence[str], provenance: dict[str, Any]
) -> None:
    """Write a feature file under a temporary name beside `path`, then rename it."""
    _check_suffix(path)
    try:
        words = json.dumps(provenance, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"`provenance` cannot be written as JSON ({error})") from None
    with replacing(path) as temporary:
        if path.suffix.lower() == ".npz":
            content = {name: value.numpy() for name, value in arrays.items()}
            content["classnames"] = np.array(classnames, dtype=np.str_)
            content["format"] = np.array(FORMAT)
            content["provenance"] = np.array(words)
            with temporary.open("wb") as file:
                np.savez(file, **content)  # pyright: ignore[reportArgumentType]
        else:
            names = json.dumps(list(classnames), ensure_ascii=False)
            metadata = {"format": FORMAT, "classnames": names, "provenance": words}
            save_file({n: v.contiguous() for n, v in arrays.items()}, temporary, metadata)


def _require(path: Path) -> None:
    try:
        require_regular(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such feature file") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None


def names_in(path: Path) -> list[str]:
    """The names of a file's arrays, as far as its head tells; what is wrong, reading says."""
    _check_suffix(path)
    _require(path)
    if path.suffix.lower() == ".npz":
        with contextlib.suppress(OSError), open_regular(path) as file:
            return names_of_npz(file)
    with contextlib.suppress(Exception):
        require_regular(path)
        with safe_open(path, framework="pt") as file:
            return [*file.keys(), *(file.metadata() or {})]
    return []


def read_arrays(path: Path, names: Sequence[str]) -> Stored:
    """Read the arrays called `names`, as far as there are any, with class names and provenance.

    Those of text, class names in a label's place or under another name, come as `texts`.
    """
    _check_suffix(path)
    _require(path)
    read = _read_npz if path.suffix.lower() == ".npz" else _read_safetensors
    try:
        arrays, texts, words, others = read(path, names)
    except DataError:
        raise
    except Exception as error:  # what a damaged archive raises is anyone's guess
        raise DataError(
            f"{path}: is damaged or cut short, or is no {path.suffix} file ({short(error, 160)})"
        ) from None
    if not words.get("format", FORMAT).startswith("ncscope features "):
        words.pop("format")  # somebody else's word in somebody else's file
    if words.get("format", FORMAT) != FORMAT:
        raise DataError(f"{path}: format {words['format']!r}; this version reads {FORMAT!r}")
    warnings = [f"{path.name}: arrays passed over: {', '.join(others)}"] if others else []
    provenance, note = read_provenance(words.get("provenance", "{}"))
    warnings += [f"{path.name}: {note}"] if note else []
    return Stored(arrays, _names(path, words), provenance, tuple(warnings), texts)


def _read_safetensors(path: Path, names: Sequence[str]) -> _Read:
    require_regular(path)
    with safe_open(path, framework="pt") as file:  # maps the file; rows are read when used
        present = list(file.keys())
        arrays = {
            name: _plain(path, name, file.get_tensor(name)) for name in names if name in present
        }
        words = dict(file.metadata() or {})
    texts = {}
    for name in names:
        listed = _json(words[name]) if name in words and name not in _WORDS else None
        if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            texts[name] = tuple(listed)
    return arrays, texts, words, sorted(set(present) - set(names))


def _read_npz(path: Path, names: Sequence[str]) -> _Read:
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            found, others = read_npz(file, size, [*names, *_WORDS])
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    arrays, texts = {}, {}
    for name in names:
        if name in found and name not in _WORDS:
            numbers, listed = numbers_or_text(path, name, found[name])
            arrays |= {} if numbers is None else {name: numbers}
            texts |= {} if listed is None else {name: listed}
    words = {name: _word(path, name, found[name]) for name in _WORDS if name in found}
    return arrays, texts, words, others


def _plain(path: Path, name: str, value: Tensor) -> Tensor:
    """Numbers that can be calculated with: of 16, 32 or 64 bits, or whole ones."""
    if value.dtype in _WIDE:
        return value.to(torch.int64)
    if value.dtype not in _PLAIN:
        raise DataError(
            f"{path}: `{name}` holds {str(value.dtype).removeprefix('torch.')}; expected numbers "
            f"of 16, 32 or 64 bits: save it with .float()"
        )
    return value


def numbers_or_text(
    path: Path, name: str, array: np.ndarray
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """An array's numbers; or its words, in one row.

    Raises:
        DataError: neither.
    """
    if array.dtype.kind in "US" and array.ndim == 1:
        return None, tuple(array.astype(np.str_).tolist())
    return _tensor(path, name, array), None


def _tensor(path: Path, name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path}: `{name}` holds {array.dtype}; expected numbers")
    if array.dtype.kind == "u":
        array = array.astype(np.int64)
    elif array.dtype.itemsize > 8:  # long double, which torch does not know
        array = array.astype(np.float64)
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _word(path: Path, name: str, array: np.ndarray) -> str:
    """A unicode array as text: class names become a JSON list, as in `.safetensors`."""
    wanted = 1 if name == "classnames" else 0
    if array.dtype.kind not in "US" or array.ndim != wanted:
        raise DataError(f"{path}: `{name}` holds {array.dtype}; expected {wanted}-dimensional text")
    text = array.astype(np.str_)
    return json.dumps(text.tolist()) if name == "classnames" else str(text)


def _names(path: Path, words: dict[str, str]) -> tuple[str, ...] | None:
    if "classnames" not in words:
        return None
    names = _json(words["classnames"])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: `classnames` is no JSON list of strings")
    return tuple(names)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check_target(path: Path) -> None:
    """Refuse a file that could not be written, before the work for it is done."""
    _check_suffix(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder; expected the name of a feature file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from None


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (".safetensors", ".npz"):
        raise DataError(f"{path}: unknown suffix; a feature file ends in .safetensors or .npz")
