"""The training loop: epochs of steps, evaluations on the way, a state after epochs.

A run follows from its configuration and seed alone: batches and views are drawn anew for every
epoch, so that one that is killed and goes on from its last state ends in the same weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncscope.errors import DataError, NcscopeError
from ncscope.features.processes import exchanged
from ncscope.tuning.evaluate import Pair, quick_measures, split_features
from ncscope.tuning.inputs import epoch_batches
from ncscope.tuning.log import Log
from ncscope.tuning.recipe import learning_rate
from ncscope.tuning.running import Trajectory
from ncscope.tuning.state import Ongoing, Run
from ncscope.tuning.state_file import LAST
from ncscope.tuning.step import begin_means, expect, step_gradients
from ncscope.tuning.tip_cache import MIXED, search

_SIGNS = ("out of memory", "can't allocate memory")  # a device's, and the CPU allocator's words
_RUN_AWAY = 1e6  # prompts are about 1; features of weights up to here are numbers still


@dataclass(frozen=True, eq=False)
class Trained:
    """What a finished run leaves beside the trained tensors.

    `features` are those of its splits in the end; empty where nothing was left to train.
    """

    log: Log
    trajectory: Trajectory
    epochs: int
    steps: int
    features: Sequence[Pair] = ()


def train(run: Run) -> Trained:
    """Train `run.setting.trainee` in place, to the end of its recipe.

    Raises:
        NcscopeError: training diverged; the last good state is kept.
        DataError: out of memory, with the knobs that help.
    """
    training = Ongoing(run)
    if training.step == 0:
        _evaluate(training, run.before)
    with enough_memory():
        if training.step == 0:
            begin_means(run.setting, training.npt, run.recipe.batch_size)
        while training.epoch < run.recipe.epochs:
            _one_epoch(training)
            training.epoch += 1
            if training.weights is not None:
                weight = training.weights[training.epoch - 1]
                for mean, leaf in zip(training.average, training.leaves, strict=True):
                    mean += weight * leaf.detach()
            training.save(last=training.epoch == run.recipe.epochs)
    expect(run.setting, [], run.recipe.epochs)  # nothing: who decodes may end
    if training.weights is not None:
        _take_average(training)
    if training.setting.validation is not None:
        _choose(training, *training.setting.validation)
    return Trained(
        training.log,
        training.trajectory,
        training.epoch,
        training.step,
        training.features,
    )


def _one_epoch(training: Ongoing) -> None:
    run, setting = training.run, training.setting
    lr = learning_rate(run.recipe, training.epoch)
    batches = epoch_batches(
        setting.inputs.labels,
        batch_size=run.recipe.batch_size,
        seed=run.seed,
        epoch=training.epoch,
        sampler=run.sampler,
        drop_last=run.recipe.drop_last,
    )
    total = len(batches) * run.recipe.epochs
    expect(setting, batches, training.epoch)
    for rows in batches:
        logged = run.log_every > 0 and training.step % run.log_every == 0
        gradients, values, norms = step_gradients(
            setting, rows, training.epoch, training.npt, by_term=logged
        )
        if logged:
            _log_step(training, values, norms, lr=lr, total=total)
        training.optimiser.step(gradients, lr)
        training.features = ()  # those of other weights
        training.step += 1
        last = training.step == total
        if last or (run.eval_every and training.step % run.eval_every == 0):
            _check_finite(training)  # measures refuse what is no number
            _evaluate(training)
    _check_finite(training)


def _log_step(
    training: Ongoing,
    values: dict[str, Tensor],
    norms: dict[str, Tensor],
    *,
    lr: float,
    total: int,
) -> None:
    found = torch.stack([value.detach() for value in (*values.values(), *norms.values())])
    read = iter(found.tolist())  # at once: each number read by itself is a wait for the device
    numbers = {name: next(read) for name in values}
    training.emit(
        {
            "event": "step",
            "epoch": training.epoch,
            "step": training.step,
            "steps": total,
            **numbers,
            "grad": {name: next(read) for name in norms},
            "lr": lr,
        }
    )


def _evaluate(training: Ongoing, known: Sequence[Pair] = ()) -> None:
    """Accuracy and measures on every split, and the class positions for the trajectory."""
    splits = training.run.splits
    if not splits:
        return
    learner, spread = training.setting.trainee.learner(), training.setting.spread
    training.features = known or [split_features(learner, split, spread=spread) for split in splits]
    found: list[dict[str, Any] | None] = []
    for place, (split, (image, text)) in enumerate(zip(splits, training.features, strict=True)):
        own = place % spread.world == spread.rank  # each process measures its splits
        found.append(None if not own else quick_measures(
            image, split.labels, text, learner.logit_scale,
            0.0 if learner.extra_logits is None else learner.extra_logits(image),
        ))  # fmt: skip
        if split.images.classnames == training.setting.classnames:
            training.trajectory.add(training.step, image, split.labels, text)
    every = exchanged(found, spread)
    event: dict[str, Any] = {"event": "eval", "epoch": training.epoch, "step": training.step}
    event |= {split.name: every[i % spread.world][i] for i, split in enumerate(splits)}
    training.emit(event)


def _check_finite(training: Ongoing) -> None:
    """A state of an epoch before is on disk."""
    folder, done = training.run.folder, training.kept
    kept = f"; {folder / LAST} holds the state after epoch {done}" if folder and done else ""
    check_finite(training.leaves, training.epoch + 1, kept=kept)


def check_finite(leaves: Sequence[Tensor], epoch: int, *, kept: str = "") -> None:
    """Stop where weights ran away or are no numbers.

    Raises:
        NcscopeError: they did, with the epoch, from 1 on, and what was `kept`.
    """
    if not bool(torch.stack([(leaf.abs() < _RUN_AWAY).all() for leaf in leaves]).all()):
        raise NcscopeError(
            f"training diverged in epoch {epoch}: the weights are beyond {_RUN_AWAY:.0e} or no "
            f"numbers any more{kept}; lower --lr or the terms' weights"
        )


def _take_average(training: Ongoing) -> None:
    """PromptSRC's result: the Gaussian average of the states after all epochs."""
    with torch.no_grad():
        for leaf, mean in zip(training.leaves, training.average, strict=True):
            leaf.copy_(mean)
    _evaluate(training)


def _choose(training: Ongoing, image: Tensor, labels: Tensor) -> None:
    """Tip-Adapter-F's alpha and beta, which validation images choose after training."""
    setting = training.setting
    learner = setting.trainee.learner()
    text = learner.encode_names(list(setting.classnames))
    found = search(learner, image, labels, text)
    setting.trainee.fixed[MIXED].copy_(torch.tensor(found))
    _evaluate(training)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn what torch raises without memory into a refusal.

    Raises:
        DataError: out of memory, with the options that help.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch's own error for devices is a RuntimeError
        words = str(error)
        short = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not short and not any(sign in words for sign in _SIGNS):
            raise
        raise DataError(
            "out of memory in training; give a smaller --batch-size or a larger --accumulate, or "
            "on CUDA --precision bf16"
        ) from None
