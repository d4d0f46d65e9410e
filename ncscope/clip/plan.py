"""What a backbone is to be built from, by open_clip's names, a folder or a file, and building it.

`clip` is the open_clip module, or what imports it late; `ncscope.clip.backbone` hands it over.
"""

import copy
import difflib
import importlib.util
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ncscope.clip.folder_config import NAME as CONFIG_NAME
from ncscope.clip.folder_config import read_folder_config
from ncscope.clip.hf.folder import is_hf_folder, plan_hf
from ncscope.clip.hf.keys import is_hf
from ncscope.clip.pixels import inference_transform, merged
from ncscope.clip.plain import is_plain, plain_clip
from ncscope.clip.siglip import Siglip
from ncscope.clip.weights import Weights, architecture, read_weights
from ncscope.errors import BackboneError, shown

_USUAL_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pt",
)
_TOWER, _TOKENIZER = "hf_model_name", "hf_tokenizer_name"
NEEDS_EXTRA = 'pip install "ncscope[hf]"'
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Reading:
    """How weight files are read; see `read_weights`."""

    trust: bool
    published: Callable[[], Collection[str]]
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
    own_tokenizer: Callable[[list[str]], Tensor] | None = None  # made of the files of a folder
    cleaning: dict[str, str] = field(default_factory=dict)  # how CLIP's own cleans a text
    notes: tuple[str, ...] = ()


def plan_named(clip: Any, name: str, pretrained: str | None, reading: Reading) -> Plan:
    """A model name with a published tag, a local file or `random`."""
    config = clip.get_model_config(name)
    if pretrained is None:
        raise BackboneError(
            f"`{name}` names an architecture and no weights; give --pretrained TAG "
            f"({_tags(clip, name)}), --pretrained FILE, or --pretrained random for untrained ones"
        )
    if pretrained == "random":
        return Plan(name, "random", config, tokenizer=name)
    published = clip.get_pretrained_cfg(name, pretrained)
    if published:
        _require_transformers(name, config, _TOWER, _TOKENIZER)  # before the network is asked
        quick = bool(published.get("quick_gelu", False))
        note = f"`{name}` with tag `{pretrained}`: QuickGELU, as the weights were trained"
        mended = quick and not config.get("quick_gelu", False)
        return Plan(
            name=name,
            weights=pretrained,
            config={**config, "quick_gelu": True} if mended else config,
            published=_download(clip, name, pretrained, published),
            preprocess=published,
            tokenizer=name,
            notes=(note,) if mended else (),
        )
    if not Path(pretrained).is_file():
        raise BackboneError(
            f"`pretrained` {pretrained!r} is neither a file nor a tag of `{name}`; its tags: "
            f"{_tags(clip, name)}"
        )
    return _named_file(name, Path(pretrained), config, reading)


def _tags(clip: Any, name: str) -> str:
    tags = clip.list_pretrained_tags_by_model(name)
    return shown(tags, most=4) or "it has none"


def _download(clip: Any, name: str, tag: str, published: Mapping[str, Any]) -> str:
    from ncscope.clip.hub import one_attempt

    try:
        with one_attempt():
            return clip.download_pretrained(published)
    except Exception as error:  # of any of the libraries between here and the network
        raise BackboneError(
            f"the weights of `{name}`, tag `{tag}`, are not in the cache and could not be "
            f"downloaded ({type(error).__name__}); give a local file: --pretrained FILE, or an "
            f"open_clip folder or OpenAI's {name}.pt: --backbone PATH"
        ) from None


def _named_file(name: str, path: Path, config: dict[str, Any], reading: Reading) -> Plan:
    """An architecture by name with a local file of weights; the activation is what the file is."""
    weights = reading.weights(path)
    notes: tuple[str, ...] = ()
    if not config.get("quick_gelu") and weights.openais:
        config = {**config, "quick_gelu": True}
        notes = (
            f"{path.name} is in OpenAI's form, so QuickGELU is used although `{name}` names GELU "
            f"(`{name}-quickgelu` says the same without this note)",
        )
    elif not config.get("quick_gelu") and not weights.openclips:
        notes = (
            f"{path.name} does not say its activation: GELU is used, as `{name}` names it; if "
            f"these are OpenAI's weights, name `{name}-quickgelu`",
        )
    return Plan(name, str(path), config, weights.tensors, tokenizer=name, notes=notes)


