"""From the options of a tuning run to its data, its learner and its schedule."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.clip.backbone import Backbone, choose_device
from ncscope.clip.prompts import DEFAULT_TEMPLATE
from ncscope.data.draw import Draw
from ncscope.data.images import ImageSet
from ncscope.errors import BackboneError
from ncscope.features.parts import holds_features, read_parts
from ncscope.features.processes import Spread, own_device
from ncscope.features.sources import (
    default_templates,
    is_toy,
    name_of_data,
    open_backbone,
    toy_defaults,
)
from ncscope.features.space import AS_NAMED, FeatureSpace, feature_space
from ncscope.tuning.data import Machine, Parts, draw_and_test, open_tests
from ncscope.tuning.evaluate import TestSplit
from ncscope.tuning.initial import depth_limit
from ncscope.tuning.inputs import FeatureInputs, feature_inputs
from ncscope.tuning.losses import WITH_FROZEN_IMAGES, WITH_FROZEN_TEXT
from ncscope.tuning.objective import cluster_notes
from ncscope.tuning.on_features import check_kind, validation_of
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.pixels import PixelInputs, pixel_inputs
from ncscope.tuning.recipe import (
    ALL_METHODS,
    METHODS,
    ONLY_ON_FEATURES,
    RECIPES,
    TEXT_FIXED,
    WEIGHED_BY,
    Taken,
    check_applies,
    taken,
)
from ncscope.tuning.step import Frozen, Setting
from ncscope.tuning.trainee import Trainee, loaded_trainee, new_head, new_trainee
from ncscope.tuning.values import Recipe
from ncscope.tuning.wording import Wording, frozen_text, wording_of
from ncscope.zoo.settings import LearnerOptions

_BY_DATA = ("kgcoop", "prograd", "tcp", "taskres", "clip-adapter")  # frozen prompts by data set


@dataclass(frozen=True, eq=False)
class Plan:
    """A run that is ready to be trained.

    `recipe_name` is the recipe's own name, `notes` what is to be said of it.
    """

    setting: Setting
    recipe: Recipe
    draw: Draw
    splits: tuple[TestSplit, ...]
    template: str
    backbone: Backbone
    recipe_name: str = "toy"
    notes: tuple[str, ...] = ()


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
    stored = read_parts(options.data) if holds_features(options.data) and not given else None
    check_kind(options, machine, on_features=stored is not None, spread=spread)
    draw, test = draw_and_test(options, (given or {}) if stored is None else stored.parts)
    names = draw.images.classnames
    if stored is None:
        backbone, template = _backbone(options, machine, spread)
    else:
        place = choose_device(own_device(machine.device, spread))
        backbone, template = feature_space(options.data, stored, device=place), AS_NAMED
    found = _Found(options, machine, draw, backbone, template)
    trainee, recipe, wording, known = found.trainee(learner)
    frozen_tower = trainee.learner().from_backbone is not None
    inputs = _inputs(trainee, draw.images, recipe, options, machine, spread, frozen=frozen_tower)
    if machine.compiled:
        compile_towers(backbone)
    validation, chosen = None, ()
    if options.method == "tip-adapter-f" and stored is not None:
        validation, chosen = validation_of(options, stored, backbone.device)
    setting = Setting(
        trainee=trainee,
        inputs=inputs,
        objective=options.objective(),
        counts=torch.tensor(draw.counts, device=backbone.device),
        classnames=names,
        frozen=_frozen(trainee, draw.images, wording, options, machine, recipe, spread),
        loss=options.loss,
        adjustment=options.adjustment,
        accumulate=options.accumulate,
        precision=options.precision,
        spread=spread,
        validation=validation,
    )
    tests = open_tests(test, options, backbone, machine, frozen=frozen_tower, spread=spread)
    kept = [s for s in tests if trainee.takes_new_classes or s.images.classnames == names]
    notes = (*known.notes, *_own_notes(options, machine, recipe, draw, known))
    if setting.frozen.clusters is not None:
        notes = (*notes, *cluster_notes(setting.frozen.clusters, options.cpt_clusters))
    if stored is not None:
        notes = (*backbone.description["warnings"], *chosen, *notes)
    return Plan(setting, recipe, draw, tuple(kept), template, backbone, known.name, notes)


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


@dataclass(frozen=True, eq=False)
class _Found:
    """What is open already, from which the trainee is made."""

    options: TuneOptions
    machine: Machine
    draw: Draw
    backbone: Backbone
    template: str

    def trainee(self, learner: LearnerOptions) -> tuple[Trainee, Recipe, Wording, Taken]:
        """The trainee, its recipe, what its authors write, and the published recipe taken."""
        options, backbone, names = self.options, self.backbone, self.draw.images.classnames
        if options.method not in ALL_METHODS:
            trainee = loaded_trainee(
                options.method, backbone, names, options=learner, template=self.template
            )
            check_applies(trainee.method, {name: getattr(options, name) for name in WEIGHED_BY})
            known, wording = self._taken(trainee.method), self._wording(trainee.method)
            recipe = options.over(known.recipe)
            return replace(trainee, recipe=recipe), recipe, wording, known
        method = options.method
        known, wording = self._taken(method), self._wording(method)
        recipe = known.recipe
        if isinstance(backbone, FeatureSpace):
            recipe = replace(recipe, views=1)
        if method in ONLY_ON_FEATURES:
            recipe = options.over(recipe)
            head = new_head(method, backbone, self.draw.images, recipe=recipe, seed=options.seed)
            return head, recipe, wording, known
        if recipe.ctx_pad and wording.init is not None:
            recipe = replace(recipe, ctx_init=wording.init)
        recipe = options.over(recipe)
        trainee = new_trainee(
            method, backbone, names,
            recipe=recipe, template=self.template, wording=wording, seed=options.seed,
        )  # fmt: skip
        return trainee, recipe, wording, known

    def _taken(self, method: str) -> Taken:
        options = self.options
        towers = options.method in METHODS and not isinstance(self.backbone, FeatureSpace)
        limit = depth_limit(self.backbone) if towers else None
        return taken(
            method, options.recipe,
            data_name=name_of_data(options.data), shots=self.draw.shots, depth_limit=limit,
        )  # fmt: skip

    def _wording(self, method: str) -> Wording:
        options = self.options
        own = self.template == AS_NAMED or self.machine.template is not None
        own = own or is_toy(options.data) or options.recipe == "toy"
        return wording_of(
            method, data_name=name_of_data(options.data), template=self.template, given=own
        )


def _own_notes(
    options: TuneOptions, machine: Machine, recipe: Recipe, draw: Draw, known: Taken
) -> list[str]:
    """What of a run is not its authors', though its recipe is."""
    notes = []
    if options.method in TEXT_FIXED and options.regulariser == "cpt":
        notes.append(
            f"{options.method} trains no text, of which L_TETF and L_RS of cpt are: "
            f"only L_CC moves anything"
        )
    if known.name == "toy":
        return notes
    if machine.template is not None:
        notes.append(f"--template {machine.template!r} is taken for the authors' frozen prompts")
    elif holds_features(options.data):
        if known.recipe.views != 1:
            notes.append(
                "features are of one view of each image; the authors crop anew in every epoch"
            )
    elif name_of_data(options.data) is None and options.method in _BY_DATA:
        notes.append(
            f"{draw.images.name} is no data set that {options.method}'s authors have prompts for: "
            f"{DEFAULT_TEMPLATE!r} is taken; --template says otherwise"
        )
    if recipe.csc and recipe.words:
        notes.append(
            "every class has its own copy of the initial words; the authors' code takes one "
            "context for all classes where words are given. --ctx-init '' draws it at random"
        )
    if options.split == "all" and known.name.endswith("-b2n"):
        name = known.name.removesuffix("b2n") + "fewshot"
        other = f"; {name} is for few shots of all classes" if name in RECIPES else ""
        notes.append(f"recipe {known.name} is for base-to-new, and --split is all{other}")
    return notes


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
        return pixel_inputs(
            trainee.backbone,
            images,
            views=recipe.views,
            seed=options.seed,
            workers=machine.workers,
            beside=spread.beside,
        )
    return feature_inputs(
        trainee.backbone,
        images,
        views=recipe.views,
        seed=options.seed,
        epochs=recipe.epochs,
        workers=machine.workers,
        cache=machine.cache,
        spread=spread,
    )


def _frozen(
    trainee: Trainee,
    images: ImageSet,
    wording: Wording,
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
        text = frozen_text(trainee.backbone, images.classnames, wording)
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


def compile_towers(backbone: Backbone) -> None:
    """Compile the blocks' two-layer networks in place, most of a tower's work.

    With buffers that a second backward pass finds again: terms may have gradients of their own.
    """
    import torch._functorch.config as functorch  # with the compiler, as slow to import as torch

    functorch.donated_buffer = False  # pyright: ignore[reportAttributeAccessIssue]
    model: Any = backbone.model
    for block in model.transformer.resblocks:
        block.mlp.compile()
    for block in getattr(getattr(model.visual, "transformer", None), "resblocks", ()):
        block.mlp.compile()
