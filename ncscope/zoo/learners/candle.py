"""Candle: two projections, prototypes and a fusion over them, of which the first head is read.

Shi et al. 2024. Its first head compares projected image features with projected text features of
written prompts; the other two let every image of a batch attend to all prototypes, so that they
are no function of one image. The text features of all its classes, new ones too, are in the file.
C classes, D embedding width.
"""

from collections.abc import Mapping

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import TEMPLATES, known_data
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build, folded, rows_for
from ncscope.zoo.learners.parts import as_used, plain_text, take
from ncscope.zoo.settings import Settings

MODE = "features of the first head; the method mixes the scores of three"
_WHY = "its table has the text features of its own classes"


def load_candle(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of the first head; classes that are not in the file are written as its own were.

    Raises:
        CheckpointError: other shapes than the backbone's; names unknown, and no data set named.
    """
    width = backbone.width
    stored = take(tensors, "text_features", ("C", width), settings)
    of_text, of_image = (
        as_used(take(tensors, f"head.proj_{side}", (width, width), settings), backbone, half=False)
        for side in ("text", "image")
    )
    rows = as_used(stored, backbone, half=False)
    known = {folded(name) for name in settings.classnames or ()}
    if settings.classnames is not None and len(settings.classnames) != len(rows):
        known = set()  # a list of its training classes alone: the table has the new ones, too

    def text(names: list[str]) -> Tensor:
        if names and all(folded(name) in known for name in names):
            picked = rows_for(rows, names, settings, what=_WHY)
        elif settings.templates or known_data(settings.data_name) or settings.classnames:
            picked = plain_text(backbone, settings, TEMPLATES)(names)
        else:
            raise CheckpointError(
                f"{settings.where}: {_WHY}, and not their names; give a file of {len(rows)} class "
                f"names in the checkpoint's order: --classnames FILE, or its data set: --data-name"
            )
        return picked @ of_text

    def adapted(features: Tensor) -> Tensor:
        return features @ of_image

    facts = {"classes": len(rows), "mode": MODE}
    warnings = (f"Candle: {MODE}",)
    sides = Sides(
        text, adapter=adapted, image_parts={"proj_image": of_image}, facts=facts, warnings=warnings
    )
    return build(backbone, settings, sides)
