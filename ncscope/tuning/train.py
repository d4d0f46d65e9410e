"""The training loop: epochs of steps, evaluations on the way, a state after every epoch.

A run follows from its configuration and seed alone: batches and views are drawn anew for every
epoch, so that one that is killed and goes on from its last state ends in the same weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.errors import DataError, NcscopeError
from ncscope.tuning.batches import epoch_batches
from ncscope.tuning.evaluate import TestSplit, quick_measures, split_features
from ncscope.tuning.log import Log
from ncscope.tuning.optimiser import (
    new_optimiser,
    optimiser_tensors,
    restore_optimiser,
    take_step,
)
from ncscope.tuning.own_losses import epoch_weights
from ncscope.tuning.recipe import Recipe, learning_rate
from ncscope.tuning.running import RunningMeans
from ncscope.tuning.state import NAME, State, check_same, read_state, write_state
from ncscope.tuning.step import Setting, step_gradients
from ncscope.tuning.trajectory import Trajectory

Listener = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, eq=False)
class Run:
    """What one training run is: its setting, its schedule, and where it is kept.

    `eval_every` steps the splits are evaluated, `log_every` steps the loss is logged with the
    gradient norm of each term; 0 is never. `folder` None keeps nothing.
    """

    setting: Setting
    recipe: Recipe
    seed: int
    splits: Sequence[TestSplit] = ()
    sampler: str = "plain"
    eval_every: int = 0
    log_every: int = 10
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)
    listener: Listener | None = None  # called with every event of the log
    resume: bool = False


class _Training:
    """What changes during a run."""

    def __init__(self, run: Run) -> None:
        self.run, self.setting = run, run.setting
        self.leaves = self.setting.leaves
        self.optimiser = new_optimiser(run.recipe, self.leaves)
        backbone = self.setting.trainee.backbone
        self.running = RunningMeans(len(self.setting.classnames), backbone.width, backbone.device)
        averaged = self.setting.trainee.method == "promptsrc"
        self.weights = epoch_weights(run.recipe.epochs) if averaged else None
        self.average = [torch.zeros_like(leaf) for leaf in self.leaves] if averaged else []
        self.epoch = self.step = 0
        self.trajectory = Trajectory(self.setting.classnames)
        self.log = self._opened()

    def _opened(self) -> Log:
        """The log; with it, the state of a run that goes on."""
        folder = self.run.folder
        path = None if folder is None else folder / NAME
        state = None
        if self.run.resume and path is not None and path.exists():
            state = read_state(path)
            check_same(state, self.run.config, path)
            self._restore(state)
        if folder is None or not self.setting.spread.first:
            return Log(None)
        return Log(folder / "log.jsonl", keep_bytes=None if state is None else state.log_bytes)

    def _restore(self, state: State) -> None:
        for key, leaf in self.setting.trainee.trained.items():
            with torch.no_grad():
                leaf.copy_(state.tensors[f"trained.{key}"])
        restore_optimiser(self.optimiser, state.tensors)
        self.running.restore(state.tensors)
        self.trajectory.restore(state.tensors)
        if self.weights is not None:
            self.average = [
                state.tensors[f"average.{i}"].to(leaf.device) for i, leaf in enumerate(self.leaves)
            ]
        self.epoch, self.step = state.epoch, state.step

    def save(self) -> None:
        """Write the state, from the first process only."""
        folder = self.run.folder
        if folder is None or not self.setting.spread.first:
            return
        trained = {f"trained.{k}": v for k, v in self.setting.trainee.trained.items()}
        average = {f"average.{i}": value for i, value in enumerate(self.average)}
        tensors = {
            **trained,
            **optimiser_tensors(self.optimiser),
            **self.running.tensors(),
            **self.trajectory.tensors(),
            **average,
        }
        state = State(self.epoch, tensors, self.run.config, self.log.size, self.step)
        write_state(state, folder / NAME)

    def emit(self, event: dict[str, Any]) -> None:
        """Log an event and tell the listener."""
        if self.setting.spread.first:
            self.log.write(event)
            if self.run.listener is not None:
                self.run.listener(event)


@dataclass(frozen=True, eq=False)
class Trained:
    """What a finished run leaves beside the trained tensors."""

    log: Log
    trajectory: Trajectory
    epochs: int
    steps: int


def train(run: Run) -> Trained:
    """Train `run.setting.trainee` in place, to the end of its recipe.

    Raises:
        NcscopeError: the loss is no number any more; the last good state is kept.
        DataError: out of memory, with the knobs that help.
    """
    training = _Training(run)
    if training.step == 0:
        _evaluate(training)
    try:
        while training.epoch < run.recipe.epochs:
            _one_epoch(training)
            training.epoch += 1
            if training.weights is not None:
                weight = training.weights[training.epoch - 1]
                for mean, leaf in zip(training.average, training.leaves, strict=True):
                    mean += weight * leaf.detach()
            training.save()
    except torch.OutOfMemoryError:
        raise DataError(
            "out of memory in training; give a smaller --batch-size or a larger --accumulate, or "
            "--precision bf16"
        ) from None
    if training.weights is not None:
        _take_average(training)
    return Trained(training.log, training.trajectory, training.epoch, training.step)


def _one_epoch(training: _Training) -> None:
    run, setting = training.run, training.setting
    lr = learning_rate(run.recipe, training.epoch)
    batches = epoch_batches(
        setting.inputs.labels,
        batch_size=run.recipe.batch_size,
        seed=run.seed,
        epoch=training.epoch,
        sampler=run.sampler,
    )
    total = len(batches) * run.recipe.epochs
    for rows in batches:
        logged = run.log_every > 0 and training.step % run.log_every == 0
        gradients, values, norms = step_gradients(
            setting, rows, training.epoch, training.running, by_term=logged
        )
        if logged:
            _log_step(training, values, norms, lr=lr, total=total)
        take_step(training.optimiser, training.leaves, gradients, lr)
        training.step += 1
        last = training.step == total
        if last or (run.eval_every and training.step % run.eval_every == 0):
            _evaluate(training)
    _check_finite(training)


def _log_step(
    training: _Training,
    values: dict[str, Tensor],
    norms: dict[str, Tensor],
    *,
    lr: float,
    total: int,
) -> None:
    numbers = {name: float(value) for name, value in values.items()}
    training.emit(
        {
            "event": "step",
            "epoch": training.epoch,
            "step": training.step,
            "steps": total,
            **numbers,
            "grad": {name: float(norm) for name, norm in norms.items()},
            "lr": lr,
        }
    )


def _evaluate(training: _Training) -> None:
    """Accuracy and measures on every split, and the class positions for the trajectory."""
    if not training.run.splits:
        return
    learner = training.setting.trainee.learner()
    event: dict[str, Any] = {"event": "eval", "epoch": training.epoch, "step": training.step}
    for split in training.run.splits:
        image, text = split_features(learner, split)
        event[split.name] = quick_measures(image, split.labels, text, learner.logit_scale)
        if split.images.classnames == training.setting.classnames:
            training.trajectory.add(training.step, image, split.labels, text)
    training.emit(event)


def _check_finite(training: _Training) -> None:
    """Stop where weights are no numbers any more; the state of the epoch before is on disk."""
    if all(bool(torch.isfinite(leaf).all()) for leaf in training.leaves):
        return
    folder, done = training.run.folder, training.epoch
    kept = f"; {folder / NAME} holds the state after epoch {done}" if folder and done else ""
    raise NcscopeError(
        f"training diverged in epoch {done + 1}: the weights are no numbers any more{kept}; lower "
        f"--lr or the terms' weights"
    )


def _take_average(training: _Training) -> None:
    """PromptSRC's result: the Gaussian average of the states after all epochs."""
    with torch.no_grad():
        for leaf, mean in zip(training.leaves, training.average, strict=True):
            leaf.copy_(mean)
    _evaluate(training)
