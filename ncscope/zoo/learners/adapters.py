"""Learners behind the towers, in feature space: TaskRes, CLIP-Adapter, Tip-Adapter(-F).

TaskRes: Yu et al. 2023, arXiv:2211.10277; CLIP-Adapter: Gao et al. 2024, arXiv:2110.04544;
Tip-Adapter and Tip-Adapter-F: Zhang et al. 2022, arXiv:2207.09519. Their cache takes part in the
decision, not in the features. N images, K classes, C of them in the file, D embedding width.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.checkpoint.reading import BARE
from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import IMAGENET_SEVEN, TEMPLATES, known_data
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build, rows_for
from ncscope.zoo.learners.parts import as_used, take, written_text
from ncscope.zoo.settings import Settings

_SHARE = 0.2  # of the adapter's output, fixed in the authors' code; a run here may say another
_WHY = "its text features are a table of the classes it was trained on"


def load_clip_adapter(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner with adapted image features and the zero-shot text features of its data set."""
    share = _SHARE if settings.adapter_scale is None else settings.adapter_scale
    adapted, parts = bottleneck(tensors, "", backbone, settings, share=share)
    text, facts = written_text(backbone, settings, TEMPLATES)
    facts["adapter_share"] = share
    return build(backbone, settings, Sides(text, adapter=adapted, image_parts=parts, facts=facts))


def bottleneck(
    tensors: Mapping[str, Tensor],
    prefix: str,
    backbone: Backbone,
    settings: Settings,
    *,
    share: float,
) -> tuple[Callable[[Tensor], Tensor], dict[str, Tensor]]:
    """A function that mixes (N, D) features with an adapter's output, and the adapter's tensors.

    Args:
        prefix: of `fc.0.weight` and `fc.2.weight`.
        share: of the output in the mixture.
    """
    width = backbone.width
    first = take(tensors, f"{prefix}fc.0.weight", ("h", width), settings)
    second = take(tensors, f"{prefix}fc.2.weight", (width, len(first)), settings)
    down, up = as_used(first, backbone, half=False), as_used(second, backbone, half=False)

    def adapted(features: Tensor) -> Tensor:
        output = F.relu(F.linear(F.relu(F.linear(features, down)), up))
        return share * output + (1 - share) * features

    return adapted, {f"{prefix}down": down, f"{prefix}up": up}


def load_taskres(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with the text features base + scale x residual.

    Raises:
        CheckpointError: other shapes than the backbone's; the scale is not known.
    """
    base = take(tensors, "base_text_features", ("C", backbone.width), settings)
    residual = take(tensors, "text_feature_residuals", tuple(base.shape), settings)
    scale = settings.residual_scale
    if scale is None:
        raise CheckpointError(
            f"{settings.where}: the scale of the residual is neither in the file nor in a log.txt "
            f"(RESIDUAL_SCALE); give --residual-scale (the authors' usual values are 0.5 and 1)"
        )
    rows = (base + scale * residual).to(backbone.device)

    def text(names: list[str]) -> Tensor:
        return rows_for(rows, names, settings, what=_WHY)

    return build(backbone, settings, Sides(text, facts={"residual_scale": scale}))


def load_tip_adapter(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner with the zero-shot features the cache is added to; logit scale 100.

    Raises:
        CheckpointError: a cache of another width; no data set and no template named.
    """
    cache = tensors[BARE]
    if cache.ndim != 2 or backbone.width not in cache.shape:
        raise CheckpointError(
            f"{settings.where}: the cache is {tuple(cache.shape)}; expected keys of width "
            f"{backbone.width}. Was it made with another backbone?"
        )
    usual = IMAGENET_SEVEN if known_data(settings.data_name) == "ImageNet" else ()
    encode, facts = written_text(backbone, settings, TEMPLATES, usual=usual)

    def text(names: list[str]) -> Tensor:
        return F.normalize(encode(names), dim=-1)

    facts["cache"] = list(cache.shape)
    return build(backbone, settings, Sides(text, facts=facts, logit_scale=100))
