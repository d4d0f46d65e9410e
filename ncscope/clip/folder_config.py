"""`open_clip_config.json` of a backbone folder, read by a list of the keys and values it may have.

open_clip hands what stands in this file on: a tower's or tokenizer's name to timm and transformers,
which fetch it from a hub, and a tokenizer's arguments to a loader that runs Python lying beside
the file (`trust_remote_code`, `auto_map`). So a configuration of a stranger is taken key by key:
sizes within limits, switches, and words of a few. What names something to be fetched or built by
its name is refused, unless the caller vouches for the folder.

The limits are above every model that open_clip publishes (the widest has 1 792 channels, the
largest images 512 pixels a side), and below what a machine cannot hold.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ncscope.errors import BackboneError, brief
from ncscope.opening import read_bytes

NAME = "open_clip_config.json"
_MOST_BYTES = 2**20
_PARTS = ("embed_dim", "vision_cfg", "text_cfg")
_BY_NAME = ("timm_", "hf_", "tokenizer_mode")  # keys of towers and tokenizers that have a name
_MOST_POSITIONS = 64  # of patches, along a side of the image
_VOCABULARY = 49408  # of CLIP's own tokenizer, the only one an unnamed one can be

Rule = tuple[str, Callable[[object], bool]]  # what is expected, and whether a value is it


def _whole(least: int, most: int) -> Rule:
    def fits(value: object) -> bool:
        return type(value) is int and least <= value <= most

    return f"a whole number in {least}..{most}", fits


def _real(least: float, most: float) -> Rule:
    def fits(value: object) -> bool:
        return type(value) in (int, float) and least <= value <= most  # pyright: ignore

    return f"a number in {least:g}..{most:g}", fits  # NaN is in no range


def _one_of(*words: str) -> Rule:
    return f"one of {', '.join(map(repr, words))}", lambda value: value in words


def _list_of(count: int, rule: Rule) -> Rule:
    def fits(value: object) -> bool:
        return isinstance(value, list) and len(value) == count and all(map(rule[1], value))

    return f"a list of {count}, each {rule[0]}", fits


def _either(first: Rule, second: Rule) -> Rule:
    return f"{first[0]}, or {second[0]}", lambda value: first[1](value) or second[1](value)


def _table(rules: Mapping[str, Rule]) -> Rule:
    def fits(value: object) -> bool:
        return isinstance(value, dict) and all(
            key in rules and rules[key][1](entry) for key, entry in value.items()
        )

    return "an object of " + " and ".join(f"`{k}` ({rule[0]})" for k, rule in rules.items()), fits


_SWITCH: Rule = "true or false", lambda value: isinstance(value, bool)
_OBJECT: Rule = "an object", lambda value: isinstance(value, dict)
_SIDE = _whole(1, 1024)
_SIDES = _either(_SIDE, _list_of(2, _SIDE))
_COLOURS = _list_of(3, _real(-10, 10))
_BLOCK: dict[str, Rule] = {
    "width": _whole(1, 8192),
    "mlp_ratio": _real(0.01, 64),
    "ls_init_value": _real(-100, 100),
    "act_kwargs": _table({"approximate": _one_of("none", "tanh")}),
    "norm_kwargs": _table({"eps": _real(0, 1)}),
    "block_type": _one_of("default", "custom"),
    **dict.fromkeys(("qk_norm", "scaled_cosine_attn", "scale_heads"), _SWITCH),
    **dict.fromkeys(("scale_attn_inner", "scale_attn", "scale_fc"), _SWITCH),
    **dict.fromkeys(("output_tokens", "final_ln_after_pool"), _SWITCH),
}
_LAYERS = _whole(1, 128)
_VISION: dict[str, Rule] = {
    **_BLOCK,
    "layers": _either(_LAYERS, _list_of(4, _LAYERS)),
    "head_width": _whole(1, 1024),
    "patch_size": _whole(1, 1024),
    "image_size": _SIDES,
    "patch_dropout": _real(0, 0.99),
    "attentional_pool": _either(_SWITCH, _one_of("parallel", "cascade")),
    "attn_pooler_queries": _whole(1, 4096),
    "attn_pooler_heads": _whole(1, 256),
    "no_ln_pre": _SWITCH,
    "pos_embed_type": _one_of("learnable", "sin_cos_2d"),
    "pool_type": _one_of("tok", "avg", "none"),
}
_TEXT: dict[str, Rule] = {
    **_BLOCK,
    "context_length": _whole(1, 4096),
    "vocab_size": _whole(_VOCABULARY, 2**20),
    "heads": _whole(1, 256),
    "layers": _LAYERS,
    "pad_id": _whole(0, 2**20),
    "eos_id": _whole(0, 2**20),
    **dict.fromkeys(("embed_cls", "no_causal_mask", "proj_bias"), _SWITCH),
    "pool_type": _one_of("argmax", "first", "last", "eos", "none"),
    "proj_type": _one_of("linear", "none"),
    "tokenizer_kwargs": _table({"clean": _one_of("lower", "whitespace", "canonicalize")}),
}
_MULTIMODAL: dict[str, Rule] = {
    **_TEXT,
    "attn_pooler_heads": _whole(1, 256),
    "dim_head": _whole(1, 1024),
    "n_queries": _whole(1, 4096),
}
_MODEL: dict[str, Rule] = {
    "embed_dim": _whole(1, 8192),
    "vision_cfg": _OBJECT,
    "text_cfg": _OBJECT,
    "multimodal_cfg": _OBJECT,
    "quick_gelu": _SWITCH,
    "custom_text": _SWITCH,
    "init_logit_scale": _real(-100, 100),
    "init_logit_bias": _real(-1000, 1000),
    "nonscalar_logit_scale": _SWITCH,
}
_PREPROCESS: dict[str, Rule] = {
    "size": _SIDES,
    "mode": _one_of("RGB"),
    "mean": _COLOURS,
    "std": _list_of(3, _real(1e-6, 10)),
    "interpolation": _one_of("bicubic", "bilinear", "random"),
    "resize_mode": _one_of("shortest", "longest", "squash"),
    "fill_color": _whole(0, 255),
}
_SECTIONS = {"vision_cfg": _VISION, "text_cfg": _TEXT, "multimodal_cfg": _MULTIMODAL}


def read_folder_config(path: Path, *, trust: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's configuration and what differs in its image transform.

    Args:
        path: an `open_clip_config.json`.
        trust: take any key and value. What they name may then be fetched, and code of it run.

    Raises:
        BackboneError: no such file, no JSON of this form; or without `trust`, a key or value that
            is not on the list.
    """
    stored = _json(path)
    config = stored.get("model_cfg")
    if not isinstance(config, dict) or not all(part in config for part in _PARTS):
        raise BackboneError(f"{path}: no `model_cfg` with {', '.join(_PARTS)} in it")
    preprocess = stored.get("preprocess_cfg", {})
    if not isinstance(preprocess, dict):
        raise BackboneError(f"{path}: `preprocess_cfg` is no JSON object")
    for part in ("vision_cfg", "text_cfg"):
        if not isinstance(config[part], dict):
            raise BackboneError(
                f"{path}: `{part}` is {brief(config[part])}; expected a JSON object"
            )
    if not trust:
        _check(path, "model_cfg", config, _MODEL)
        for part, rules in _SECTIONS.items():
            _check(path, part, config.get(part) or {}, rules)
        _check(path, "preprocess_cfg", preprocess, _PREPROCESS)
        _check_positions(path, config["vision_cfg"])
    return config, preprocess


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise BackboneError(
            f"{path.parent}: no {path.name} in it; expected an open_clip folder of {path.name} "
            f"and open_clip_model.safetensors"
        )
    try:
        stored = json.loads(read_bytes(path, most=_MOST_BYTES))
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not readable as JSON ({error})") from None
    return stored if isinstance(stored, dict) else {}


