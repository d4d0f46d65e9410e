"""Weight files of CLIP backbones, and the architecture that OpenAI's state dicts tell.

Tensors are read by name, without running anything the file names. A TorchScript archive, as OpenAI
publishes its models, is a program: it is opened only if its sha256 is a published one or the caller
vouches for it.

What no shape tells, the activation and the width of a head, is the same in every model that
OpenAI published: QuickGELU, 64. A training checkpoint of open_clip's has the same names and GELU.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ncscope.errors import BackboneError, CheckpointError, brief
from ncscope.opening import open_regular
from ncscope.pickles.objects import MalformedError, Opaque, TensorRef
from ncscope.pickles.tensors import build, check_sizes, what_else
from ncscope.pickles.torch_files import TorchFile, open_kind, open_legacy, open_zip

_EXTRA_KEYS = ("input_resolution", "context_length", "vocab_size")  # numbers beside the weights
VOCABULARY = 49408
_LEARNERS = ("prompt_learner.", "image_encoder.", "text_encoder.")  # keys of prompt learners
_WEIGHTS, _CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
_WIDEST_VIT = 1024  # wider ones (ViT-H, -g, -G; none is OpenAI's) have heads of another width


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors of a CLIP model, on the CPU, `module.` dropped from their names."""

    tensors: dict[str, Tensor]
    openais: bool  # in the form in which OpenAI publishes its models: QuickGELU
    openclips: bool  # a training checkpoint as open_clip writes them: GELU, if no name says else
    quick_named: bool = False  # the training run was called after a `-quickgelu` model

    @property
    def halved(self) -> bool:
        """Half precision throughout, which neither publishes, and users of OpenAI's models make."""
        return all(t.dtype == torch.float16 for t in self.tensors.values() if t.ndim)


