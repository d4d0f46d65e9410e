"""PromptKD: a student's image prompts, taught by a larger CLIP (Li et al. 2024, arXiv:2403.02781).

The text side is the teacher's: a PromptSRC checkpoint on ViT-L/14. D student width, E teacher's.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.ivlp import prompted_image
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, take
from ncscope.zoo.settings import Settings

_HEAD = "VPT_image_trans.conv1."


def load_promptkd(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with the student's image features, E wide, and the teacher's text features.

    Raises:
        CheckpointError: other shapes than the backbone's; text features without `--teacher`.
    """
    prompted, parts = prompted_image(tensors, backbone, settings)
    head, head_parts = _head(tensors, backbone, settings)
    teacher = settings.teacher

    def image(pixels: Tensor) -> Tensor:
        return head(prompted(pixels))

    def text(names: list[str]) -> Tensor:
        if teacher is None:
            raise CheckpointError(
                f"{settings.where}: PromptKD's student has no text side; give its teacher's "
                f"checkpoint: --teacher CHECKPOINT"
            )
        features = teacher.text_features(names)
        if features.shape[1] != len(head_parts["out_bias"]):
            raise CheckpointError(
                f"{settings.where}: the teacher's features are {features.shape[1]} wide; the "
                f"student was taught {len(head_parts['out_bias'])}"
            )
        return features

    sides = Sides(
        text,
        image,
        {**parts, **head_parts},
        {"teacher": teacher.description if teacher else None},
        logit_scale=_scale(tensors),
        has_text=teacher is not None,
    )
    return build(backbone, settings, sides)


def _head(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> tuple[Callable[[Tensor], Tensor], dict[str, Tensor]]:
    """Two 1x1 convolutions with a batch norm between, on single features: two linear layers."""
    first = take(tensors, f"{_HEAD}0.weight", ("E", backbone.width, 1, 1), settings)
    wide = len(first)
    shapes = {
        "in_weight": ("0.weight", (wide, backbone.width, 1, 1)),
        "in_bias": ("0.bias", (wide,)),
        "gain": ("1.weight", (wide,)),
        "shift": ("1.bias", (wide,)),
        "mean": ("1.running_mean", (wide,)),
        "variance": ("1.running_var", (wide,)),
        "out_weight": ("3.weight", (wide, wide, 1, 1)),
        "out_bias": ("3.bias", (wide,)),
    }
    parts = {
        name: as_used(take(tensors, _HEAD + key, shape, settings), backbone, half=False)
        for name, (key, shape) in shapes.items()
    }

    def head(features: Tensor) -> Tensor:
        inner = F.linear(features, parts["in_weight"].flatten(1), parts["in_bias"])
        inner = F.batch_norm(
            inner, parts["mean"], parts["variance"], parts["gain"], parts["shift"], training=False
        )
        return F.linear(F.relu(inner), parts["out_weight"].flatten(1), parts["out_bias"])

    return head, parts


def _scale(tensors: Mapping[str, Tensor]) -> float | None:
    """The multiplier of the cosine that the student was taught with."""
    stored = tensors.get("logit_scale")
    return None if stored is None else float(stored.float().exp())
