"""A training run, what changes while it goes on, and its state in one file, complete or absent.

A file holds the trained tensors, the optimiser's, running means, PromptSRC's average, and which
configuration they belong to. Reading runs no code: safetensors and JSON.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from safetensors import deserialize
from safetensors.torch import load, save, save_file
from torch import Tensor

from ncscope.errors import CheckpointError
from ncscope.tuning.evaluate import Pair, TestSplit
from ncscope.tuning.extend import KEY, average_factor, check_longer
from ncscope.tuning.log import Log
from ncscope.tuning.losses import epoch_weights
from ncscope.tuning.optimiser import Optimiser
from ncscope.tuning.recipe import Recipe
from ncscope.tuning.running import Trajectory
from ncscope.tuning.state_file import (
    DAMAGE,
    LAST,
    digest,
    is_whole,
    keep_before,
    kept_states,
    read_whole,
)
from ncscope.tuning.step import Setting, new_loss
from ncscope.writing import replacing

Listener = Callable[[dict[str, Any]], object]
_FORMAT = "ncscope tuning state 2"
_BEFORE = ("ncscope tuning state 1",)  # whose centred terms and parts of a batch were others
_SHARE = 0.05  # of a run's time that its states may take
_MAY_CHANGE = ("data", "processes", KEY)  # of a configuration, in a run that goes on


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
    extend: bool = False  # resumed, for more epochs than it was begun for


class Ongoing:
    """What changes during a run, begun anew or taken up from its last state."""

    def __init__(self, run: Run) -> None:
        self.run, self.setting = run, run.setting
        self.leaves = self.setting.leaves
        self.optimiser = Optimiser(run.recipe, self.leaves)
        self.npt = new_loss(self.setting)
        averaged = self.setting.trainee.method == "promptsrc"
        self.weights = epoch_weights(run.recipe.epochs, *run.recipe.gpa) if averaged else None
        self.average = [torch.zeros_like(leaf) for leaf in self.leaves] if averaged else []
        self.epoch = self.step = 0
        self.kept = 0  # epochs that are done in the state on disk
        self._written, self._cost = monotonic(), 0.0  # when that was, and the seconds it took
        self.features: Sequence[Pair] = ()  # of the splits, where evaluated since the last step
        self.trajectory = Trajectory(self.setting.classnames)
        self.log = self._opened()

    def _opened(self) -> Log:
        """The log; with it, the state of a run that goes on."""
        folder = self.run.folder
        state = None
        if self.run.resume and folder is not None:
            state = check_resumable(folder, self.run.config, extend=self.run.extend)
        if state is not None:
            try:
                self._restore(state)
            except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
                raise CheckpointError(
                    f"{state.path}: its tensors are not those of this run "
                    f"({type(error).__name__}); remove it to begin again"
                ) from None
        if folder is None or not self.setting.spread.first:
            return Log(None)
        return Log(folder / "log.jsonl", keep_bytes=None if state is None else state.log_bytes)

    def _restore(self, state: "State") -> None:
        for key, leaf in self.setting.trainee.trained.items():
            with torch.no_grad():
                leaf.copy_(state.tensors[f"trained.{key}"])
        self.optimiser.restore(state.tensors)
        npt = {k.removeprefix("npt."): v for k, v in state.tensors.items() if k.startswith("npt.")}
        if npt:
            self.npt.load_state_dict(npt)
        self.trajectory.restore(state.tensors)
        if self.weights is not None:
            before = int(state.config.get("epochs", self.run.recipe.epochs))
            factor = 1.0
            if before != self.run.recipe.epochs:
                factor = average_factor(before, self.run.recipe)
            self.average = [
                factor * state.tensors[f"average.{i}"].to(leaf.device)
                for i, leaf in enumerate(self.leaves)
            ]
        self.epoch, self.step = state.epoch, state.step
        self.kept = state.epoch

    def save(self, *, last: bool) -> None:
        """Write the state, from the first process only; nothing where that took the last time more
        than its share of the time since, unless it is the `last` one."""
        folder, now = self.run.folder, monotonic()
        if folder is None or not self.setting.spread.first:
            return
        if not last and self._cost > _SHARE * (now - self._written):
            return
        trained = {f"trained.{k}": v for k, v in self.setting.trainee.trained.items()}
        average = {f"average.{i}": value for i, value in enumerate(self.average)}
        tensors = {
            **trained,
            **self.optimiser.tensors(),
            **{f"npt.{k}": v for k, v in self.npt.state_dict().items() if len(v)},
            **self.trajectory.tensors(),
            **average,
        }
        state = State(self.epoch, tensors, self.run.config, self.log.size, self.step)
        write_state(state, folder / LAST)
        self.kept, self._written = self.epoch, monotonic()
        self._cost = self._written - now

    def emit(self, event: dict[str, Any]) -> None:
        """Log an event and tell the listener."""
        if self.setting.spread.first:
            self.log.write(event)
            if self.run.listener is not None:
                self.run.listener(event)


@dataclass(frozen=True, eq=False)
class State:
    """`epoch` epochs are done; `config` is the run's own, `log_bytes` the length of its log.

    `note` says of a state that it is not the last one, and why.
    """

    epoch: int
    tensors: dict[str, Tensor]
    config: dict[str, Any]
    log_bytes: int = 0
    step: int = 0
    path: Path | None = None
    note: str | None = None


def write_state(state: State, path: Path) -> None:
    """Write under a temporary name and rename, so that a kill leaves the old state or the new.

    What stood there is kept as the state before.
    """
    known = {
        "epoch": state.epoch,
        "step": state.step,
        "config": state.config,
        "log_bytes": state.log_bytes,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    words = {"format": _FORMAT, "state": json.dumps(known)}
    words["sha256"] = digest(deserialize(save(tensors)), words["state"])
    with replacing(path) as temporary:
        save_file(tensors, temporary, words)
        keep_before(path)


def read_state(path: Path) -> State:
    """Read a state.

    Raises:
        CheckpointError: damaged, of an earlier version, or no state at all.
    """
    try:
        data, metadata = read_whole(path)
        tensors = load(data)
        known = json.loads(metadata["state"]) if metadata.get("format") == _FORMAT else None
        if known is not None:
            epoch, step, log_bytes = (_count(known, key) for key in ("epoch", "step", "log_bytes"))
            return State(epoch, tensors, dict(known["config"]), log_bytes, step, path)
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: damaged ({type(error).__name__}); remove it to begin again"
        ) from None
    if metadata.get("format") in _BEFORE:
        raise CheckpointError(
            f"{path}: a state of an earlier version of ncscope, whose terms were computed "
            f"otherwise; expected {_FORMAT!r}; finish the run with that version, or remove the "
            f"file to begin again"
        )
    raise CheckpointError(f"{path}: no state of a tuning run; remove it to begin again")


def _count(known: dict[str, Any], key: str) -> int:
    """A count of epochs, steps or bytes: whole, from 0, and within 64 bits."""
    value = known[key]
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"`{key}` is no count")
    return value


def check_resumable(
    folder: Path, config: dict[str, Any], *, extend: bool = False
) -> "State | None":
    """The state of the run in a folder, if there is one; refuse another configuration than its own.

    The one before it, with a note, where the last is damaged or missing.

    Raises:
        CheckpointError: names what differs, or no state can be read.
    """
    paths = kept_states(folder)
    if not paths:
        return None
    try:
        state, why = read_state(paths[0]), "missing"
    except CheckpointError as error:
        if len(paths) < 2 or not is_whole(paths[1]) or is_whole(paths[0]):
            raise
        state, why = read_state(paths[1]), str(error).removeprefix(f"{paths[0]}: ").split(";")[0]
    check_same(state, config, state.path or paths[0], extend=extend)
    if state.path == folder / LAST:
        return state
    note = (
        f"{folder / LAST}: {why}; the run goes on from the state before it, after epoch "
        f"{state.epoch}"
    )
    return replace(state, note=note)


def check_same(state: State, config: dict[str, Any], path: Path, *, extend: bool = False) -> None:
    """Refuse to go on with a run of another configuration.

    Where the data lie and how many processes train may have changed: `images`, the digest of the
    training images, says whether they are the same, and the result does not depend on the number.

    Args:
        extend: more epochs than the run was begun for are wanted.

    Raises:
        CheckpointError: names what differs.
    """
    wanted = json.loads(json.dumps(config))
    keys = dict.fromkeys([*wanted, *state.config])  # options first, what follows from them last
    allowed = (*_MAY_CHANGE, "epochs") if extend else _MAY_CHANGE
    other = [k for k in keys if k not in allowed and wanted.get(k) != state.config.get(k)]
    if extend and not other and wanted.get("epochs") != state.config.get("epochs"):
        check_longer(state.config, wanted, path)
    if other:
        key = other[0]
        how = "resume with the same options, or give another --out"
        if other == ["epochs"]:
            how += ", or --extend to train a run for more epochs than it was begun for"
        raise CheckpointError(
            f"{path}: the run there has {key} = {state.config.get(key)!r}, now it is "
            f"{wanted.get(key)!r}; {how}"
        )
