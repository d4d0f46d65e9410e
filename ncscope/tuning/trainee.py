"""A prompt learner with parameters: the zoo's loader of its method, fed with tensors in training.

There is one implementation of every method. Training rebuilds the learner from its tensors at
every step, so that what is trained is what a checkpoint of it will give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.clip.zoo_prompts import DEFAULT_TEMPLATE
from ncscope.tuning.initial import initial_tensors
from ncscope.tuning.recipe import Recipe
from ncscope.zoo.learners import LEARNERS
from ncscope.zoo.learners.learner import Learner
from ncscope.zoo.settings import Settings
from ncscope.zoo.wording import parts, tail

# as the zoo names what the command line calls so
PUBLISHED = {
    "coop": "CoOp",
    "cocoop": "CoCoOp",
    "kgcoop": "KgCoOp",
    "prograd": "ProGrad",
    "vpt": "VPT",
    "ivlp": "IVLP",
    "maple": "MaPLe",
    "promptsrc": "PromptSRC",
    "tcp": "TCP",
    "taskres": "TaskRes",
    "clip-adapter": "CLIP-Adapter",
}
RESIDUAL_SCALE = 0.5  # TaskRes, the authors' usual value
_FIXED_WORDS = ("maple", "ivlp", "promptsrc")  # words of the initial prompt beyond the context stay


@dataclass(frozen=True, eq=False)
class Trainee:
    """A method's tensors on a backbone. `trained` are leaves with gradients; `fixed` never change.

    `settings` is what the zoo's loader wants to know beside the tensors.
    """

    method: str  # as on the command line
    backbone: Backbone
    settings: Settings
    trained: dict[str, Tensor]
    fixed: dict[str, Tensor] = field(default_factory=dict)

    def learner(self) -> Learner:
        """The learner of the present values; gradients flow through its features to `trained`."""
        tensors = {**self.fixed, **self.trained}
        return LEARNERS[PUBLISHED[self.method]](tensors, self.backbone, self.settings)

    @property
    def takes_new_classes(self) -> bool:
        """Whether it has text features for classes that it was not trained on."""
        context = self.trained.get("ctx")
        return self.method != "taskres" and (context is None or context.ndim == 2)


def new_trainee(
    method: str,
    backbone: Backbone,
    classnames: Sequence[str],
    *,
    recipe: Recipe,
    template: str = DEFAULT_TEMPLATE,
    seed: int = 1,
) -> Trainee:
    """A method at the beginning of its training.

    Args:
        classnames: the K training classes.
        template: of the data set, for written prompts and frozen text features.
        seed: of everything drawn at random.
    """
    words = (recipe.ctx_init or "").replace("_", " ").split()
    before, after = parts(template)
    words = before.split() if method == "tcp" else words
    rest = tail(words, recipe.ctx) if method in (*_FIXED_WORDS, "tcp") else ""
    settings = Settings(
        where=f"{method} in training",
        method=PUBLISHED[method],
        classnames=tuple(classnames),
        words=rest,
        after=after if method == "tcp" else ".",
        class_token_position=recipe.class_token_position,
        condition="per-image" if method == "cocoop" else None,
        templates=(template,),
        residual_scale=RESIDUAL_SCALE if method == "taskres" else None,
    )
    drawn = initial_tensors(method, backbone, num_classes=len(classnames), recipe=recipe, seed=seed)
    return Trainee(
        method,
        backbone,
        settings,
        trained=as_leaves(drawn, backbone.device),
        fixed=_fixed(method, backbone, classnames, template),
    )


def as_leaves(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies on the device that gradients are kept for."""
    return {
        key: value.detach().to(device, torch.float32, copy=True).requires_grad_()
        for key, value in tensors.items()
    }


def _fixed(
    method: str, backbone: Backbone, classnames: Sequence[str], template: str
) -> dict[str, Tensor]:
    if method != "taskres":
        return {}
    rows = ZeroShot(backbone, (template,)).text_features(list(classnames))
    return {"base_text_features": torch.nn.functional.normalize(rows, dim=-1).clone()}
