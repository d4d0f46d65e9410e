"""CLIP's towers out of a checkpoint that holds them, as a backbone of their own.

Whole-model files name them `image_encoder.*` and `text_encoder.*` and lack the vocabulary's token
embedding. An averaged file (PromptSRC) has averaged towers: only with them are its features exact.
"""

import copy
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone, build_backbone
from ncscope.clip.openai_format import VOCABULARY, architecture
from ncscope.clip.plan import Plan
from ncscope.clip.state import fill, state_digest
from ncscope.errors import CheckpointError

DRIFT_OF_ANOTHER = 0.02  # relative; averaging in half precision gives about 4e-4
NO_VOCABULARY = "lacks"
_LEARNED_PARTS = ("VPT", "prompt_learner")
_LEARNED = ("image_encoder.proj_rep", "image_encoder.A", "image_encoder.B")
_OWN_VOCABULARY = ("text_encoder.token_embedding.weight", "model_distill.token_embedding.weight")


def tower_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
    for key in _OWN_VOCABULARY:
        if key in tensors:
            state["token_embedding.weight"] = tensors[key]
    return state if any("resblocks" in key or "attnpool" in key for key in state) else {}


def drift(backbone: Backbone, state: Mapping[str, Tensor]) -> float:
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


def with_towers(backbone: Backbone, state: Mapping[str, Tensor], *, where: str) -> Backbone:
    """The backbone with the file's weights in place of its own; its vocabulary stays.

    Raises:
        CheckpointError: the file's towers are of another architecture.
    """
    if drift(backbone, state) == float("inf"):
        raise CheckpointError(
            f"{where}: its towers are of another architecture than the backbone "
            f"{backbone.description['name']}; name the one it was trained on: --backbone NAME"
        )
    model = copy.deepcopy(backbone.model)
    own = model.state_dict()
    fill(model, {**own, **{k: v for k, v in state.items() if k in own}}, where=where)
    digest = state_digest(backbone.description["architecture"], _on_cpu(model.state_dict()))
    weights = f"{where}, over {backbone.description['weights']}"
    described = {**backbone.description, "weights": weights, "digest": digest, "random": False}
    model.eval().requires_grad_(False)
    return dataclasses.replace(backbone, model=model, digest=digest, description=described)


def backbone_of_file(
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
    full.setdefault("token_embedding.weight", torch.zeros(1, width).expand(VOCABULARY, -1))
    full.setdefault("logit_scale", torch.tensor(100.0).log())
    config = architecture(full, where=where)
    plan = Plan(name="checkpoint", weights=where, config=config, tensors=full)
    backbone = build_backbone(plan, device=device, precision=precision)
    if not has_vocabulary(state):
        backbone.description[NO_VOCABULARY] = "token embedding: text cannot be tokenised"
    return backbone


def has_vocabulary(state: Mapping[str, Tensor]) -> bool:
    return "token_embedding.weight" in state


def _on_cpu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.cpu() for key, value in state.items()}
