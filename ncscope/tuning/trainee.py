"""A prompt learner with parameters: the zoo's loader of its method, fed with tensors in training.

They are fresh, or somebody's checkpoint that is trained on. There is one implementation of every
method: training rebuilds the learner from its tensors at every step, so that what is trained is
what a checkpoint of it will give.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ncscope.checkpoint.methods import plain_method
from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import DEFAULT_TEMPLATE
from ncscope.data.images import ImageSet
from ncscope.errors import CheckpointError, DataError
from ncscope.features.space import AS_NAMED
from ncscope.tuning.heads import LOADERS, NAMES, initial_head
from ncscope.tuning.initial import initial_tensors
from ncscope.tuning.recipe import METHODS
from ncscope.tuning.tip_cache import fixed_cache
from ncscope.tuning.values import Recipe
from ncscope.tuning.wording import Wording, frozen_text, left_over, wording_of
from ncscope.zoo.learners import LEARNERS
from ncscope.zoo.learners.learner import Learner, folded
from ncscope.zoo.load import read_learner
from ncscope.zoo.settings import LearnerOptions, Settings

# As the zoo names what the command line calls so
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
_AUTHORS = Recipe(0.002, 32, 1)  # for the weights of the methods' own terms
_FIXED_WORDS = ("maple", "ivlp", "promptsrc")  # words of the initial prompt beyond the context stay
_TRAINED = re.compile(
    r"(prompt_learner\.)?(ctx|proj\..*|compound_prompts_text\..*|compound_prompt_projections\..*"
    r"|meta_net\..*)|image_encoder\.VPT|.*\.VPT_shallow|fc\.[02]\.weight|text_feature_residuals"
)


@dataclass(frozen=True, eq=False)
class Trainee:
    """A method's tensors on a backbone. `trained` are leaves with gradients; `fixed` never change.

    `settings` is what the zoo's loader wants to know beside the tensors, `recipe` has the weights
    of the method's own terms.
    """

    method: str  # as on the command line
    backbone: Backbone
    settings: Settings
    trained: dict[str, Tensor]
    fixed: dict[str, Tensor] = field(default_factory=dict)
    recipe: Recipe = _AUTHORS

    def learner(self) -> Learner:
        """The learner of the present values; gradients flow through its features to `trained`."""
        tensors = {**self.fixed, **self.trained}
        load = LOADERS.get(self.method) or LEARNERS[PUBLISHED[self.method]]
        return load(tensors, self.backbone, self.settings)

    @property
    def takes_new_classes(self) -> bool:
        """Whether it has text features for classes that it was not trained on."""
        context = self.trained.get("ctx")
        if self.method in ("taskres", "tip-adapter-f", "linear-probe"):
            return False
        return context is None or context.ndim == 2


def new_trainee(
    method: str,
    backbone: Backbone,
    classnames: Sequence[str],
    *,
    recipe: Recipe,
    template: str = DEFAULT_TEMPLATE,
    wording: Wording | None = None,
    seed: int = 1,
) -> Trainee:
    """A method at the beginning of its training.

    Args:
        classnames: the K training classes.
        template: of the data set, for written prompts and frozen text features.
        wording: what the method's authors write on it; None takes the template.
        seed: of everything drawn at random.
    """
    wording = wording or wording_of(method, template=template, given=True)
    settings = Settings(
        where=f"{method} in training",
        method=PUBLISHED[method],
        classnames=tuple(classnames),
        words=_fixed_words(method, backbone, recipe) if wording.words is None else wording.words,
        after=wording.after,
        class_token_position=recipe.class_token_position,
        condition="per-image" if method == "cocoop" else None,
        templates=wording.frozen[:1] if method == "tcp" else (template,),
        residual_scale=recipe.residual_scale if method == "taskres" else None,
        adapter_scale=recipe.adapter_ratio if method == "clip-adapter" else None,
    )
    drawn = initial_tensors(method, backbone, num_classes=len(classnames), recipe=recipe, seed=seed)
    fixed = {}
    if method == "taskres":
        fixed = {"base_text_features": frozen_text(backbone, classnames, wording)}
    return Trainee(
        method,
        backbone,
        settings,
        trained=_as_leaves(drawn, backbone.device),
        fixed=fixed,
        recipe=recipe,
    )


def new_head(
    method: str, backbone: Backbone, images: ImageSet, *, recipe: Recipe, seed: int = 1
) -> Trainee:
    """A method of `ncscope.tuning.heads` at the beginning of its training on stored features."""
    settings = Settings(
        where=f"{method} in training",
        method=NAMES[method],
        classnames=images.classnames,
        templates=(AS_NAMED,),
    )
    begun = initial_head(method, backbone, images, recipe=recipe, seed=seed)
    trained = _as_leaves(begun, backbone.device)
    fixed = {}
    if method == "tip-adapter-f":
        held = fixed_cache(images, recipe)
        fixed = {key: value.to(backbone.device) for key, value in held.items()}
    return Trainee(method, backbone, settings, trained, fixed=fixed, recipe=recipe)


def _fixed_words(method: str, backbone: Backbone, recipe: Recipe) -> str:
    """Of the initial words what is not learned and stays before the class name.

    Where a context is shorter than the words, some authors keep the others; all keep the tokens
    that are more than there are words.
    """
    count = min(recipe.ctx, len(recipe.words)) if recipe.ctx_pad else recipe.ctx
    if not recipe.words or (count < len(recipe.words) and method not in _FIXED_WORDS):
        return ""
    return left_over(backbone, recipe.words, count)


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
        trained=_as_leaves(learned, backbone.device),
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


def _as_leaves(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies on the device that gradients are kept for."""
    return {
        key: value.detach().to(device, torch.float32, copy=True).requires_grad_()
        for key, value in tensors.items()
    }
