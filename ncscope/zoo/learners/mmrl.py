"""MMRL and MMRL++: representation tokens in the upper blocks of both towers (Guo and Gu 2025,
arXiv:2503.08497, arXiv:2505.10088).

The method has two image features, the class token's and the representation tokens', and decides by
0.7 and 0.3 of both on the classes it was trained on, by the first alone on new ones.
n tokens, R their width, J layers, W and V widths of the towers, D embedding width.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower, image_tokens
from ncscope.clip.text_flow import on_shared
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import whole_prompts
from ncscope.zoo.learners.representation import (
    changes,
    first_block,
    kept_share,
    representation_tokens,
)
from ncscope.zoo.learners.tensors import as_used, check_depth, take
from ncscope.zoo.settings import Settings, logged_number

IMAGE_FEATURES = ("fused", "class", "representation")
_SHARE = 0.7  # of the class token's feature, the authors' default


def load_mmrl(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose image features are fused, the class token's, or the representation's.

    Raises:
        CheckpointError: other shapes than the backbone's, an unknown image feature.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    text_tokens = representation_tokens(tensors, "t", width, backbone, settings)
    visual_tokens = representation_tokens(tensors, "v", vision, backbone, settings)
    blocks = len(backbone.model.visual.transformer.resblocks)
    first = first_block(settings, len(tower.blocks) - len(text_tokens))
    visual_first = first_block(settings, blocks - len(visual_tokens))
    check_depth(first + len(text_tokens), backbone, settings)
    keep, warnings = kept_share(settings)
    shared = (on_shared(change) for change in changes(text_tokens, keep=keep))
    before = dict(enumerate(shared, start=first))
    image_before = dict(enumerate(changes(visual_tokens, keep=keep), start=visual_first))
    source = whole_prompts(tensors, "prompt_embeddings", backbone, settings)
    projection = _projection(tensors, backbone, vision, settings)
    kind, share = _kind(settings), _share(settings)

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


def _share(settings: Settings) -> float:
    """Of the class token's feature in the fused one."""
    logged = logged_number(settings, "TRAINER.MMRL.ALPHA", "TRAINER.MMRLpp.ALPHA")
    return _SHARE if logged is None else logged


def _kind(settings: Settings) -> str:
    kind = settings.image_feature or "fused"
    if kind not in IMAGE_FEATURES:
        raise CheckpointError(
            f"`image_feature` is {kind!r}; expected {', '.join(IMAGE_FEATURES)}: {settings.method} "
            f"has two image features and their mixture"
        )
    return kind
