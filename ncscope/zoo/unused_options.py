"""Options that a method has no use for: said, not refused, as several sources share a command."""

from collections.abc import Sequence

from ncscope.checkpoint.trainers import plain_method
from ncscope.zoo.learner_options import LearnerOptions

POSITIONED = ("CoOp", "ProGrad", "Nemesis", "PLOT", "PLOTNemesis", "DPC")
_USERS = {
    "class_token_position": POSITIONED,
    "condition": ("CoCoOp", "CoCoOp_ATP"),
    "image_feature": ("MMRL", "MMRL++"),
    "residual_scale": ("TaskRes",),
    "adapter_scale": ("MMA",),
    "teacher": ("PromptKD",),
    "base": ("DPC", "AnchorOPT", "TextRefiner"),
}


def unused_options(method: str, options: LearnerOptions) -> list[str]:
    """A warning for each option that was given and has no effect on the method."""
    given = [name for name in _USERS if getattr(options, name) is not None]
    return [
        f"--{name.replace('_', '-')} has no effect on {method}; it is for {_several(_USERS[name])}"
        for name in given
        if plain_method(method) not in _USERS[name]
    ]


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
