"""The backbone a checkpoint is run on: the caller's, the one its log or shapes name, or its own.

Whole-model files name the towers `image_encoder.*` and `text_encoder.*` and lack the vocabulary's
token embedding. An averaged file (PromptSRC) has averaged towers: only with them are its features
exact.
"""

import copy
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.checkpoint.inspect import Inspection
from ncscope.clip.backbone import (
    Backbone,
    build_backbone,
    choose_device,
    fill,
    load_backbone,
    state_digest,
)
from ncscope.clip.plan import Plan
from ncscope.clip.weights import VOCABULARY, architecture
from ncscope.errors import BackboneError, CheckpointError

TOWERS = ("auto", "backbone", "checkpoint")
TUNED_TOWERS = ("SkipTuning", "FinetuneCLIP")
NO_VOCABULARY = "lacks"  # in the description of a backbone that has none
_DRIFT_OF_ANOTHER = 0.02  # relative; averaging in half precision gives about 4e-4
_LEARNED_PARTS = ("VPT", "prompt_learner")
_LEARNED = ("image_encoder.proj_rep", "image_encoder.A", "image_encoder.B")
_VOCABULARY = "token_embedding.weight"


def choose_backbone(
    seen: Inspection,
    backbone: Backbone | None,
    *,
    towers: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
) -> tuple[Backbone, bool, list[str]]:
    """Return the backbone, whether it lacks a vocabulary of its own, and warnings.

    Args:
        backbone: the caller's; None looks for one.
        towers: as for `load_learner`.

    Raises:
        BackboneError: none was given and none could be found or loaded.
        CheckpointError: the file's towers are asked for or compared, and lack or do not fit.
    """
    if towers not in TOWERS:
        raise CheckpointError(f"`towers` is {towers!r}; expected {', '.join(TOWERS)}")
    where = str(seen.checkpoint.path)
    state = _tower_state(seen.checkpoint.tensors)
    if state and seen.method in TUNED_TOWERS:
        towers = "checkpoint"  # they are what was learned
    if towers == "checkpoint" and not state:
        raise CheckpointError(f"{where}: holds no towers; name its backbone: --backbone NAME")
    if backbone is not None:
        if towers == "checkpoint":
            return _with_towers(backbone, state, where=where), False, []
        return backbone, False, _compared(backbone, state, where) if state else []
    if towers != "checkpoint" and (named := _named(seen, device, precision)) is not None:
        own = state and towers == "auto"
        return _with_towers(named, state, where=where) if own else named, False, []
    place = choose_device(device)
    clip = _backbone_of_file(state, where=where, device=place, precision=precision)
    return clip, _VOCABULARY not in state, []


def _compared(backbone: Backbone, state: dict, where: str) -> list[str]:
    """A warning where the file's towers are not quite the backbone's."""
    distance = _drift(backbone, state)
    if distance > _DRIFT_OF_ANOTHER:
        raise CheckpointError(
            f"{where}: the towers in it are not those of the backbone "
            f"{backbone.description['name']} (relative distance {distance:.2g}); name the backbone "
            f"it was trained on, or take the file's: --backbone checkpoint"
        )
    if distance == 0:
        return []
    return [
        f"the towers in the file differ from the backbone's by {distance:.1e} of their length; "
        f"features of the run are exact only with the file's: --backbone checkpoint"
    ]


def _named(seen: Inspection, device: str, precision: str) -> Backbone | None:
    """OpenAI's model that log.txt or the shapes name; None where the file can do without."""
    both = seen.facts.towers == ("image", "text")
    logged = seen.log.backbone if seen.log else None
    names = (logged,) if logged else seen.facts.backbones
    if len(names) != 1:
        if both:
            return None
        raise BackboneError(
            f"{seen.checkpoint.path}: nothing tells its backbone"
            + (f"; its shapes fit {', '.join(names)}" if names else "")
            + ": name it: --backbone ViT-B-16 --pretrained openai"
        )
    name = names[0].replace("@336px", "-336")
    try:
        return load_backbone(name, pretrained="openai", device=device, precision=precision)
    except BackboneError:
        if both:
            return None
        raise


def _tower_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The towers' weights under OpenAI's names; empty where the file holds none."""
    state: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if key in _LEARNED or any(part in key for part in _LEARNED_PARTS):
            continue
        if key.startswith("image_encoder."):
            state["visual." + key.removeprefix("image_encoder.")] = value
        elif key.startswith("text_encoder."):
            state[key.removeprefix("text_encoder.")] = value
        elif key == "logit_scale":
            state[key] = value
    for part in ("text_encoder", "model_distill"):
        if f"{part}.{_VOCABULARY}" in tensors:
            state[_VOCABULARY] = tensors[f"{part}.{_VOCABULARY}"]
    return state if any("resblocks" in key or "attnpool" in key for key in state) else {}


def _drift(backbone: Backbone, state: Mapping[str, Tensor]) -> float:
    """Relative distance of the file's towers from the backbone's; 0 where equal once rounded."""
    own = backbone.model.state_dict()
    total = difference = 0.0
    for key in sorted(state.keys() & own.keys()):
        mine, theirs = own[key].detach().cpu(), state[key]
        if mine.shape != theirs.shape:
            return float("inf")
        mine = mine.to(theirs.dtype).float()
        total += float(mine.square().sum())
        difference += float((mine - theirs.float()).square().sum())
    return (difference / total) ** 0.5 if total else float("inf")


def _with_towers(backbone: Backbone, state: Mapping[str, Tensor], *, where: str) -> Backbone:
    """The backbone with the file's weights in place of its own; its vocabulary stays.

    Raises:
        CheckpointError: the file's towers are of another architecture.
    """
    if _drift(backbone, state) == float("inf"):
        raise CheckpointError(
            f"{where}: its towers are of another architecture than the backbone "
            f"{backbone.description['name']}; name the one it was trained on: --backbone NAME"
        )
    model = copy.deepcopy(backbone.model)
    own = model.state_dict()
    fill(model, {**own, **{k: v for k, v in state.items() if k in own}}, where=where)
    on_cpu = {key: value.cpu() for key, value in model.state_dict().items()}
    digest = state_digest(backbone.description["architecture"], on_cpu)
    weights = f"{where}, over {backbone.description['weights']}"
    described = {**backbone.description, "weights": weights, "digest": digest, "random": False}
    model.eval().requires_grad_(False)
    return dataclasses.replace(backbone, model=model, digest=digest, description=described)


def _backbone_of_file(
    state: Mapping[str, Tensor], *, where: str, device: torch.device, precision: str
) -> Backbone:
    """A backbone from the file alone: without a vocabulary, unless the file has one.

    Raises:
        CheckpointError: the file does not hold both towers.
    """
    sides = ("visual.conv1.weight", "text_projection", "positional_embedding", "ln_final.weight")
    lacking = [key for key in sides if key not in state]
    if lacking:
        raise CheckpointError(
            f"{where}: does not hold both of CLIP's towers (no `{lacking[0]}`); name its "
            f"backbone: --backbone NAME --pretrained TAG"
        )
    full = dict(state)
    width = state["positional_embedding"].shape[-1]
    full.setdefault(_VOCABULARY, torch.zeros(1, width).expand(VOCABULARY, -1))
    full.setdefault("logit_scale", torch.tensor(100.0).log())
    config = architecture(full, where=where)
    plan = Plan(name="checkpoint", weights=where, config=config, tensors=full)
    backbone = build_backbone(plan, device=device, precision=precision)
    if _VOCABULARY not in state:
        backbone.description[NO_VOCABULARY] = "token embedding: text cannot be tokenised"
    return backbone
