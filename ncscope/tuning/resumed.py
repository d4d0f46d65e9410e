"""A learner from somebody's checkpoint, ready to be trained on."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ncscope.checkpoint.trainers import plain_method
from ncscope.clip.backbone import Backbone
from ncscope.errors import CheckpointError, DataError
from ncscope.tuning.recipe import METHODS
from ncscope.tuning.trainee import PUBLISHED, Trainee, as_leaves
from ncscope.zoo.learner_options import LearnerOptions
from ncscope.zoo.learners.learner import folded
from ncscope.zoo.load import read_learner

_TRAINED = re.compile(
    r"(prompt_learner\.)?(ctx|proj\..*|compound_prompts_text\..*|compound_prompt_projections\..*"
    r"|meta_net\..*)|image_encoder\.VPT|.*\.VPT_shallow|fc\.[02]\.weight|text_feature_residuals"
)


def loaded_trainee(
    source: str | Path,
    backbone: Backbone,
    classnames: Sequence[str],
    *,
    options: LearnerOptions,
    template: str,
) -> Trainee:
    """The learner in a checkpoint with its prompts as parameters.

    Args:
        classnames: of the training data; a class-specific learner must have been trained on them.

    Raises:
        DataError: neither a method that is trained here nor a checkpoint.
        CheckpointError: another method's checkpoint, or of other classes.
    """
    if not Path(source).exists():
        raise DataError(
            f"`method` is {str(source)!r}; expected one of {', '.join(METHODS)}, or a checkpoint"
        )
    known = replace(options, template=options.template or template)
    read = read_learner(source, backbone=backbone, options=known)
    names = {published: name for name, published in PUBLISHED.items()}
    method = names.get(plain_method(read.settings.method))
    if method is None:
        raise CheckpointError(
            f"{source}: {read.settings.method} is not trained here; expected one of "
            f"{', '.join(PUBLISHED.values())}"
        )
    learned = {key: value for key, value in read.tensors.items() if _TRAINED.fullmatch(key)}
    settings = read.settings
    if method == "cocoop":
        settings = replace(settings, condition="per-image")
    trainee = Trainee(
        method,
        read.backbone,
        settings,
        trained=as_leaves(learned, backbone.device),
        fixed={key: value for key, value in read.tensors.items() if key not in learned},
    )
    _check_classes(trainee, classnames, source)
    return trainee


def _check_classes(trainee: Trainee, classnames: Sequence[str], source: str | Path) -> None:
    known = trainee.settings.classnames
    if trainee.takes_new_classes or known is None:
        return
    if {folded(name) for name in known} != {folded(name) for name in classnames}:
        raise CheckpointError(
            f"{source}: its parameters belong to {len(known)} classes, which are not the "
            f"{len(classnames)} of the training data; tune a method that takes any class"
        )
