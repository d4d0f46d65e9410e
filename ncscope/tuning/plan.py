"""From the options of a tuning run to its data, its learner and its schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import DEFAULT_TEMPLATE, ZeroShot
from ncscope.data.draw import Draw
from ncscope.data.images import ImageSet
from ncscope.errors import BackboneError
from ncscope.features.processes import Spread, own_device
from ncscope.features.sources import default_templates, open_backbone, toy_defaults
from ncscope.tuning.data import Machine, Parts, draw_and_test, open_tests
from ncscope.tuning.evaluate import TestSplit
from ncscope.tuning.initial import depth_limit
from ncscope.tuning.inputs import FeatureInputs, PixelInputs, feature_inputs, pixel_inputs
from ncscope.tuning.losses import WITH_FROZEN_IMAGES, WITH_FROZEN_TEXT
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.recipe import METHODS, Recipe, recipe_of
from ncscope.tuning.step import Frozen, Setting
from ncscope.tuning.trainee import Trainee, loaded_trainee, new_trainee
from ncscope.zoo.settings import LearnerOptions


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that is ready to be trained."""

    setting: Setting
    recipe: Recipe
    draw: Draw
    splits: tuple[TestSplit, ...]
    template: str
    backbone: Backbone


def make_plan(
    options: TuneOptions,
    machine: Machine,
    *,
    spread: Spread,
    learner: LearnerOptions,
    given: Parts | None = None,
) -> Plan:
    """Open everything, draw the training images, extract what is frozen.

    Args:
        given: parts of the data that were opened already.

    Raises:
        BackboneError, CheckpointError, DataError: whatever is named does not exist or fit.
    """
    draw, test = draw_and_test(options, given or {})
    names = draw.images.classnames
    backbone, template = _backbone(options, machine, spread)
    trainee, recipe = _trainee(options, backbone, names, template, learner)
    frozen_tower = trainee.learner().from_backbone is not None
    inputs = _inputs(trainee, draw.images, recipe, options, machine, spread, frozen=frozen_tower)
    if machine.compiled:
        _compile_towers(backbone)
    setting = Setting(
        trainee=trainee,
        inputs=inputs,
        objective=options.objective(),
        counts=torch.tensor(draw.counts, device=backbone.device),
        classnames=names,
        frozen=_frozen(trainee, draw.images, template, options, machine, recipe, spread),
        loss=options.loss,
        adjustment=options.adjustment,
        accumulate=options.accumulate,
        precision=options.precision,
        spread=spread,
    )
    tests = open_tests(test, options, backbone, machine, frozen=frozen_tower, spread=spread)
    kept = [s for s in tests if trainee.takes_new_classes or s.images.classnames == names]
    return Plan(setting, recipe, draw, tuple(kept), template, backbone)


def _backbone(options: TuneOptions, machine: Machine, spread: Spread) -> tuple[Backbone, str]:
    templates = () if machine.template is None else (machine.template,)
    named, templates = toy_defaults(options.data, backbone=machine.backbone, templates=templates)
    backbone = open_backbone(
        named,
        pretrained=machine.pretrained,
        device=own_device(machine.device, spread),
        precision=options.precision,
        trust_backbone=machine.trust_backbone,
        seed=None,
        cache_dir=machine.cache,
    )
    if backbone is None:
        raise BackboneError(
            "tuning needs to know the backbone; name it: --backbone ViT-B-16 --pretrained openai, "
            "or --backbone PATH of a weight file or open_clip folder"
        )
    if not templates and options.method != "vpt":  # VPT is published with one prompt for all data
        templates = default_templates(options.data)
    return backbone, templates[0] if templates else DEFAULT_TEMPLATE


def _trainee(
    options: TuneOptions,
    backbone: Backbone,
    names: Sequence[str],
    template: str,
    learner: LearnerOptions,
) -> tuple[Trainee, Recipe]:
    if options.method not in METHODS:
        trainee = loaded_trainee(
            options.method, backbone, names, options=learner, template=template
        )
        return trainee, options.over(recipe_of(trainee.method, options.recipe))
    recipe = recipe_of(options.method, options.recipe, depth_limit=depth_limit(backbone))
    recipe = options.over(recipe)
    trainee = new_trainee(
        options.method, backbone, names, recipe=recipe, template=template, seed=options.seed
    )
    return trainee, recipe


def _inputs(
    trainee: Trainee,
    images: ImageSet,
    recipe: Recipe,
    options: TuneOptions,
    machine: Machine,
    spread: Spread,
    *,
    frozen: bool,
) -> FeatureInputs | PixelInputs:
    if not frozen:
        return pixel_inputs(trainee.backbone, images, views=recipe.views, seed=options.seed)
    return feature_inputs(
        trainee.backbone,
        images,
        views=recipe.views,
        seed=options.seed,
        epochs=recipe.epochs,
        workers=machine.workers or 0,
        cache=machine.cache,
        spread=spread,
    )


def _frozen(
    trainee: Trainee,
    images: ImageSet,
    template: str,
    options: TuneOptions,
    machine: Machine,
    recipe: Recipe,
    spread: Spread,
) -> Frozen:
    """What the terms in use want to know of the CLIP without prompts."""
    objective, method = options.objective(), trainee.method
    cpt = objective.regulariser == "cpt"
    text: Tensor | None = None
    if cpt or method in WITH_FROZEN_TEXT:
        rows = ZeroShot(trainee.backbone, (template,)).text_features(images.classnames)
        text = rows.clone().float()
    near = None
    if method in WITH_FROZEN_IMAGES:
        near = _inputs(trainee, images, recipe, options, machine, spread, frozen=True)
    clusters = anchor = None
    if cpt and text is not None:
        clusters = metrics.cpt_clusters(text, objective.cpt_clusters, seed=options.seed)
    if objective.anchor == "fixed":
        size, width = len(images.classnames), trainee.backbone.width
        device = trainee.backbone.device
        anchor = metrics.simplex_etf(size, width, seed=options.seed, device=device).float()
    return Frozen(text, near, clusters, anchor)


def _compile_towers(backbone: Backbone) -> None:
    """Compile the blocks' two-layer networks in place, most of a tower's work."""
    model: Any = backbone.model
    for block in model.transformer.resblocks:
        block.mlp.compile()
    for block in getattr(getattr(model.visual, "transformer", None), "resblocks", ()):
        block.mlp.compile()
