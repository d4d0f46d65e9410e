"""What files hold that others save features in: by torch, bare arrays, and folders of them.

A torch file is read as data, by the project's own reader: nothing in it runs. A bare array is known
by its file's name: a folder of `features_train.pt`, `targets_train.pt` and so on (CLIP_benchmark)
or `keys_16shots.pt`, `values_16shots.pt`, `test_f.pt`, `test_l.pt` (Tip-Adapter) is one set of
named arrays, and so are `image.npy` and `label.npy`.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.errors import CheckpointError, DataError, ShapeError
from ncscope.features.arrays import names_in, numbers_or_text, read_arrays
from ncscope.features.names import PARTS, Found, resolve
from ncscope.features.npz import read_npy
from ncscope.opening import open_regular
from ncscope.pickles.objects import MalformedError, Opaque, TensorRef
from ncscope.pickles.tensors import build, check_sizes, what_else
from ncscope.pickles.torch_files import open_kind, open_legacy, open_zip

TORCH = (".pt", ".pth")
_READ = (*TORCH, ".npy", ".npz", ".safetensors")
_MOST_FILES = 64
_DEEPEST = 3
_ARRAYS_OF = (*PARTS, "text")  # stems of files that hold a part, or the texts


@dataclass
class Held:
    """Arrays of numbers and of text by their owner's names; what could not be read is `unread`."""

    arrays: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def read_torch(path: Path) -> Held:
    """Tensors and lists in a torch file, those of nested dictionaries by dotted names.

    Raises:
        DataError: no readable torch file. The words are those of a checkpoint's reader.
    """
    try:
        kind = open_kind(path)
        if kind == "safetensors":
            raise DataError(f"{path}: a safetensors file by its content; name it .safetensors")
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            opened = (open_zip if kind == "zip" else open_legacy)(file, size)
            held = Held()
            _collect(held, opened.value, "", path.stem, depth=0)
            refs = {n: v for n, v in held.arrays.items() if isinstance(v, TensorRef)}
            check_sizes(list(refs.values()), size)
            buffers: dict[str, Tensor] = {}
            held.arrays |= {name: build(ref, opened, buffers) for name, ref in refs.items()}
    except CheckpointError as error:
        raise DataError(str(error)) from None
    except MalformedError as error:
        raise DataError(f"{path}: not readable: {error}; save it again") from None
    except (OSError, MemoryError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    return held


def _collect(held: Held, value: object, name: str, stem: str, *, depth: int) -> None:
    """Sort a value of the file; what it is called is its path of keys, or the file's stem."""
    if depth > _DEEPEST or len(held.arrays) + len(held.unread) > 1000:
        raise MalformedError("dictionaries nested without end")
    called = name or stem
    if isinstance(value, Tensor | TensorRef):
        held.arrays[called] = value
    elif isinstance(value, dict):
        for key, entry in value.items():
            inner = str(key) if isinstance(key, str | int) else "?"
            _collect(held, entry, f"{name}.{inner}" if name else inner, stem, depth=depth + 1)
    elif isinstance(value, list | tuple) and value:
        _of_list(held, list(value), name, called, depth=depth)
    elif words := what_else(value):
        raise MalformedError(f"`{called}` is {words}")
    elif isinstance(value, Opaque):
        held.unread.append(f"{called} (an object of {value.name})")


def _of_list(held: Held, value: list[Any], name: str, called: str, *, depth: int) -> None:
    """A list of names, of labels, or a pair of features and labels, as loops save them."""
    if all(isinstance(one, str) for one in value):
        held.texts[called] = tuple(value)
    elif all(type(one) is int and abs(one) < 2**62 for one in value):
        held.arrays[called] = torch.tensor(value)
    elif len(value) == 2 and all(isinstance(one, TensorRef) for one in value):
        wide, flat = value
        if len(wide.size) == 2 and len(flat.size) == 1 and wide.size[0] == flat.size[0]:
            before = f"{name}." if name else ""
            held.arrays |= {f"{before}features": wide, f"{before}labels": flat}
            return
        held.unread.append(f"{called} (two tensors, {tuple(wide.size)} and {tuple(flat.size)})")
    elif depth:
        held.unread.append(f"{called} (a list)")


def read_bare(path: Path) -> Held:
    """A `.npy` file, under the file's name."""
    try:
        with open_regular(path) as file:
            array = read_npy(file, os.fstat(file.fileno()).st_size, path.stem)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    numbers, texts = numbers_or_text(path, path.stem, array)
    held = Held()
    if numbers is not None:
        held.arrays[path.stem] = numbers
    if texts is not None:
        held.texts[path.stem] = texts
    return held


def files_of_folder(folder: Path) -> dict[str, Path]:
    """The files of a folder that are named as arrays or parts are, by stem.

    Raises:
        DataError: two files of one stem, or hundreds of them.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _READ or not _is_named(path.stem):
            continue
        if path.stem in found:
            raise DataError(
                f"{folder}: {found[path.stem].name} and {path.name} are called the same; leave one"
            )
        found[path.stem] = path
    if len(found) > _MOST_FILES:
        raise DataError(f"{folder}: {len(found)} files of features; at most {_MOST_FILES} are read")
    return found


def _is_named(stem: str) -> bool:
    try:
        return stem in _ARRAYS_OF or bool(resolve([stem], "").theirs)
    except DataError:
        return False


def read_folder(folder: Path, read: Callable[[Path], Held]) -> Held:
    """What the files of a folder hold: those of a part under names of that part."""
    held = Held()
    for stem, path in files_of_folder(folder).items():
        one = read(path)
        for kind in ("arrays", "texts"):
            for name, value in getattr(one, kind).items():
                of_part = stem in PARTS and name != stem
                called = f"{name}_{stem}" if of_part and not _of_all(name) else name
                if called in getattr(held, kind) and kind == "arrays":
                    raise ShapeError(f"{path}: another `{called}` than in a file before it")
                getattr(held, kind)[called] = value
        held.unread += one.unread
    return held


def _of_all(name: str) -> bool:
    """Whether an array of a part's file belongs to all parts, as texts and class names do."""
    found: Found = resolve([name], "")
    return not re.match(r"image|label", next(iter(found.theirs), "image"))


def read_any(path: Path) -> Held:
    """What a file holds whose names are not ours, by its suffix."""
    suffix = path.suffix.lower()
    if suffix in TORCH:
        return read_torch(path)
    if suffix == ".npy":
        return read_bare(path)
    names = names_in(path)
    stored = read_arrays(path, [name for name in names if name not in ("format", "provenance")])
    texts = dict(stored.texts)
    if stored.classnames is not None:
        texts["classnames"] = stored.classnames
    return Held(dict(stored.arrays), texts)
