"""MMRL and MMRL++: representation tokens in the upper blocks of both towers (Guo and Gu 2025).

arXiv:2503.08497, arXiv:2505.10088. The tokens of all upper blocks are made from one shared set.
There are two image features, the class token's and the representation tokens'; which of them, or
both, the method decides by is in `mmrl_run.py`.
n tokens, R their width, r rank, J blocks, B batch, L tokens of a tower, W and V widths of the text
and image towers, D embedding width.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower, image_tokens
from ncscope.clip.text_tower import encode_prompts, inserted, on_shared, replaced, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.mmrl_run import (
    IMAGE_FEATURES,
    beta_of,
    blocks_of,
    image_feature_of,
    share_of,
)
from ncscope.zoo.learners.parts import as_used, check_depth, is_half, stack, take, whole_prompts
from ncscope.zoo.settings import Settings

_LEARNER = "representation_learner."


def load_mmrl(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose image features are fused, the class token's, or the representation's.

    Raises:
        CheckpointError: other shapes than the backbone's, an unknown image feature; blocks that
            nobody names.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    text_tokens = _representation_tokens(tensors, "t", width, backbone, settings)
    visual_tokens = _representation_tokens(tensors, "v", vision, backbone, settings)
    if len(text_tokens) != len(visual_tokens):
        raise CheckpointError(
            f"{settings.where}: projections for {len(text_tokens)} blocks of the text tower and "
            f"{len(visual_tokens)} of the image tower; expected as many: the file is incomplete"
        )
    blocks = blocks_of(settings, len(text_tokens))
    check_depth(blocks[-1] + 1, backbone, settings)
    beta, warnings = beta_of(settings)
    changes, visual_changes = (
        dict(zip(blocks, _changes(tokens, keep=1 - beta), strict=True))
        for tokens in (text_tokens, visual_tokens)
    )
    before = {block: on_shared(change) for block, change in changes.items()}
    source = whole_prompts(tensors, "prompt_embeddings", backbone, settings)
    projection = _projection(tensors, backbone, vision, settings)
    kind, why = image_feature_of(settings)
    share, assumed = share_of(settings)

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, source(names), before=before)

    def image(pixels: Tensor) -> Tensor:
        tokens = image_tokens(backbone, pixels, before=visual_changes).float()
        plain = tokens[:, 0] @ backbone.model.visual.proj.float()
        own = tokens[:, 1 : 1 + len(visual_tokens[0])].mean(dim=1) @ projection
        if kind != "fused":
            return plain if kind == "class" else own
        return share * F.normalize(plain, dim=-1) + (1 - share) * F.normalize(own, dim=-1)

    facts = {
        "image_feature": kind,
        "image_feature_why": why,
        "share": share,
        "beta": beta,
        "blocks": list(blocks),
    }
    parts = {f"tokens.{i}": value for i, value in enumerate(visual_tokens)}
    how = projection.new_tensor([IMAGE_FEATURES.index(kind), share, beta, *blocks])
    parts |= {"projection": projection, "how": how}
    notes = (*warnings, *(assumed if kind == "fused" else ()))
    notes = notes if settings.image_feature else (*notes, why)
    sides = Sides(text, image, parts, facts, logit_scale=100, warnings=notes)
    return build(backbone, settings, sides)


def _representation_tokens(
    tensors: Mapping[str, Tensor], side: str, width: int, backbone: Backbone, settings: Settings
) -> list[Tensor]:
    """J tensors of (n, `width`), for the text (`side` t) or the image tower (v).

    Raises:
        CheckpointError: tensors that are missing or of another shape.
    """
    shared = take(tensors, f"{_LEARNER}compound_rep_tokens", ("n", "R"), settings)
    size = shared.shape[1]
    common = f"{_LEARNER}srra_r2{side}proj."
    own = f"{_LEARNER}compound_rep_tokens_r2{side}proj."
    made: list[Tensor] = []
    if f"{common}weight" in tensors:
        weight = take(tensors, f"{common}weight", (width, size), settings)
        for key in stack(tensors, f"{common}srra.{{}}.A"):
            layer = key.removesuffix("A")
            low = take(tensors, f"{layer}A", (width, "r"), settings)
            high = take(tensors, f"{layer}B", (low.shape[1], size), settings)
            bias = take(tensors, f"{layer}bias", (width,), settings)
            made.append(F.linear(shared, weight + low @ high, bias))
    for key in stack(tensors, f"{own}{{}}.weight"):
        weight = take(tensors, key, (width, size), settings)
        bias = take(tensors, f"{key.removesuffix('weight')}bias", (width,), settings)
        made.append(F.linear(shared, weight, bias))
    if not made:
        raise CheckpointError(f"{settings.where}: no projections of the representation tokens")
    return [as_used(tokens, backbone, half=is_half(tensors)) for tokens in made]


def _changes(tokens: list[Tensor], *, keep: float) -> list[Callable[[Tensor], Tensor]]:
    """What each block does to (B, L, W) tokens: the first inserts after position 0, others replace.

    Blocks in between that have no change leave the tokens to themselves.

    Args:
        keep: the share of the tokens before, 0 for MMRL.
    """

    def insert(given: Tensor) -> Tensor:
        return inserted(given, tokens[0], start=1)

    def mixed(given: Tensor, new: Tensor) -> Tensor:
        if keep:
            new = keep * given[:, 1 : 1 + len(new)] + (1 - keep) * new.to(given)
        return replaced(given, new, start=1)

    return [insert, *(lambda given, new=new: mixed(given, new) for new in tokens[1:])]


def _projection(
    tensors: Mapping[str, Tensor], backbone: Backbone, vision: int, settings: Settings
) -> Tensor:
    """(V, D) of the representation tokens: `proj_rep`, or for MMRL++ the tower's plus A B."""
    if "image_encoder.A" not in tensors:
        shape = (vision, backbone.width)
        return as_used(
            take(tensors, "image_encoder.proj_rep", shape, settings), backbone, half=False
        )
    low = take(tensors, "image_encoder.A", (vision, "r"), settings)
    high = take(tensors, "image_encoder.B", (low.shape[1], backbone.width), settings)
    plain = backbone.model.visual.proj
    return plain.float() + as_used(low @ high, backbone, half=False)