def published_archives(clip: Any) -> frozenset[str]:
    """sha256 of the TorchScript archives OpenAI published: their addresses hold them."""
    urls = (clip.get_pretrained_cfg(*pair).get("url", "") for pair in clip.list_pretrained())
    return frozenset(url.split("/")[-2] for url in urls if "openaipublic" in url)


def unknown_name(clip: Any, name: str) -> str:
    """The line that refuses a name of nothing, with the names that are near it."""
    if Path(name).suffix in _SUFFIXES or name.startswith((".", "/")):
        return f"{name}: no such file or folder"
    near = difflib.get_close_matches(name, clip.list_models(), n=4, cutoff=0.4)
    return f"`backbone` {name!r} is no open_clip model, file or folder" + (
        f"; near it are {', '.join(near)}" if near else ""
    )


def plan_folder(clip: Any, folder: Path, pretrained: str | None, reading: Reading) -> Plan:
    """An open_clip folder, `open_clip_config.json` and a file of weights; or a Hugging Face one."""
    if not (folder / CONFIG_NAME).exists() and is_hf_folder(folder):
        return _plan_hf(clip, folder, pretrained, reading)
    config, preprocess = read_folder_config(folder / CONFIG_NAME, trust=reading.trust)
    _check_pretrained(folder, pretrained)
    tensors = None
    source = "random"
    if pretrained is None:
        path = _weights_in(folder)
        tensors, source = reading.weights(path).tensors, str(path)
    return Plan(
        name=folder.name,
        weights=source,
        config=config,
        tensors=tensors,
        preprocess=preprocess,
        tokenizer=f"local-dir:{folder}" if reading.trust else None,
        cleaning=config["text_cfg"].get("tokenizer_kwargs") or {},
    )


def _plan_hf(
    clip: Any,
    path: Path,
    pretrained: str | None,
    reading: Reading,
    weights: dict[str, Tensor] | None = None,
) -> Plan:
    """A folder as `transformers` writes it, or a file of such weights beside its `config.json`."""
    _check_pretrained(path, pretrained)
    random = pretrained == "random"
    found = plan_hf(
        clip, path, read=lambda file: reading.weights(file).tensors, weights=weights, random=random
    )
    return Plan(
        name=path.name,
        weights=found.weights,
        config=found.config,
        tensors=found.tensors,
        preprocess=found.preprocess,
        own_tokenizer=found.tokenizer,
        notes=found.notes,
    )


def _check_pretrained(folder: Path, pretrained: str | None) -> None:
    if pretrained not in (None, "random"):
        raise BackboneError(
            f"{folder} holds its own weights, so `pretrained` {pretrained!r} has no place; leave "
            f"it out"
        )


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


def plan_file(clip: Any, path: Path, pretrained: str | None, reading: Reading) -> Plan:
    """A file on its own, the architecture from its shapes, the activation from its form.

    Raises:
        BackboneError: a file of which nothing tells the activation; both ways to name it are said.
    """
    if pretrained is not None:
        raise BackboneError(
            f"{path} is a weight file, so `pretrained` {pretrained!r} has no place; name the "
            f"architecture and give the file as its weights: --backbone NAME --pretrained {path}"
        )
    weights = reading.weights(path)
    if is_hf(weights.tensors):
        return _plan_hf(clip, path, None, reading, weights.tensors)
    config = architecture(weights.tensors, where=str(path))
    notes: tuple[str, ...] = ()
    if weights.openclips:
        config = {**config, "quick_gelu": weights.quick_named}
        used = "QuickGELU, as its run is called" if weights.quick_named else "GELU"
        notes = (
            f"{path.name} is a training checkpoint as open_clip writes them: {used}; if it was "
            f"trained otherwise, name its architecture, with -quickgelu or without: --backbone "
            f"NAME --pretrained {path.name}",
        )
    elif not weights.openais and weights.halved:
        notes = (
            f"{path.name} is half precision throughout, and so taken for OpenAI's, with QuickGELU: "
            f"nothing in it says so, and features of the wrong activation are wrong; "
            f"{_two_ways(clip, path, config)}",
        )
    elif not weights.openais:
        raise BackboneError(
            f"{path}: nothing in it tells whether its activation is QuickGELU (OpenAI's weights) "
            f"or GELU (open_clip's), and the features of the wrong one are wrong; "
            f"{_two_ways(clip, path, config)}"
        )
    return Plan(path.name, str(path), config, weights.tensors, notes=notes)


