"""MMRL and MMRL++: representation tokens in the upper blocks of both towers (Guo and Gu 2025).

arXiv:2503.08497, arXiv:2505.10088. The tokens of all upper blocks are made from one shared set.
There are two image features, the class token's and the representation tokens'; the method decides
by 0.7 and 0.3 of both on the classes it was trained on, by the first alone on new ones.
n tokens, R their width, r rank, J blocks, B batch, L tokens of a tower, W and V widths of the text
and image towers, D embedding width.
"""

import re
from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower, image_tokens
from ncscope.clip.text_tower import encode_prompts, inserted, on_shared, replaced, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, check_depth, is_half, stack, take, whole_prompts
from ncscope.zoo.settings import Settings, logged_number

IMAGE_FEATURES = ("fused", "class", "representation")
_LEARNER = "representation_learner."
_USUAL_BETA = 0.9  # the authors' default
_USUAL_SHARE = 0.7  # of the class token's feature in the fused one, the authors' default


def load_mmrl(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose image features are fused, the class token's, or the representation's.

    Raises:
        CheckpointError: other shapes than the backbone's, an unknown image feature.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    text_tokens = _representation_tokens(tensors, "t", width, backbone, settings)
    visual_tokens = _representation_tokens(tensors, "v", vision, backbone, settings)
    blocks = len(backbone.model.visual.transformer.resblocks)
    first = _first_block(settings, len(tower.blocks) - len(text_tokens))
    visual_first = _first_block(settings, blocks - len(visual_tokens))
    check_depth(first + len(text_tokens), backbone, settings)
    keep, warnings = _kept_share(settings)
    shared = (on_shared(change) for change in _changes(text_tokens, keep=keep))
    before = dict(enumerate(shared, start=first))
    image_before = dict(enumerate(_changes(visual_tokens, keep=keep), start=visual_first))
    source = whole_prompts(tensors, "prompt_embeddings", backbone, settings)
    projection = _projection(tensors, backbone, vision, settings)
    kind = _kind(settings)
    logged = logged_number(settings, "TRAINER.MMRL.ALPHA", "TRAINER.MMRLpp.ALPHA")
    share = _USUAL_SHARE if logged is None else logged

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, source(names), before=before)

    def image(pixels: Tensor) -> Tensor:
        tokens = image_tokens(backbone, pixels, before=image_before).float()
        plain = tokens[:, 0] @ backbone.model.visual.proj.float()
        own = tokens[:, 1 : 1 + len(visual_tokens[0])].mean(dim=1) @ projection
        if kind != "fused":
            return plain if kind == "class" else own
        return share * F.normalize(plain, dim=-1) + (1 - share) * F.normalize(own, dim=-1)

    facts = {"image_feature": kind, "share": share, "first_block": first}
    parts = {f"tokens.{i}": value for i, value in enumerate(visual_tokens)}
    how = projection.new_tensor([IMAGE_FEATURES.index(kind), share, keep, visual_first])
    parts |= {"projection": projection, "how": how}
    sides = Sides(text, image, parts, facts, logit_scale=100, warnings=warnings)
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


def _kept_share(settings: Settings) -> tuple[float, tuple[str, ...]]:
    """1 - beta of MMRL++, which keeps a share of the tokens of the block before; and warnings."""
    if settings.method != "MMRL++":
        return 0.0, ()
    beta = logged_number(settings, "TRAINER.MMRLpp.BETA", "TRAINER.MMRLPP.BETA")
    if beta is not None:
        return 1 - beta, ()
    return 1 - _USUAL_BETA, (
        f"beta, by which representation tokens are mixed from block to block, is neither in the "
        f"file nor in a log.txt: the authors' default {_USUAL_BETA} is taken",
    )


def _first_block(settings: Settings, usual: int) -> int:
    """The first block with tokens, from 0: by log.txt, which counts from 1, or else `usual`."""
    for section in ("MMRL", "MMRLpp"):
        layers = re.findall(r"\d+", settings.logged.get(f"TRAINER.{section}.REP_LAYERS", ""))
        if layers:
            return int(layers[0]) - 1
    return usual


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


def _kind(settings: Settings) -> str:
    """Which image feature is asked for."""
    kind = settings.image_feature or "fused"
    if kind not in IMAGE_FEATURES:
        raise CheckpointError(
            f"`image_feature` is {kind!r}; expected {', '.join(IMAGE_FEATURES)}: {settings.method} "
            f"has two image features and their mixture"
        )
    return kind
