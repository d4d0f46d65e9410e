"""Features of anybody's file in our names and shapes, with a word for everything that was changed.

Class weights saved (D, C), caches saved (D, N), one-hot labels and labels that are names become
what `Features` wants where only one reading fits; where two fit, the file is refused.
N images, C classes, D width.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.data.classes import folded
from ncscope.errors import DataError, shown
from ncscope.features.arrays import Stored, names_in, read_arrays
from ncscope.features.held import TORCH, Held, files_of_folder, read_any, read_folder
from ncscope.features.names import KEYS, PARTS, WEIGHTS, Found, refusal, resolve

FEATURE_FILES = (".npz", ".safetensors")
_BESIDE = ("text", "text_frozen", "logit_scale")
_WORDS = rf"(?:{'|'.join(PARTS)}|(?:image|label)(?:_(?:{'|'.join(PARTS)}))?|{'|'.join(_BESIDE)})"
_NAMED = re.compile(rf"(?:^|,){_WORDS}=")
_SIDES = ("", *(f"_{part}" for part in PARTS))


def is_feature_file(source: str | Path) -> bool:
    """Whether a source is features by its name alone, whatever else is asked for."""
    path = Path(source)
    named = path.suffix.lower() in FEATURE_FILES and path.name != "checkpoint.safetensors"
    return named or is_several(source)


def is_feature_source(source: str | Path) -> bool:
    """Whether a source is read as features: a feature file, a torch file or folder of such."""
    if is_feature_file(source):
        return True
    path = Path(source)
    try:
        if path.is_dir():
            stems = list(files_of_folder(path))
            found = resolve(stems, "").theirs
            parts = set(stems) & {*PARTS, "text"}
        elif path.suffix.lower() in (*TORCH, ".npy") and path.is_file():
            if path.suffix.lower() == ".npy":
                return True
            held = read_any(path)
            found, parts = resolve([*held.arrays, *held.texts], "").theirs, set[str]()
        else:
            return False
    except DataError as error:
        return "could each be" in str(error)  # features, and the reader says so
    images = [name for name in found if name.startswith("image")]
    beside = [name for name in found if name.startswith(("label", "text"))]
    return bool(parts) or bool(images and beside)


def read_arranged(source: str | Path) -> Stored:
    """The arrays of a file or folder in our names: `image`, `label_train`, `text` and so on.

    Args:
        source: a path; or several, each after the first as NAME=FILE: `a.npz,text=b.npz`, or all:
            `train=a.npz,test=b.npz`, `image=a.npy,label=b.npy`.

    Raises:
        DataError: nothing there, damaged, no features in it, arrays that fit in two ways, or files
            that disagree.
    """
    files = files_of(source)
    if len(files) == 1 and files[0][0] is None:
        return _read(files[0][1])
    arrays: dict[str, Tensor] = {}
    names: tuple[str, ...] | None = None
    provenance: dict[str, Any] = {}
    warnings: list[str] = []
    for said, path in files:
        stored = _read(path, said)
        for name, value in stored.arrays.items():
            if name in arrays and not torch.equal(arrays[name], value):
                raise DataError(f"{path}: another `{name}` than in a file before it; leave one")
            arrays[name] = value
        if None not in (names, stored.classnames) and names != stored.classnames:
            raise DataError(
                f"{path}: other class names than in a file before it; expected the same classes "
                f"in the same order"
            )
        names = names or stored.classnames
        provenance = provenance or stored.provenance
        warnings += stored.warnings
    work = _Work(str(source), {name: name for name in arrays}, arrays, {}, names)
    _oriented(work)
    return Stored(work.arrays, names, provenance, tuple(dict.fromkeys([*warnings, *work.said])))


def is_several(source: str | Path) -> bool:
    """Whether a source names files by what they hold."""
    return _NAMED.search(str(source)) is not None


def files_of(source: str | Path) -> list[tuple[str | None, Path]]:
    """The files a source names, each with what it is said to be."""
    parts = re.split(rf",(?={_WORDS}=)", str(source))
    files: list[tuple[str | None, Path]] = []
    for k, part in enumerate(parts):
        said = _NAMED.match(part)
        word = None if said is None else said[0].strip("=,")
        path = part if said is None else part[said.end() :]
        if not path or word in dict(files) or (word is None and k):
            raise DataError(
                f"{str(source)!r}: expected FILE, or FILE,text=FILE, or train=FILE,test=FILE with "
                f"val=FILE and text=FILE if there are such, each once"
            )
        files.append((word, Path(path)))
    return files


def _read(path: Path, said: str | None = None) -> Stored:
    """One file or folder; `said` is what the caller calls it: a part, or an array."""
    stored = _read_alone(path, said)
    if said is None or said in stored.arrays:
        beside = stored.arrays if said != "text" else {
            name: stored.arrays[name] for name in _BESIDE if name in stored.arrays
        }  # fmt: skip
        return replace(stored, arrays=dict(beside))
    if said not in PARTS or "image" not in stored.arrays:
        wanted = "image" if said in PARTS else said
        raise DataError(f"{path}: no `{wanted}` in it, which {said}= says it holds")
    arrays = {n: stored.arrays[n] for n in _BESIDE if n in stored.arrays}
    for side in ("image", "label"):
        if side in stored.arrays:
            arrays[f"{side}_{said}"] = stored.arrays[side]
    return replace(stored, arrays=arrays)


def _read_alone(path: Path, said: str | None) -> Stored:
    if not path.exists():
        raise DataError(f"{path}: no such feature file")
    if path.is_dir():
        held, found = _of_held(read_folder(path, read_any), str(path), said)
    elif path.suffix.lower() in (*TORCH, ".npy"):
        held = read_any(path)
        if said not in (None, *PARTS) and len(held.arrays) + len(held.texts) == 1:
            held = _renamed(held, said)
        held, found = _of_held(held, str(path), said)
    else:
        named = resolve(names_in(path), str(path))
        stored = read_arrays(path, list(named.theirs.values()))
        if not stored.arrays and not stored.texts:
            others = [name for name in names_in(path) if name not in ("format", "provenance")]
            raise DataError(f"{path}: {refusal(others)}")
        return _arranged(path, named, stored)
    warnings = [f"not read: {', '.join(held.unread)}"] if held.unread else []
    others = sorted({*held.arrays, *held.texts} - set(found.theirs.values()))
    if others:
        warnings.append(f"arrays passed over: {', '.join(others)}")
    warnings = [f"{path.name}: {words}" for words in warnings]
    return _arranged(path, found, Stored(held.arrays, None, {}, tuple(warnings), held.texts))


def _renamed(held: Held, said: str) -> Held:
    """A file of one array, under the name that the caller gives it."""
    arrays, texts = list(held.arrays.values()), list(held.texts.values())
    return Held({said: arrays[0]} if arrays else {}, {said: texts[0]} if texts else {})


def _of_held(held: Held, where: str, said: str | None) -> tuple[Held, Found]:
    found = resolve([*held.arrays, *held.texts], where)
    sides = [ours for ours in found.theirs if ours.startswith(("image", "text"))]
    if not sides and said is None:
        shapes = {name: tuple(value.shape) for name, value in held.arrays.items()}
        raise DataError(f"{where}: {refusal(shapes)}")
    return held, found


@dataclass
class _Work:
    """Arrays on the way to our shapes."""

    where: str
    theirs: Mapping[str, str]
    arrays: dict[str, Any]
    texts: dict[str, tuple[str, ...]]
    names: tuple[str, ...] | None
    said: list[str] = field(default_factory=list)

    def say(self, ours: str, words: str) -> None:
        self.said.append(f"`{self.theirs[ours]}` {words}")


def _arranged(path: Path, found: Found, stored: Stored) -> Stored:
    arrays = {ours: stored.arrays[t] for ours, t in found.theirs.items() if t in stored.arrays}
    texts = {ours: stored.texts[t] for ours, t in found.theirs.items() if t in stored.texts}
    names = stored.classnames or texts.pop("classnames", None)
    arrays.pop("classnames", None)  # numbers are no names
    work = _Work(str(path), found.theirs, arrays, texts, names, list(found.said))
    for ours in texts:
        if not ours.startswith("label"):
            raise DataError(f"{path}: `{found.theirs[ours]}` holds text; expected numbers")
    _named_labels(work)
    for side in _SIDES:
        _one_hot(work, f"label{side}")
        _upright(work, f"image{side}", f"label{side}")
    _oriented(work)
    said = [f"{path.name}: {words}" for words in work.said]
    return Stored(
        work.arrays, work.names, stored.provenance, (*stored.warnings, *said), {}
    )  # fmt: skip


def _named_labels(work: _Work) -> None:
    """Class names in a label's place become their numbers, in the order of the class names."""
    if not work.texts:
        return
    if work.names is None:
        if "text" in work.arrays or "text_frozen" in work.arrays:
            ours = next(iter(work.texts))
            raise DataError(
                f"{work.where}: `{work.theirs[ours]}` holds names, and nothing tells which row of "
                f"`text` is whose; add `classnames`, one a row"
            )
        work.names = tuple(sorted({name for texts in work.texts.values() for name in texts}))
        work.said.append("no class names; those that the labels have are taken, in their order")
    exact = {name: k for k, name in enumerate(work.names)}
    loose = {folded(name): k for k, name in enumerate(work.names)}
    for ours, texts in work.texts.items():
        unknown = [n for n in dict.fromkeys(texts) if n not in exact and folded(n) not in loose]
        if unknown:
            raise DataError(
                f"{work.where}: `{work.theirs[ours]}` holds {shown([repr(n) for n in unknown])}, "
                f"which the class names do not; expected {shown([repr(n) for n in work.names])}"
            )
        rows = [exact[name] if name in exact else loose[folded(name)] for name in texts]
        work.arrays[ours] = torch.tensor(rows)
        work.say(ours, f"holds names, which are numbered as the {len(work.names)} class names")