def read_weights(
    path: Path, *, trust: bool, published: Callable[[], Collection[str]], cache_dir: Path | None
) -> Weights:
    """Read a `.safetensors` file, a torch file of tensors or a TorchScript archive.

    Args:
        path: the file.
        trust: open a TorchScript archive of unknown origin. This may run code from it.
        published: gives the sha256 of the archives that are known to be OpenAI's.
        cache_dir: keep the tensors of a TorchScript archive here, as an open_clip folder.

    Raises:
        BackboneError: no such file, damaged, not a file of weights, an archive not vouched for.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: no such weight file")
    if path.suffix.lower() == ".safetensors":
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            raise BackboneError(f"{path}: damaged or no .safetensors file ({reason})") from None
        return _unwrapped(tensors, path)
    if _is_torchscript(path):
        return _read_torchscript(path, trust=trust, published=published, cache_dir=cache_dir)
    return _unwrapped(_read_torch(path), path)


def _read_torch(path: Path) -> object:
    """The value of a torch file, read as data: nothing that the file names is imported or called.

    Tensors are of its bytes; an object of another class stands there as an `Opaque`.
    """
    try:
        with open_regular(path) as file:
            start = file.read(64)
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror})") from None
    if not start or start.lstrip()[:1] == b"<" or start.startswith(b"version https://git-lfs"):
        found = "an empty file" if not start else "a web page or a Git LFS pointer"
        raise BackboneError(f"{path}: {found}, not weights; download it again")
    try:
        kind = open_kind(path)
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            opened = (open_legacy if kind == "legacy" else open_zip)(file, size)
            return _built(opened, size)
    except CheckpointError as error:  # which begins with the path
        reason = str(error).removeprefix(f"{path}: ")
    except MalformedError as error:
        reason = f"damaged, or no file of plain tensors: {error}"
    except (OSError, MemoryError) as error:
        reason = str(error) or type(error).__name__
    raise BackboneError(f"{path}: not a readable file of weights ({reason[:300]})")


def _built(opened: TorchFile, size: int) -> object:
    """The value of a torch file with tensors for their descriptions, in its state dict only."""
    value = opened.value
    state = value.get("state_dict", value) if isinstance(value, dict) else value
    if not isinstance(state, dict):
        return value
    refs = [entry for entry in state.values() if isinstance(entry, TensorRef)]
    check_sizes(refs, size)
    buffers: dict[str, Tensor] = {}
    built = {
        key: build(entry, opened, buffers) if isinstance(entry, TensorRef) else entry
        for key, entry in state.items()
    }
    return built if state is value else {**value, "state_dict": built}


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # whatever is wrong with it, its reader says it
        return False


def _read_torchscript(
    path: Path, *, trust: bool, published: Callable[[], Collection[str]], cache_dir: Path | None
) -> Weights:
    digest = _sha256(path)
    kept = None if cache_dir is None else cache_dir / "backbones" / digest[:32]
    if kept is not None and (kept / _WEIGHTS).is_file():
        try:
            return Weights(load_file(kept / _WEIGHTS), openais=True, openclips=False)
        except (SafetensorError, OSError):
            shutil.rmtree(kept, ignore_errors=True)  # damaged: made again below
    if not trust and digest not in published():
        raise BackboneError(
            f"{path}: a TorchScript archive, which is a program, and not one that OpenAI "
            f"published; if you trust it, add --trust-backbone (trust_backbone=True)"
        )
    try:
        with warnings.catch_warnings():  # TorchScript is deprecated, but the files are there
            warnings.simplefilter("ignore")
            state = torch.jit.load(str(path), map_location="cpu").state_dict()
    except Exception as error:
        raise BackboneError(f"{path}: not a readable TorchScript archive ({error})") from None
    weights = _unwrapped(state, path)
    tensors = {name: value.contiguous().clone() for name, value in weights.tensors.items()}
    if kept is not None:
        _keep(kept, tensors, architecture(tensors, where=str(path)))
    return Weights(tensors, openais=True, openclips=False)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _keep(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, object]) -> None:
    """Write an open_clip folder under a temporary name, then rename it. A full disk is no error."""
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        save_file(dict(tensors), temporary / _WEIGHTS)
        (temporary / _CONFIG).write_text(json.dumps({"model_cfg": config}, indent=1))
        temporary.replace(folder)
    except (OSError, SafetensorError):
        shutil.rmtree(temporary, ignore_errors=True)


def _unwrapped(blob: object, path: Path) -> Weights:
    """Take the state dict out of a training checkpoint, and OpenAI's extra numbers out of it."""
    state = blob.get("state_dict", blob) if isinstance(blob, dict) else None
    if not isinstance(state, Mapping) or not state:
        found = type(blob).__name__ if not isinstance(blob, dict) else "an empty one"
        if isinstance(blob, Opaque):
            found = f"an object of the class {blob.name}; save its `state_dict()`"
        raise BackboneError(f"{path}: expected a state dict of named tensors, got {found}")
    around = blob if isinstance(blob, dict) and state is not blob else {}
    trained = "epoch" in around or all(str(key).startswith("module.") for key in state)
    run = around.get("name")
    tensors = {str(key).removeprefix("module."): value for key, value in state.items()}
    if len(tensors) < len(state):
        raise BackboneError(f"{path}: two weights have one name once `module.` is dropped")
    extras = [tensors.pop(key, None) for key in _EXTRA_KEYS]
    learned = [key for key in tensors if key == "ctx" or key.startswith(_LEARNERS)]
    if learned:
        raise BackboneError(
            f"{path}: a prompt learner's checkpoint (`{learned[0]}`), not a CLIP; give it "
            f"as SOURCE (--backbone checkpoint takes the towers in it), and its CLIP as --backbone"
        )
    others = [key for key, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        name, value = brief(others[0])[1:-1], tensors[others[0]]
        if isinstance(value, Opaque):
            what = what_else(value) or (
                f"an object of the class {value.name}; it names classes other than tensors, and "
                f"building those could run code; save the model's `state_dict()`"
            )
            raise BackboneError(f"{path}: `{name}` is {what}")
        raise BackboneError(
            f"{path}: `{name}` is a {type(value).__name__}; expected a state dict of named "
            f"tensors (a whole model or a prompt learner's checkpoint?)"
        )
    openais = not trained and (
        any(extra is not None for extra in extras) or _precision_is_openais(tensors)
    )
    quick = isinstance(run, str) and "quickgelu" in run.casefold()
    return Weights(tensors, openais=openais, openclips=trained, quick_named=quick)


def _precision_is_openais(tensors: Mapping[str, Tensor]) -> bool:
    """Whether weights are half precision and layer norms are not, as in OpenAI's files.

    Others publish their models in one precision; a model halved throughout says nothing.
    """
    weight, norm = tensors.get("visual.conv1.weight"), tensors.get("ln_final.weight")
    if weight is None or norm is None:
        return False
    return weight.dtype == torch.float16 and norm.dtype == torch.float32


def architecture(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, Any]:
    """Read an open_clip model configuration off the shapes of an OpenAI-format state dict.

    Raises:
        BackboneError: keys are missing, or the shapes are none that OpenAI's format has.
    """
    for key in ("text_projection", "positional_embedding", "token_embedding.weight"):
        if key not in tensors or tensors[key].ndim != 2:
            raise BackboneError(
                f"{where}: no CLIP state dict in OpenAI's format (no 2-D `{key}`); name its "
                f"architecture: --backbone NAME --pretrained {where}"
            )
    vocabulary, text_width = tensors["token_embedding.weight"].shape
    if vocabulary != VOCABULARY:
        raise BackboneError(
            f"{where}: {vocabulary} tokens; expected {VOCABULARY}, CLIP's byte-pair vocabulary"
        )
    return {
        "embed_dim": tensors["text_projection"].shape[1],
        "vision_cfg": _vision(tensors, where),
        "text_cfg": {
            "context_length": tensors["positional_embedding"].shape[0],
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": _heads(text_width, where),
            "layers": _count(r"transformer\.resblocks\.(\d+)\.", tensors, where),
        },
        "quick_gelu": True,
    }


def _vision(tensors: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    conv = tensors.get("visual.conv1.weight")
    position = tensors.get("visual.positional_embedding")
    if position is None:
        position = tensors.get("visual.attnpool.positional_embedding")
    if conv is None or position is None or conv.ndim != 4 or position.ndim != 2:
        raise BackboneError(f"{where}: the image tower is neither a ViT nor a ResNet of OpenAI's")
    side = round((position.shape[0] - 1) ** 0.5)
    if side < 1 or side**2 + 1 != position.shape[0]:
        raise BackboneError(f"{where}: {position.shape[0]} image positions, not a square and one")
    if "visual.proj" not in tensors:
        stages = [rf"visual\.layer{stage}\.(\d+)\." for stage in (1, 2, 3, 4)]
        return {
            "layers": [_count(stage, tensors, where) for stage in stages],
            "width": 2 * conv.shape[0],  # of the stem's last convolution
            "patch_size": None,
            "image_size": 32 * side,
        }
    width, patch = conv.shape[0], conv.shape[-1]
    _heads(width, where)
    if width > _WIDEST_VIT:
        raise BackboneError(
            f"{where}: an image tower {width} wide is not OpenAI's, so its heads are not known; "
            f"name its architecture: --backbone NAME --pretrained {where}"
        )
    layers = _count(r"visual\.transformer\.resblocks\.(\d+)\.", tensors, where)
    return {"layers": layers, "width": width, "patch_size": patch, "image_size": patch * side}


def _heads(width: int, where: str) -> int:
    if width % 64:
        raise BackboneError(f"{where}: a tower {width} wide; expected a multiple of 64, one a head")
    return width // 64


def _count(pattern: str, tensors: Mapping[str, Tensor], where: str) -> int:
    found = {match[1] for key in tensors if (match := re.match(pattern, key))}
    if not found:
        raise BackboneError(f"{where}: no keys like {pattern.replace(chr(92), '')}")
    return len(found)
