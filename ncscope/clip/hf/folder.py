"""A Hugging Face folder or file as a plan of a backbone: configuration, weights, tokens, images.

Weights are `.safetensors` or torch files, whole or in shards that an index lists; both are read as
data. Nothing in the folder is run and nothing that it names is fetched.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.hf.config import NAME, TEXT, VISION, HfConfig, join_halves, model_type
from ncscope.clip.hf.config import read_hf_config as read_config
from ncscope.clip.hf.images import NAMES, USUAL, image_settings
from ncscope.clip.hf.keys import our_names
from ncscope.clip.hf.tokens import JSON, VOCABULARY, clip_tokenizer, siglip_tokenizer
from ncscope.clip.rules import read_json
from ncscope.errors import BackboneError, brief

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json",
            "pytorch_model.bin", "pytorch_model.bin.index.json")  # fmt: skip
_OTHERS = ("diffusion_pytorch_model.safetensors", "tf_model.h5", "flax_model.msgpack")
_MOST_INDEX = 16 * 2**20
_MOST_SHARDS = 256
_SCALE = 100.0  # of CLIP's own models
Read = Callable[[Path], dict[str, Tensor]]  # a file's weights by name


@dataclass(frozen=True, eq=False)
class HfPlan:
    """What a plan takes from a folder; `tensors` is None for random weights."""

    config: dict[str, Any]
    weights: str
    tensors: dict[str, Tensor] | None
    preprocess: dict[str, Any]
    tokenizer: Callable[[list[str]], Tensor]
    notes: tuple[str, ...]


def is_hf_folder(folder: Path) -> bool:
    """Whether a folder holds a model's `config.json`, or two towers that are saved apart."""
    return (folder / NAME).is_file() or bool(_halves(folder))


def _halves(folder: Path) -> list[tuple[str, Path]]:
    """The folders of single towers in a folder, with their kind."""
    inner = sorted(path for path in folder.iterdir() if (path / NAME).is_file())[:64]
    kinds = [(model_type(path / NAME), path) for path in inner]
    return [(kind, path) for kind, path in kinds if kind in (TEXT, VISION)]


def plan_hf(
    clip: Any, path: Path, *, read: Read, weights: dict[str, Tensor] | None = None,
    random: bool = False,
) -> HfPlan:  # fmt: skip
    """A folder, or a file of weights with `config.json` beside it.

    Args:
        path: the folder, or the file whose `weights` are read already.
        random: leave the weights away.

    Raises:
        BackboneError: another architecture, weights or tokens that are not its own, a transform
            that is not made here.
    """
    folder = path if weights is None else path.parent
    if not (folder / NAME).is_file():
        if weights is not None:
            raise BackboneError(
                f"{path}: weights of a Hugging Face model, without {NAME} beside them; heads and "
                f"activation stand there alone: give the model's folder"
            )
        return _plan_halves(clip, folder, read=read, random=random)
    config = read_config(folder / NAME)
    source = "random"
    if weights is not None:
        source = str(path)
    elif not random:
        weights, source = read_weights_in(folder, read)
    if weights is not None:
        weights = our_names(weights, where=source, text="text." if config.kind == "siglip" else "")
    return _plan(clip, config, [folder], [folder], source, weights)


def _plan_halves(clip: Any, folder: Path, *, read: Read, random: bool) -> HfPlan:
    found = _halves(folder)
    texts, images = ([path for kind, path in found if kind == side] for side in (TEXT, VISION))
    if len(texts) != 1 or len(images) != 1:
        names = ", ".join(path.name for _, path in found)
        raise BackboneError(
            f"{folder}: {len(texts)} text towers and {len(images)} image towers ({names}); "
            f"expected one of each, with their projections"
        )
    config = join_halves(texts[0] / NAME, images[0] / NAME)
    weights: dict[str, Tensor] | None = None
    source, notes = "random", ()
    if not random:
        (text, first), (image, second) = (read_weights_in(p, read) for p in (texts[0], images[0]))
        source = f"{first} and {second}"
        for tensors, name, where in (
            (text, "text_projection.weight", first), (image, "visual_projection.weight", second)
        ):  # fmt: skip
            if name not in tensors:
                raise BackboneError(
                    f"{where}: no `{name}`: a tower without its projection has no space in common "
                    f"with the other; save it WithProjection"
                )
        if twice := sorted(text.keys() & image.keys()):
            raise BackboneError(f"{source}: both have `{twice[0]}`")
        weights = our_names({**text, **image}, where=source)
        if "logit_scale" not in weights:
            weights["logit_scale"] = torch.tensor(_SCALE).log()
            notes = (f"its towers are saved without a logit scale: CLIP's {_SCALE:g} is taken",)
    near = [texts[0], folder / "tokenizer", folder]
    plan = _plan(clip, config, near, [images[0], folder / "feature_extractor", folder],
                 source, weights)  # fmt: skip
    return HfPlan(**{**vars(plan), "notes": (*notes, *plan.notes)})


