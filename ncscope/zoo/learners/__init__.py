"""Prompt learners by the name their checkpoints are recognised by, one learner a file."""

from collections.abc import Callable, Mapping

from torch import Tensor

from ncscope.zoo.backbone import Backbone
from ncscope.zoo.learners.coop import load_coop
from ncscope.zoo.learners.learner import Learner
from ncscope.zoo.learners.settings import Settings

Loader = Callable[[Mapping[str, Tensor], Backbone, Settings], Learner]

LEARNERS: dict[str, Loader] = {
    "CoOp": load_coop,
    "ProGrad": load_coop,
    "Nemesis": load_coop,
    "KgCoOp": load_coop,
    "DeKg": load_coop,
}
REFUSED: dict[str, str] = {}