def _two_ways(clip: Any, path: Path, config: Mapping[str, Any]) -> str:
    """What settles of whose form a file is: OpenAI's or open_clip's."""
    names = [
        name for name in clip.list_models() if _same_sizes(clip.get_model_config(name), config)
    ]
    plain = next((name for name in names if not name.endswith("-quickgelu")), None)
    if plain is None:
        return (
            "no open_clip model has its sizes, so keep it in an open_clip folder, with "
            "`quick_gelu` true or false in the `model_cfg` of open_clip_config.json"
        )
    return (
        f"name it: --backbone {plain}-quickgelu --pretrained {path} if it is OpenAI's, "
        f"--backbone {plain} --pretrained {path} if not"
    )


def _same_sizes(named: Mapping[str, Any] | None, config: Mapping[str, Any]) -> bool:
    """Whether a named architecture has the sizes of a file's."""
    if named is None or named.get("embed_dim") != config["embed_dim"]:
        return False
    pairs = (("vision_cfg", ("layers", "width", "image_size")), ("text_cfg", ("layers", "width")))
    return all(
        named.get(part, {}).get(key) == config[part][key] for part, keys in pairs for key in keys
    )


def new_model(clip: Any, plan: Plan) -> Any:
    """The model of a configuration with fresh weights, or where the plan has weights and the towers
    are plain, without values; nothing is downloaded for its towers."""
    if plan.config.get("siglip"):
        return Siglip(clip, plan.config)
    if plan.tensors is not None and is_plain(plan.config):
        return plain_clip(plan.config)
    config = copy.deepcopy(plan.config)
    vision, text = config["vision_cfg"], config["text_cfg"]
    custom = config.pop("custom_text", False) or "hf_model_name" in text
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
    _require_transformers(plan.name, config, _TOWER)
    kind = clip.CoCa if custom and "multimodal_cfg" in config else clip.CustomTextCLIP
    try:
        return (kind if custom else clip.CLIP)(**config)
    except Exception as error:  # a configuration is a file, too
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackboneError(f"{plan.name}: its configuration builds no model ({reason})") from None


def _require_transformers(name: str, config: Mapping[str, Any], *keys: str) -> None:
    """Refuse a configuration whose text side takes a library that is not there."""
    text = config.get("text_cfg") or {}
    key = next((key for key in keys if text.get(key)), None)
    if key is not None and importlib.util.find_spec("transformers") is None:
        what = f"text tower {text[key]} is built" if key == _TOWER else "tokenizer is read"
        raise BackboneError(
            f"{name}: its {what} by the library transformers, which is not installed: {NEEDS_EXTRA}"
        )


def preprocess_settings(model: Any, plan: Plan) -> dict[str, Any]:
    """The settings of the inference transform: CLIP's own where the plan says nothing else."""
    settings = merged(plan.preprocess)
    settings["size"] = model.visual.image_size
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}  # JSON
    try:
        inference_transform(settings)
    except Exception:  # assertions and type errors, where the settings are a file's
        raise BackboneError(
            f"{plan.name}: no image transform has the settings {settings}"
        ) from None
    return settings