def _one_hot(work: _Work, ours: str) -> None:
    label: Tensor | None = work.arrays.get(ours)
    if label is None or label.ndim != 2:
        return
    if label.shape[1] == 1:
        work.arrays[ours] = label[:, 0]
        return
    if not bool(((label == 0) | (label == 1)).all()) or not bool((label.sum(dim=1) == 1).all()):
        raise DataError(
            f"{work.where}: `{work.theirs[ours]}` is {tuple(label.shape)} and not one-hot; "
            f"expected a class number an image, (N,)"
        )
    work.arrays[ours] = label.argmax(dim=1)
    work.say(ours, f"is one-hot, {tuple(label.shape)}: its ones are the class numbers")


def _upright(work: _Work, ours: str, label_name: str) -> None:
    """Turn images saved (D, N), where that is the custom or only that fits the labels."""
    image, label = work.arrays.get(ours), work.arrays.get(label_name)
    if image is None or image.ndim != 2:
        return
    custom = KEYS.fullmatch(work.theirs[ours].lower()) is not None
    fits = label is None or len(image) == len(label)
    turned = label is None or image.shape[1] == len(label)
    if turned and (custom or not fits):
        work.arrays[ours] = image.T.contiguous()
        why = "as Tip-Adapter saves it" if custom else "only so it fits the labels"
        work.say(ours, f"is {tuple(image.shape)} and read as (D, N), {why}")


def _oriented(work: _Work) -> None:
    """Turn class weights saved (D, C), where only that fits; refuse them where both do."""
    text = work.arrays.get("text")
    if text is None or text.ndim != 2:
        return
    theirs, (rows, columns) = work.theirs["text"], text.shape
    images = [work.arrays[f"image{side}"] for side in _SIDES if f"image{side}" in work.arrays]
    width = images[0].shape[-1] if images and images[0].ndim else None
    count = None if work.names is None else len(work.names)
    fits = width in (None, columns) and count in (None, rows)
    turned = width in (None, rows) and count in (None, columns)
    weights = theirs.lower() in WEIGHTS
    if fits and turned and weights:
        raise DataError(
            f"{work.where}: `{theirs}` is {tuple(text.shape)}, which may be (C, D) or (D, C): "
            f"nothing tells; save it as `text`, one row a class"
        )
    if turned and not fits:
        work.arrays["text"] = text.T.contiguous()
        work.say("text", f"is {tuple(text.shape)} and read as (D, C): only so it fits")
