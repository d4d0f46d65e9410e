"""`open_clip_config.json` of a backbone folder, read by a list of the keys and values it may have.

open_clip hands what stands in this file on: a tower's or tokenizer's name to timm and transformers,
which fetch it from a hub, and a tokenizer's arguments to a loader that runs Python lying beside
the file (`trust_remote_code`, `auto_map`). So a configuration of a stranger is taken key by key:
sizes within limits, switches, and words of a few. What names something to be fetched or built by
its name is refused, unless the caller vouches for the folder.

The limits are above every model that open_clip publishes (the widest has 1 792 channels, the
largest images 512 pixels a side), and below what a machine cannot hold.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncscope.clip.rules import (
    OBJECT,
    SWITCH,
    Rule,
    check_value,
    either,
    list_of,
    one_of,
    read_json,
    real,
    table,
    whole,
)
from ncscope.errors import BackboneError, brief

NAME = "open_clip_config.json"
_PARTS = ("embed_dim", "vision_cfg", "text_cfg")
_BY_NAME = ("timm_", "hf_", "tokenizer_mode")  # keys of towers and tokenizers that have a name
_MOST_POSITIONS = 64  # of patches, along a side of the image
_VOCABULARY = 49408  # of CLIP's own tokenizer, the only one an unnamed one can be

_SIDE = whole(1, 1024)
_SIDES = either(_SIDE, list_of(2, _SIDE))
_COLOURS = list_of(3, real(-10, 10))
_BLOCK: dict[str, Rule] = {
    "width": whole(1, 8192),
    "mlp_ratio": real(0.01, 64),
    "ls_init_value": real(-100, 100),
    "act_kwargs": table({"approximate": one_of("none", "tanh")}),
    "norm_kwargs": table({"eps": real(0, 1)}),
    "block_type": one_of("default", "custom"),
    **dict.fromkeys(("qk_norm", "scaled_cosine_attn", "scale_heads"), SWITCH),
    **dict.fromkeys(("scale_attn_inner", "scale_attn", "scale_fc"), SWITCH),
    **dict.fromkeys(("output_tokens", "final_ln_after_pool"), SWITCH),
}
_LAYERS = whole(1, 128)
_VISION: dict[str, Rule] = {
    **_BLOCK,
    "layers": either(_LAYERS, list_of(4, _LAYERS)),
    "head_width": whole(1, 1024),
    "patch_size": whole(1, 1024),
    "image_size": _SIDES,
    "patch_dropout": real(0, 0.99),
    "attentional_pool": either(SWITCH, one_of("parallel", "cascade")),
    "attn_pooler_queries": whole(1, 4096),
    "attn_pooler_heads": whole(1, 256),
    "no_ln_pre": SWITCH,
    "pos_embed_type": one_of("learnable", "sin_cos_2d"),
    "pool_type": one_of("tok", "avg", "none"),
}
_TEXT: dict[str, Rule] = {
    **_BLOCK,
    "context_length": whole(1, 4096),
    "vocab_size": whole(_VOCABULARY, 2**20),
    "heads": whole(1, 256),
    "layers": _LAYERS,
    "pad_id": whole(0, 2**20),
    "eos_id": whole(0, 2**20),
    **dict.fromkeys(("embed_cls", "no_causal_mask", "proj_bias"), SWITCH),
    "pool_type": one_of("argmax", "first", "last", "eos", "none"),
    "proj_type": one_of("linear", "none"),
    "tokenizer_kwargs": table({"clean": one_of("lower", "whitespace", "canonicalize")}),
}
_MULTIMODAL: dict[str, Rule] = {
    **_TEXT,
    "attn_pooler_heads": whole(1, 256),
    "dim_head": whole(1, 1024),
    "n_queries": whole(1, 4096),
}
_MODEL: dict[str, Rule] = {
    "embed_dim": whole(1, 8192),
    "vision_cfg": OBJECT,
    "text_cfg": OBJECT,
    "multimodal_cfg": OBJECT,
    "quick_gelu": SWITCH,
    "custom_text": SWITCH,
    "init_logit_scale": real(-100, 100),
    "init_logit_bias": real(-1000, 1000),
    "nonscalar_logit_scale": SWITCH,
}
_PREPROCESS: dict[str, Rule] = {
    "size": _SIDES,
    "mode": one_of("RGB"),
    "mean": _COLOURS,
    "std": list_of(3, real(1e-6, 10)),
    "interpolation": one_of("bicubic", "bilinear", "random"),
    "resize_mode": one_of("shortest", "longest", "squash"),
    "fill_color": whole(0, 255),
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
    stored = read_json(path)
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
        check_value(where, value, rules[key])


def _check_positions(path: Path, vision: dict[str, Any]) -> None:
    image, patch = vision.get("image_size") or 224, vision.get("patch_size") or 16
    side = max(image) if isinstance(image, list) else image
    check_patches(path, side, 32 if isinstance(vision.get("layers"), list) else patch)  # a ResNet's


def check_patches(path: Path, side: int, patch: int) -> None:
    """Bound the positions of a vision transformer: memory grows with their square.

    Raises:
        BackboneError: more than 64 patches a side.
    """
    if math.ceil(side / patch) > _MOST_POSITIONS:
        raise BackboneError(
            f"{path}: images of {side} pixels in patches of {patch}; expected at most "
            f"{_MOST_POSITIONS} patches a side"
        )