def _plan(
    clip: Any, config: HfConfig, tokens: list[Path], images: list[Path], source: str,
    weights: dict[str, Tensor] | None,
) -> HfPlan:  # fmt: skip
    """Args `tokens` and `images` are where the files of each are looked for, in this order."""
    text, side = config.config["text_cfg"], config.config["vision_cfg"]["image_size"]
    size, length = text["vocab_size"], text["context_length"]
    place = next((p for p in tokens if any((p / n).is_file() for n in (VOCABULARY, JSON))), None)
    if config.kind == "siglip":
        tokenizer, notes = siglip_tokenizer(clip, tokens[0], size=size, length=length), []
        if weights is not None and "logit_bias" in weights:
            bias = float(weights["logit_bias"].reshape(-1)[0])
            notes.append(f"trained by a sigmoid with a logit bias of {bias:.4g}, which is one for "
                         f"all pairs: no measure sees it")  # fmt: skip
    else:
        tokenizer, notes = clip_tokenizer(clip, place, size=size, length=length, end=config.end)
    path = next((p / n for p in images for n in NAMES if (p / n).is_file()), None)
    if path is None:
        own = "SigLIP" if config.kind == "siglip" else "CLIP"
        notes.append(f"no {NAMES[0]} beside the model: {own}'s own image transform is taken")
    preprocess = USUAL[config.kind]
    if path is not None:
        preprocess = image_settings(path, kind=config.kind, side=side)
    return HfPlan(config.config, source, weights, dict(preprocess), tokenizer, tuple(notes))


def read_weights_in(folder: Path, read: Read) -> tuple[dict[str, Tensor], str]:
    """The weights of a folder, from one file or all that an index lists, and where they lie.

    Raises:
        BackboneError: none there, or an index that does not fit its files.
    """
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        there = [name for name in _OTHERS if (folder / name).is_file()]
        raise BackboneError(
            f"{folder}: a configuration and no weights; expected {_WEIGHTS[0]} or {_WEIGHTS[2]}"
            + (f" (there is {there[0]}, which is not read)" if there else "")
        )
    if path.suffix != ".json":
        return read(path), str(path)
    stored = read_json(path, most=_MOST_INDEX)
    listed = stored.get("weight_map") if isinstance(stored, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise BackboneError(f"{path}: no `weight_map` of names and files in it")
    for name in listed.values():
        plain = isinstance(name, str) and re.fullmatch(r"\w[\w.-]{0,200}", name, re.ASCII)
        if not plain or name.endswith(".json"):
            raise BackboneError(f"{path}: {brief(name)} is no plain name of a file beside it")
    shards = sorted(set(listed.values()))
    if len(shards) > _MOST_SHARDS:
        raise BackboneError(f"{path}: {len(shards)} files; at most {_MOST_SHARDS} are read")
    weights: dict[str, Tensor] = {}
    for shard in shards:
        found = read(folder / shard)
        expected = {name for name, file in listed.items() if file == shard}
        if found.keys() != expected:
            odd = sorted(found.keys() ^ expected)[0]
            raise BackboneError(
                f"{folder / shard}: {'has' if odd in found else 'lacks'} {brief(odd)}, unlike what "
                f"{path.name} lists; fetch all files of the model again"
            )
        weights |= found
    return weights, str(path)
