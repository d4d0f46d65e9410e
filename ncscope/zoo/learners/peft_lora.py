"""LoRA adapters of the library PEFT on a CLIP: `adapter_config.json` beside `adapter_model.*`.

Merged into a copy of the weights once: W + s B A, with s = alpha / r, or alpha / sqrt(r) (rsLoRA,
arXiv:2312.03732), rank and alpha by module where the patterns say so; DoRA (arXiv:2402.09353)
scales the rows of that to learned lengths. Names are those of Hugging Face's CLIP, and any CLIP of
the same architecture takes them. What a configuration asks for beyond that is refused by name.
"""

import copy
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ncscope.clip.backbone import Backbone
from ncscope.clip.hf.keys import place_of
from ncscope.clip.prompts import DEFAULT_TEMPLATE
from ncscope.clip.rules import (
    SWITCH,
    Rule,
    check_value,
    checked,
    one_of,
    read_json,
    real,
    whole,
)
from ncscope.errors import BackboneError, CheckpointError, brief
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import written_text
from ncscope.zoo.settings import Settings

CONFIG = "adapter_config.json"
_START = "base_model.model."
_RULES: dict[str, Rule] = {
    "peft_type": one_of("LORA"),
    "r": whole(1, 4096),
    "lora_alpha": real(1e-6, 1e6),
    "use_rslora": SWITCH,
    "use_dora": SWITCH,
}
_DEFAULTS = {"r": 8, "lora_alpha": 8, "use_rslora": False, "use_dora": False}
_PATTERNS = ("rank_pattern", "alpha_pattern")
# Of training, of how the file came about, or told by the tensors themselves
_PASSED = frozenset(
    "task_type inference_mode base_model_name_or_path revision peft_version auto_mapping bias "
    "target_modules exclude_modules layers_to_transform layers_pattern lora_dropout lora_bias "
    "modules_to_save megatron_core qalora_group_size fan_in_fan_out runtime_config loftq_config "
    "ensure_weight_tying init_lora_weights eva_config".split()
)
_STARTS = (True, False, "gaussian", "eva", "orthogonal", None)  # that leave W as it is
_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_(A|B|magnitude_vector)(\.weight|\.bias)?|"
    r"lora_embedding_[AB]|base_layer\.bias)"
)
_PLAIN = re.compile(r"\^?(\w|\\?\.){1,200}", re.ASCII)  # of patterns, which are regular expressions


@dataclasses.dataclass(frozen=True)
class _Config:
    """`settings` by the rules above, `ranks` and `alphas` by pattern, `base` as it is named."""

    settings: dict[str, Any]
    ranks: dict[str, Any]
    alphas: dict[str, Any]
    base: str | None

    def rank(self, module: str) -> int:
        return self.ranks.get(_first(self.ranks, module), self.settings["r"])

    def scale(self, module: str, rank: int) -> float:
        alpha = self.alphas.get(_first(self.alphas, module), self.settings["lora_alpha"])
        return alpha / (rank**0.5 if self.settings["use_rslora"] else rank)


def _first(patterns: Mapping[str, Any], module: str) -> str:
    """The first pattern that a module's name, or its end after a full stop, is; as PEFT looks."""
    return next((p for p in patterns if re.match(rf"(.*\.)?({p})$", module)), "")


