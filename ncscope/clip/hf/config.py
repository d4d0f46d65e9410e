"""`config.json` of a Hugging Face CLIP or SigLIP: its sizes, as the configuration of our towers.

Values that a file does not say are those of the classes in `transformers`, which writes some files
without them. Where an older file has `text_config_dict` or `vision_config_dict`, these and their
own defaults replace what `text_config` says, as they do there. Keys that change nothing in a
forward pass are passed over; a file that names Python of its own is refused, whoever vouches for
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.clip.folder_config import check_patches
from ncscope.clip.rules import Rule, check_value, checked, one_of, read_json, real, whole
from ncscope.errors import BackboneError, brief

NAME = "config.json"
TEXT, VISION = "clip_text_model", "clip_vision_model"
_SIZE, _LAYERS = whole(1, 8192), whole(1, 128)
_TOWER: dict[str, Rule] = {
    "hidden_size": _SIZE,
    "intermediate_size": whole(1, 65536),
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": whole(1, 256),
    "hidden_act": one_of("quick_gelu", "gelu", "gelu_pytorch_tanh"),
    "layer_norm_eps": real(0, 1),
    "projection_dim": _SIZE,
}
_TEXT: dict[str, Rule] = {
    **_TOWER,
    "vocab_size": whole(1, 2**20),
    "max_position_embeddings": whole(1, 4096),
    "eos_token_id": whole(0, 2**20),
    "projection_size": _SIZE,
}
_VISION: dict[str, Rule] = {
    **_TOWER,
    "image_size": whole(1, 1024),
    "patch_size": whole(1, 1024),
    "num_channels": whole(3, 3),
}
_OWN = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12}  # fmt: skip
_CLIP = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "projection_dim": 512}
_SIGLIP = {**_OWN, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
_DEFAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip": (
        {**_CLIP, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
         "num_attention_heads": 8, "vocab_size": 49408, "max_position_embeddings": 77,
         "eos_token_id": 49407},
        {**_CLIP, **_OWN, "image_size": 224, "patch_size": 32},
    ),
    "siglip": (
        {**_SIGLIP, "vocab_size": 32000, "max_position_embeddings": 64},
        {**_SIGLIP, "image_size": 224, "patch_size": 16},
    ),
}  # fmt: skip
_REASONS = {
    "siglip2": "its image tower takes patches of any shape of image (NaFlex), which no transform "
    "here makes; a SigLIP 2 of fixed size has `model_type` siglip",
    "siglip_text_model": "one tower is no backbone; give the folder of the whole model",
    "siglip_vision_model": "one tower is no backbone; give the folder of the whole model",
}


@dataclass(frozen=True)
class HfConfig:
    """What a `config.json` says: `kind` is clip or siglip, `config` is for our towers."""

    kind: str
    config: dict[str, Any]
    end: int | None  # the id at which transformers reads the text tower; None: at the largest id


def model_type(path: Path) -> str:
    """What a `config.json` says its model is; empty where it says nothing."""
    said = _stored(path).get("model_type")
    return said if isinstance(said, str) else ""


def read_hf_config(path: Path) -> HfConfig:
    """The configuration of a whole model.

    Raises:
        BackboneError: unreadable, another kind of model, a value out of its limits, one tower.
    """
    stored = _stored(path)
    kind = _kind(path, stored, ("clip", "siglip"))
    text, vision = (_section(path, stored, kind, side) for side in ("text", "vision"))
    if kind == "siglip":
        return HfConfig("siglip", _siglip(path, text, vision), None)
    where = f"{path}: `projection_dim`"
    width = stored.get("projection_dim")
    check_value(where, width, _SIZE)
    return _clip(path, path, text, vision, 512 if width is None else width)


def join_halves(text_path: Path, vision_path: Path) -> HfConfig:
    """The configuration of a text tower and an image tower that are saved apart, with projections.

    Raises:
        BackboneError: as `read_hf_config`; or they do not end in one width.
    """
    halves = []
    for path, kind, side in ((text_path, TEXT, 0), (vision_path, VISION, 1)):
        stored = _stored(path)
        _kind(path, stored, (kind,))
        rules, defaults = (_TEXT, _VISION)[side], _DEFAULTS["clip"][side]
        halves.append(checked(f"{path}: `", stored, rules, defaults))
    text, vision = halves
    if text["projection_dim"] != vision["projection_dim"]:
        raise BackboneError(
            f"{text_path} projects to {text['projection_dim']} dimensions and {vision_path} to "
            f"{vision['projection_dim']}; expected two towers of one CLIP"
        )
    return _clip(text_path, vision_path, text, vision, text["projection_dim"])


def _stored(path: Path) -> dict[str, Any]:
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise BackboneError(f"{path}: {brief(stored)}; expected a JSON object")
    return stored


def _kind(path: Path, stored: Mapping[str, Any], expected: tuple[str, ...]) -> str:
    for key in ("auto_map", "quantization_config"):
        if stored.get(key):
            what = "Python of its own" if key == "auto_map" else "quantised weights"
            raise BackboneError(f"{path}: `{key}` names {what}, which is not read here")
    said = stored.get("model_type")
    if said not in expected:
        known = said if isinstance(said, str) else ""
        reason = _REASONS.get(known) or (
            "one tower is no backbone; give the folder above it that holds both, each with its "
            "projection" if known in (TEXT, VISION) else "another architecture"
        )  # fmt: skip
        raise BackboneError(
            f"{path}: `model_type` is {brief(said)}; expected {' or '.join(expected)}: {reason}"
        )
    return said


def _section(path: Path, stored: Mapping[str, Any], kind: str, side: str) -> dict[str, Any]:
    """One tower's values: said, or by default; an older file's second table over both."""
    rules = _TEXT if side == "text" else _VISION
    defaults = _DEFAULTS[kind][side == "vision"]
    found = dict(defaults)
    for name in (f"{side}_config", f"{side}_config_dict")[: 2 if kind == "clip" else 1]:
        entries = stored.get(name)
        if entries is None:
            continue
        if not isinstance(entries, dict):
            raise BackboneError(f"{path}: `{name}` is {brief(entries)}; expected a JSON object")
        found |= checked(f"{path}: `{name}.", entries, rules, defaults)
        if entries.get("vision_use_head") is False:
            raise BackboneError(
                f"{path}: `{name}.vision_use_head` is False: without its pooling head the image "
                f"tower gives no features"
            )
    return found


def _clip(
    text_path: Path, vision_path: Path, text: dict[str, Any], vision: dict[str, Any], width: int
) -> HfConfig:
    quick = {tower["hidden_act"] == "quick_gelu" for tower in (text, vision)}
    if len(quick) > 1:
        raise BackboneError(
            f"{text_path}: `hidden_act` is {text['hidden_act']!r} in the text tower and "
            f"{vision['hidden_act']!r} in the image tower; expected quick_gelu in both or neither"
        )
    check_patches(vision_path, vision["image_size"], vision["patch_size"])
    head = vision["hidden_size"] // vision["num_attention_heads"]
    config = {
        "embed_dim": width,
        "vision_cfg": {
            **_block(vision_path, vision, usual=1e-5),
            "patch_size": vision["patch_size"],
            "image_size": vision["image_size"],
            **({} if head == 64 else {"head_width": head}),
        },
        "text_cfg": {
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
            "heads": text["num_attention_heads"],
            **_block(text_path, text, usual=1e-5),
        },
        **({"quick_gelu": True} if quick == {True} else {}),
    }
    end = text["eos_token_id"]
    return HfConfig("clip", config, None if end == 2 else end)


def _siglip(path: Path, text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    check_patches(path, vision["image_size"], vision["patch_size"])
    width = vision["hidden_size"]
    if (ends := text.get("projection_size", text["hidden_size"])) != width:
        raise BackboneError(
            f"{path}: the text tower ends in {ends} dimensions and the image tower in {width}; "
            f"expected one width"
        )
    for tower in (text, vision):
        if tower["hidden_act"] == "quick_gelu":
            raise BackboneError(
                f"{path}: `hidden_act` is 'quick_gelu'; expected gelu_pytorch_tanh or gelu in a "
                f"SigLIP"
            )
    return {
        "siglip": True,
        "embed_dim": width,
        "vision_cfg": {
            **_block(path, vision, usual=None),
            "heads": vision["num_attention_heads"],
            "patch_size": vision["patch_size"],
            "image_size": vision["image_size"],
        },
        "text_cfg": {
            **_block(path, text, usual=None),
            "heads": text["num_attention_heads"],
            "context_length": text["max_position_embeddings"],
            "vocab_size": text["vocab_size"],
        },
    }


def _block(path: Path, tower: Mapping[str, Any], *, usual: float | None) -> dict[str, Any]:
    """Width, depth and what differs from the usual block, in open_clip's words."""
    width, heads, inner = (
        tower[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size")
    )
    if width % heads:
        raise BackboneError(
            f"{path}: a tower {width} wide with {heads} heads; expected a multiple of the heads"
        )
    ratio = inner / width
    while int(width * ratio) < inner:  # a quotient may fall short by its last digit
        ratio *= 1 + 1e-15
    tanh = tower["hidden_act"] == "gelu_pytorch_tanh"
    eps = tower["layer_norm_eps"]
    return {
        "layers": tower["num_hidden_layers"],
        "width": width,
        **({} if ratio == 4 else {"mlp_ratio": ratio}),
        **({} if eps == usual else {"norm_kwargs": {"eps": eps}}),
        **({"act_kwargs": {"approximate": "tanh"}} if tanh else {}),
    }
