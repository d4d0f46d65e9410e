"""A training run and what changes while it goes on: optimiser, means, log, and the saved state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ncscope.tuning.evaluate import Pair, TestSplit
from ncscope.tuning.losses import epoch_weights
from ncscope.tuning.optimiser import new_optimiser, optimiser_tensors, restore_optimiser
from ncscope.tuning.recipe import Recipe
from ncscope.tuning.running import RunningMeans
from ncscope.tuning.state import NAME, State, check_same, read_state, write_state
from ncscope.tuning.step import Setting
from ncscope.tuning.trajectory import Trajectory
from ncscope.tuning.tuning_log import Log

Listener = Callable[[dict[str, Any]], object]


@dataclass(frozen=True, eq=False)
class Run:
    """What one training run is: its setting, its schedule, and where it is kept.

    `eval_every` steps the splits are evaluated, `log_every` steps the loss is logged with the
    gradient norm of each term; 0 is never. `before` are the splits' features before training,
    where they are known. `folder` None keeps nothing.
    """

    setting: Setting
    recipe: Recipe
    seed: int
    splits: Sequence[TestSplit] = ()
    before: Sequence[Pair] = ()
    sampler: str = "plain"
    eval_every: int = 0
    log_every: int = 10
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict)
    listener: Listener | None = None  # called with every event of the log
    resume: bool = False


class Ongoing:
    """What changes during a run, begun anew or taken up from its last state."""

    def __init__(self, run: Run) -> None:
        self.run, self.setting = run, run.setting
        self.leaves = self.setting.leaves
        self.optimiser = new_optimiser(run.recipe, self.leaves)
        backbone = self.setting.trainee.backbone
        self.running = RunningMeans(len(self.setting.classnames), backbone.width, backbone.device)
        averaged = self.setting.trainee.method == "promptsrc"
        self.weights = epoch_weights(run.recipe.epochs, *run.recipe.gpa) if averaged else None
        self.average = [torch.zeros_like(leaf) for leaf in self.leaves] if averaged else []
        self.epoch = self.step = 0
        self.features: Sequence[Pair] = ()  # of the splits, where evaluated since the last step
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
