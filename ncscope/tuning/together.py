"""Many runs of one text prompt at once: R contexts and K classes are R x K sequences of one pass.

n context tokens, W token width, D embedding width. For studies: seeds, weights and imbalance on one
task and one frozen model. Every run has its own loss and gradient, and ends where it would have
ended alone, up to rounding.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import DataError
from ncscope.features.processes import ALONE
from ncscope.tuning.data import Machine
from ncscope.tuning.inputs import epoch_batches
from ncscope.tuning.lock import sole_owner
from ncscope.tuning.log import Log
from ncscope.tuning.npt import NPTLoss
from ncscope.tuning.optimiser import Optimiser
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.plan import Plan, make_plan
from ncscope.tuning.recipe import JOINED, MOST_JOINED, learning_rate
from ncscope.tuning.run import Tuned, finish, start
from ncscope.tuning.running import Trajectory
from ncscope.tuning.state import Run
from ncscope.tuning.step import loss_terms, new_loss
from ncscope.tuning.train import Trained, check_finite, train
from ncscope.writing import make_folder
from ncscope.zoo.learners.parts import class_source
from ncscope.zoo.settings import LearnerOptions


def tune_together(
    chosen: Sequence[TuneOptions],
    folders: Sequence[Path | None],
    machine: Machine,
    *,
    targets: Sequence[str] = (),
) -> list[Tuned]:
    """Run all; each writes its own folder, as if `tune` had been called for it.

    Runs that can be joined must have one recipe and one class list; those of several tasks are
    called for task by task.
    """
    with contextlib.ExitStack() as held:
        for folder in folders:
            if folder is not None:
                held.enter_context(sole_owner(folder))
        return _together(chosen, folders, machine, targets)


def _together(
    chosen: Sequence[TuneOptions],
    folders: Sequence[Path | None],
    machine: Machine,
    targets: Sequence[str],
) -> list[Tuned]:
    plans = [
        make_plan(options, machine, spread=ALONE, learner=LearnerOptions()) for options in chosen
    ]
    for folder in folders:
        if folder is not None:
            make_folder(folder)
    started = [
        start(options, plan, machine, targets=targets, folder=folder)
        for options, plan, folder in zip(chosen, plans, folders, strict=True)
    ]
    runs = [one.run(evaluated=False) for one in started]
    joined = [i for i, run in enumerate(runs) if _can_join(run)]
    done: dict[int, Tuned] = {}
    for group in _groups(joined, plans):
        trained = train_together([runs[i] for i in group])
        for i, result in zip(group, trained, strict=True):
            done[i] = finish(started[i], result, sharing=len(group))
    for i, run in enumerate(runs):
        if i not in done:
            done[i] = finish(started[i], train(run))
    return [done[i] for i in range(len(runs))]


def _groups(joined: Sequence[int], plans: Sequence[Plan]) -> list[list[int]]:
    """Runs of one recipe, method and class list, at most `MOST_JOINED` at once."""
    groups: dict[object, list[int]] = {}
    for i in joined:
        plan = plans[i]
        key = (plan.setting.trainee.method, plan.recipe, plan.setting.classnames)
        groups.setdefault(key, []).append(i)
    return [
        group[j : j + MOST_JOINED]
        for group in groups.values()
        for j in range(0, len(group), MOST_JOINED)
    ]


def train_together(runs: Sequence[Run]) -> list[Trained]:
    """Train the trainees of all runs in place.

    Raises:
        DataError: runs that cannot be joined: other classes, recipes or methods, or batches.
        NcscopeError: a run diverged.
    """
    _check(runs)
    first = runs[0]
    trainee, recipe = first.setting.trainee, first.recipe
    stacked = torch.stack([run.setting.leaves[0].detach() for run in runs]).requires_grad_()
    source = class_source(
        {},
        trainee.backbone,
        trainee.settings,
        num_context=stacked.shape[1],
        dtype=stacked.dtype,
    )
    tokens = source(list(first.setting.classnames))
    tower = text_tower(trainee.backbone.model)
    optimiser = Optimiser(recipe, [stacked])
    losses = [new_loss(run.setting) for run in runs]
    for epoch in range(recipe.epochs):
        text = encode_prompts(tower, with_context(tokens, stacked))  # (R, K, D)
        total = torch.stack(
            [_loss(run, text[i], epoch, losses[i]) for i, run in enumerate(runs)]
        ).sum()
        gradients = list(torch.autograd.grad(total, [stacked]))
        optimiser.step(gradients, learning_rate(recipe, epoch))
        check_finite([stacked], epoch + 1)
    with torch.no_grad():
        for run, context in zip(runs, stacked, strict=True):
            run.setting.leaves[0].copy_(context)
    return [
        Trained(Log(None), Trajectory(run.setting.classnames), recipe.epochs, recipe.epochs)
        for run in runs
    ]


def _loss(run: Run, text: Tensor, epoch: int, npt: NPTLoss) -> Tensor:
    """The whole objective of one run, of its (K, D) text features."""
    setting = run.setting
    (rows,) = epoch_batches(setting.inputs.labels, batch_size=0, seed=run.seed, epoch=epoch)
    image = setting.inputs.batch(rows, epoch).float()
    scale = setting.trainee.backbone.logit_scale
    terms = loss_terms(setting, image, setting.inputs.labels, text.float(), scale=scale, npt=npt)
    return torch.stack([weight * value for weight, value in terms.values()]).sum()


def _check(runs: Sequence[Run]) -> None:
    if not runs:
        raise DataError("no runs to train together")
    first = runs[0]
    for run in runs:
        same = (
            run.recipe == first.recipe
            and run.setting.classnames == first.setting.classnames
            and run.setting.trainee.method == first.setting.trainee.method
            and run.setting.trainee.backbone.digest == first.setting.trainee.backbone.digest
        )
        if not (same and _can_join(run)):
            raise DataError(
                f"the run {run.setting.trainee.method} with {len(run.setting.classnames)} classes "
                f"cannot be trained together with {first.setting.trainee.method} with "
                f"{len(first.setting.classnames)}; expected one method, recipe and class list, a "
                f"context before the name, and all images at every step"
            )


def _can_join(run: Run) -> bool:
    """Whether a run can be one of many: one shared context before the name, all images a step."""
    setting, recipe = run.setting, run.recipe
    return (
        setting.trainee.method in JOINED
        and not recipe.csc
        and recipe.class_token_position == "end"
        and recipe.batch_size == 0
        and run.sampler == "plain"
        and not setting.objective.relative_weights
        and setting.accumulate == 1
        and setting.spread.world == 1
    )
