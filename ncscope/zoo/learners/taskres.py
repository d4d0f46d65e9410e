"""TaskRes: zero-shot text features and a learned residual (Yu et al. 2023, arXiv:2211.10277).

K classes, D embedding width.
"""

from collections.abc import Mapping

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build, rows_of
from ncscope.zoo.learners.tensors import take
from ncscope.zoo.settings import Settings

_WHY = "its text features are a table of the classes it was trained on"


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
        return rows[rows_of(names, settings, count=len(rows), what=_WHY)]

    return build(backbone, settings, Sides(text, facts={"residual_scale": scale}))
