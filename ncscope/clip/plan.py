"""What a backbone is to be built from: its configuration, its weights, and what is said of them."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ncscope.clip.openai_format import architecture
from ncscope.clip.weights import Weights, read_weights
from ncscope.errors import BackboneError

_USUAL_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pt",
)
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Reading:
    """How weight files are read; see `read_weights`."""

    trust: bool
    published: Collection[str]
    cache_dir: Path | None

    def weights(self, path: Path) -> Weights:
        return read_weights(
            path, trust=self.trust, published=self.published, cache_dir=self.cache_dir
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """A backbone before it is built."""

    name: str
    weights: str  # where they come from, for the provenance: a tag, a path, `random`
    config: dict[str, Any]  # open_clip's model configuration
    tensors: dict[str, Tensor] | None = None  # None: random, or of `published`
    published: str | None = None  # a file that open_clip's own loader reads
    preprocess: dict[str, Any] = field(default_factory=dict)  # what differs from CLIP's own
    tokenizer: str | None = None  # open_clip's name of it; None: CLIP's own
    notes: tuple[str, ...] = ()


def plan_file(path: Path, pretrained: str | None, reading: Reading) -> Plan:
    """A file on its own: OpenAI's format, the architecture from its shapes."""
    if pretrained is not None:
        raise BackboneError(
            f"{path} is a weight file, so `pretrained` {pretrained!r} has no place; name the "
            f"architecture and give the file as its weights: --backbone NAME --pretrained {path}"
        )
    weights = reading.weights(path)
    note = (
        f"{path.name} is taken for OpenAI's, with QuickGELU: nothing in it says so; if it is "
        f"not, name its architecture: --backbone NAME --pretrained {path.name}"
    )
    return Plan(
        name=path.name,
        weights=str(path),
        config=architecture(weights.tensors, where=str(path)),
        tensors=weights.tensors,
        notes=() if weights.openais else (note,),
    )


def plan_folder(folder: Path, pretrained: str | None, reading: Reading) -> Plan:
    """An open_clip folder: `open_clip_config.json` and a file of weights."""
    stored = _read_config(folder / "open_clip_config.json")
    if pretrained not in (None, "random"):
        raise BackboneError(
            f"{folder} holds its own weights, so `pretrained` {pretrained!r} has no place; leave "
            f"it out"
        )
    tensors = None
    source = "random"
    if pretrained is None:
        path = _weights_in(folder)
        tensors, source = reading.weights(path).tensors, str(path)
    return Plan(
        name=folder.name,
        weights=source,
        config=stored["model_cfg"],
        tensors=tensors,
        preprocess=stored.get("preprocess_cfg", {}),
        tokenizer=f"local-dir:{folder}",
    )


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BackboneError(
            f"{path.parent}: no {path.name} in it; expected an open_clip folder of {path.name} "
            f"and {_USUAL_NAMES[0]}"
        )
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not readable as JSON ({error})") from None
    config = stored.get("model_cfg") if isinstance(stored, dict) else None
    parts = ("embed_dim", "vision_cfg", "text_cfg")
    if not isinstance(config, dict) or not all(part in config for part in parts):
        raise BackboneError(f"{path}: no `model_cfg` with {', '.join(parts)} in it")
    if not isinstance(stored.get("preprocess_cfg", {}), dict):
        raise BackboneError(f"{path}: `preprocess_cfg` is no JSON object")
    return stored


def _weights_in(folder: Path) -> Path:
    for name in _USUAL_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise BackboneError(f"{folder}: several weight files ({names}); keep one")
    raise BackboneError(
        f"{folder}: a configuration and no weights; expected {_USUAL_NAMES[0]} beside it "
        f"(untrained weights only if asked for: --pretrained random)"
    )


def plan_named_file(name: str, path: Path, config: dict[str, Any], reading: Reading) -> Plan:
    """An architecture by name with a local file of weights; the activation is what the file is."""
    weights = reading.weights(path)
    notes: tuple[str, ...] = ()
    if not config.get("quick_gelu") and weights.openais:
        config = {**config, "quick_gelu": True}
        notes = (
            f"{path.name} is in OpenAI's form, so QuickGELU is used although `{name}` names GELU "
            f"(`{name}-quickgelu` says the same without this note)",
        )
    elif not config.get("quick_gelu") and not weights.wrapped:
        notes = (
            f"{path.name} does not say its activation: GELU is used, as `{name}` names it; if "
            f"these are OpenAI's weights, name `{name}-quickgelu`",
        )
    return Plan(name, str(path), config, weights.tensors, tokenizer=name, notes=notes)