def _check(path: Path, part: str, entries: dict[str, Any], rules: Mapping[str, Rule]) -> None:
    """Refuse the first entry that is not on the list; null stands for what open_clip has itself."""
    for key, value in entries.items():
        if value is None:
            continue
        where = f"{path}: `{part}.{ascii(key)[1:-1][:60]}`"
        if key.startswith(_BY_NAME):
            raise BackboneError(
                f"{where} is {brief(value)}: what a file names is not fetched or built, since that "
                f"reaches the network and may run code; if you trust the folder, add "
                f"--trust-backbone (trust_backbone=True)"
            )
        if key not in rules:
            raise BackboneError(
                f"{where} is no key that a configuration may have; there are {', '.join(rules)}; "
                f"if you trust the folder, add --trust-backbone (trust_backbone=True)"
            )
        if not rules[key][1](value):
            raise BackboneError(f"{where} is {brief(value)}; expected {rules[key][0]}")


def _check_positions(path: Path, vision: dict[str, Any]) -> None:
    """Bound the positions of a vision transformer: memory grows with their square."""
    image, patch = vision.get("image_size") or 224, vision.get("patch_size") or 16
    side = max(image) if isinstance(image, list) else image
    if isinstance(vision.get("layers"), list):
        patch = 32  # a ResNet's
    if math.ceil(side / patch) > _MOST_POSITIONS:
        raise BackboneError(
            f"{path}: images of {side} pixels in patches of {patch}; expected at most "
            f"{_MOST_POSITIONS} patches a side"
        )