def load_peft_lora(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner on a copy of the backbone with the adapter merged in.

    Raises:
        CheckpointError: no configuration beside the file, one that asks for more than LoRA, or
            tensors that do not fit it or the backbone.
    """
    config = _read_config(Path(settings.where).parent / CONFIG)
    merged = copy.deepcopy(backbone.model)
    changed = _merge(merged, tensors, config, backbone, where=settings.where)
    tuned = dataclasses.replace(backbone, model=merged)
    text, facts = written_text(tuned, settings, usual=(DEFAULT_TEMPLATE,))
    facts |= {"changed": changed, "base": config.base}
    used = backbone.description["name"]
    warnings = () if config.base is None or config.base.rpartition("/")[2] == used else (
        f"{CONFIG} names the base model {brief(config.base)}; it is put on {used}: nothing tells "
        f"whether the two have the same weights",
    )  # fmt: skip
    parts = {**tensors, "scales": torch.tensor([config.scale(m, config.rank(m)) for m in changed])}
    sides = Sides(text, tuned.encode_image, parts, facts, warnings=warnings)
    return build(backbone, settings, sides)


def _read_config(path: Path) -> _Config:
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; rank and alpha of the adapter beside it are in it")
    try:
        stored = read_json(path)
        if not isinstance(stored, dict):
            raise BackboneError(f"{path}: {brief(stored)}; expected a JSON object")
        found = checked(f"{path}: `", stored, _RULES, _DEFAULTS)
        if stored.get("peft_type") is None:
            raise BackboneError(f"{path}: no `peft_type` in it; expected PEFT's, with 'LORA'")
        for key, value in stored.items():
            if key not in _RULES and key not in (*_PASSED, *_PATTERNS) and value:
                raise BackboneError(
                    f"{path}: `{ascii(key)[1:-1][:60]}` is {brief(value)}, which is not done here"
                )
        start = stored.get("init_lora_weights")
        if not isinstance(start, str | bool | None) or start not in _STARTS:
            raise BackboneError(
                f"{path}: `init_lora_weights` is {brief(start)}, which changes the base weights, "
                f"too; merge the adapter where it was trained, or convert it to plain LoRA"
            )
        ranks, alphas = (_pattern(path, stored, key) for key in _PATTERNS)
    except BackboneError as error:
        raise CheckpointError(str(error)) from None
    base = stored.get("base_model_name_or_path")
    return _Config(found, ranks, alphas, base if isinstance(base, str) and base else None)


def _pattern(path: Path, stored: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Ranks or alphas by module."""
    found = stored.get(key) or {}
    if not isinstance(found, dict) or len(found) > 4096:
        raise BackboneError(f"{path}: `{key}` is {brief(found)}; expected modules and numbers")
    for name, value in found.items():
        if not _PLAIN.fullmatch(name):
            raise BackboneError(
                f"{path}: `{key}` has {brief(name)}, a regular expression; expected modules by name"
            )
        check_value(
            f"{path}: `{key}.{name}`", value, _RULES["r" if key[0] == "r" else "lora_alpha"]
        )
    return found


@torch.no_grad()
def _merge(
    model: nn.Module, tensors: Mapping[str, Tensor], config: _Config, backbone: Backbone, *,
    where: str,
) -> list[str]:  # fmt: skip
    """Put the adapter into a model's weights; the modules with low-rank changes, sorted."""
    own = model.state_dict()  # shares memory with the model
    text = "text." if any(name.startswith("text.") for name in own) else ""

    def weight(name: str, like: tuple[int, ...]) -> Tensor:
        """The view of the model's weight that has Hugging Face's name."""
        place = place_of(name, text=text)
        if place is None or place.name not in own:
            raise CheckpointError(
                f"{where}: `{name}` is no weight of {backbone.description['name']}; was it trained "
                f"on another architecture?"
            )
        view = place.of(own[place.name])
        if tuple(view.shape) != like:
            raise CheckpointError(
                f"{where}: `{name}` is {like}, and {tuple(view.shape)} in "
                f"{backbone.description['name']}; was it trained on another backbone?"
            )
        return view

    modules: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if not value.is_floating_point():
            raise CheckpointError(f"{where}: `{key}` is {value.dtype}; expected floating numbers")
        name = key.removeprefix(_START).replace(".modules_to_save.", ".")
        found = _PART.fullmatch(name)
        if found is None:
            weight(name, tuple(value.shape)).copy_(value)  # saved whole
        elif found["part"] == "base_layer.bias":
            weight(f"{found['module']}.bias", tuple(value.shape)).copy_(value)
        else:
            part = found["part"].removesuffix(".weight").replace("embedding_", "embedding ")
            modules.setdefault(found["module"], {})[part] = value.to(backbone.device).float()
    for module, parts in modules.items():
        low, high = _factors(module, parts, config, where)
        scale = config.scale(module, len(low))
        change = scale * (high.flatten(1) @ low.flatten(1))
        if "lora_embedding A" in parts:
            change = change.T
        shape = (*change.shape[:1], *low.shape[1:]) if low.ndim == 4 else change.shape
        view = weight(f"{module}.weight", tuple(shape))
        new = view.float() + change.reshape(shape)
        if "lora_magnitude_vector" in parts:
            new = _dora(new, parts["lora_magnitude_vector"], module, where)
        view.copy_(new)
        if "lora_B.bias" in parts:
            bias = parts["lora_B.bias"]
            view = weight(f"{module}.bias", tuple(bias.shape))
            view.copy_(view.float() + scale * bias)
    if not modules:
        raise CheckpointError(f"{where}: no low-rank changes in it")
    return sorted(modules)


def _factors(
    module: str, parts: Mapping[str, Tensor], config: _Config, where: str
) -> tuple[Tensor, Tensor]:
    """A of (r, ...) and B of (d, r), of the rank that the configuration says."""
    kind = "lora_embedding " if "lora_embedding A" in parts else "lora_"
    low, high = parts.get(f"{kind}A"), parts.get(f"{kind}B")
    if low is None or high is None:
        raise CheckpointError(f"{where}: `{module}` has not both of its factors A and B")
    rank = config.rank(module)
    good = low.ndim == high.ndim and low.ndim in (2, 4) and high.flatten(1).shape[1] == len(low)
    if not good or len(low) != rank:
        raise CheckpointError(
            f"{where}: the factors of `{module}` are {tuple(low.shape)} and {tuple(high.shape)}; "
            f"{CONFIG} says rank {rank}"
        )
    dora = "lora_magnitude_vector" in parts
    if dora != config.settings["use_dora"]:
        raise CheckpointError(
            f"{where}: `{module}` has {'a' if dora else 'no'} learned length, unlike what "
            f"`use_dora` in {CONFIG} says"
        )
    return low, high


def _dora(new: Tensor, lengths: Tensor, module: str, where: str) -> Tensor:
    """The rows of a matrix brought to learned lengths."""
    if new.ndim != 2 or lengths.numel() != len(new) or "embedding" in module:
        raise CheckpointError(
            f"{where}: `{module}` has {lengths.numel()} learned lengths; expected DoRA of a linear "
            f"layer of {len(new)} rows"
        )
    return lengths.reshape(-1, 1) * new / new.norm(dim=1, keepdim=True)
