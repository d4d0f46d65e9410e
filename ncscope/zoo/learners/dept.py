"""DePT: another learner's prompts beside a linear probe (Zhang et al. 2024, arXiv:2309.07439).

The features are the base learner's. The method decides by both heads, the linear probe's weights
are W of a second classifier. K classes, D embedding width.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from ncscope.checkpoint.methods import plain_method
from ncscope.clip.backbone import Backbone
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner
from ncscope.zoo.settings import Settings, logged_number

_PROBE = ("film_lp_", "linear_probe_proj.")


def load_dept(
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    settings: Settings,
    *,
    bases: Mapping[str, Callable[[Mapping[str, Tensor], Backbone, Settings], Learner]],
) -> Learner:
    """The base method's learner, with what is known of the probe in its description.

    Raises:
        CheckpointError: the base method is none that gives features.
    """
    method = plain_method(settings.method)
    if method not in bases:
        raise CheckpointError(
            f"{settings.where}: DePT is put on {method}, which gives no features; known are "
            f"{', '.join(sorted(bases))}"
        )
    rest = {key: value for key, value in tensors.items() if not key.startswith(_PROBE)}
    learner = bases[method](rest, backbone, settings)
    probe = tensors.get("linear_probe_proj.weight")
    weight = logged_number(settings, "TRAINER.LINEAR_PROBE.WEIGHT", "LINEAR_PROBE.WEIGHT")
    note = (
        "features are those of the similarity head; on the training classes DePT decides by "
        f"{'0.7 (default)' if weight is None else weight} of a linear probe on image features "
        "beside it"
    )
    described = {
        **learner.description,
        "linear_probe": None if probe is None else list(probe.shape),
        "probe_weight": weight,
        "warnings": [*learner.description["warnings"], note],
    }
    return replace(learner, description=described)
