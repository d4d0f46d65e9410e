"""One tuning run from its plan to its files: measured before, trained, measured after, written."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.features.bundle import Features, write_features
from ncscope.features.processes import require_same
from ncscope.features.sources import name_of_data
from ncscope.features.space import FeatureSpace
from ncscope.page.report import Report
from ncscope.tuning.data import Machine, target_splits
from ncscope.tuning.evaluate import TestSplit
from ncscope.tuning.extend import KEY, history, said
from ncscope.tuning.options import TuneOptions, config_of
from ncscope.tuning.plan import Plan
from ncscope.tuning.record import Measured, data_warnings, measure_splits, tune_record
from ncscope.tuning.save import write_checkpoint, write_dassl_log
from ncscope.tuning.state import Listener, Run, check_resumable
from ncscope.tuning.train import Trained
from ncscope.tuning.trainee import PUBLISHED
from ncscope.writing import write_text
from ncscope.zoo.learners.learner import Learner


@dataclass(frozen=True, eq=False)
class Tuned:
    """A finished run.

    `record` is the `tune` part of metrics.json, `events` the log, `report` the runs measured after
    (and then before) training, `features` those after it by data set and split.
    """

    learner: Learner
    record: dict[str, Any]
    config: dict[str, Any]
    events: list[dict[str, Any]]
    report: Report
    folder: Path | None
    first: bool = True  # of several processes, the one that writes
    warnings: tuple[str, ...] = ()  # what the training and test images' readers said

    @property
    def accuracy(self) -> dict[str, float | None]:
        """Fractions: base, new and their harmonic mean h; all where training had all classes."""
        return self.record["accuracy"]

    @property
    def features(self) -> dict[str, Features]:
        """By `DATA base` and so on."""
        return {
            f"{run.record['data']} {run.record['split']}": run.features
            for run in self.report.runs
            if run.record["stage"] == "after"
        }


@dataclass(frozen=True, eq=False)
class Started:
    """A run that has been measured and not yet trained."""

    chosen: TuneOptions
    plan: Plan
    config: dict[str, Any]
    splits: list[TestSplit]
    before: list[Measured]
    folder: Path | None
    bootstrap: int | None
    began: float
    notes: tuple[str, ...] = ()
    extend: bool = False

    def run(
        self,
        *,
        eval_every: int = 0,
        log_every: int = 0,
        listener: Listener | None = None,
        resume: bool = False,
        evaluated: bool = True,
    ) -> Run:
        """What `train` wants to know; `evaluated` False skips evaluations before and after."""
        return Run(
            self.plan.setting,
            self.plan.recipe,
            seed=self.chosen.seed,
            splits=self.plan.splits if evaluated else (),
            before=[m.pair for m in self.before if m.pair] if evaluated else (),
            sampler=self.chosen.sampler,
            eval_every=eval_every,
            log_every=log_every,
            folder=self.folder,
            config=self.config,
            listener=listener,
            resume=resume,
            extend=self.extend,
        )


def start(
    chosen: TuneOptions,
    plan: Plan,
    machine: Machine,
    *,
    targets: Sequence[str] = (),
    folder: Path | None = None,
    bootstrap: int | None = 0,
    resume: bool = False,
    extend: bool = False,
) -> Started:
    """Measure a run before its training, and write its configuration.

    Raises:
        CheckpointError: with `resume`, the folder holds a run of another configuration; with
            `extend`, one of as many epochs or more.
    """
    began = time.monotonic()
    config = _config(chosen, plan)
    notes = plan.notes
    state = check_resumable(folder, config, extend=extend) if resume and folder else None
    if state is not None:
        past = history(state.config, plan.recipe.epochs, state.epoch)
        config |= {KEY: past} if past else {}
        notes = (*notes, *said(past, plan.recipe), *((state.note,) if state.note else ()))
    begun = {"state to go on from": None if state is None else [state.epoch, state.step]}
    require_same(config | begun, plan.setting.spread)
    trainee = plan.setting.trainee
    others = target_splits(
        chosen, targets, plan.backbone, machine, trainee, spread=plan.setting.spread
    )
    splits = [*plan.splits, *others]
    before = measure_splits(trainee.learner(), splits, plan, stage="before", bootstrap=bootstrap)
    if folder is not None and plan.setting.spread.first:
        _write_json(config, folder / "config.json")
    return Started(
        chosen, plan, config, splits, before, folder, bootstrap, began, notes, extend
    )  # fmt: skip


def _config(chosen: TuneOptions, plan: Plan) -> dict[str, Any]:
    draw = plan.draw
    found = {
        "method": plan.setting.trainee.method,
        "source": chosen.method,
        "recipe_in_force": plan.recipe_name,
        "template": plan.template,
        "backbone": plan.backbone.description["name"],
        "backbone_digest": plan.backbone.digest,
        "classnames": list(plan.setting.classnames),
        "shots": draw.shots,
        "counts": list(draw.counts),
        "drawn_class_order": list(draw.class_order),
        "realised_tau": draw.realised_tau,
        "images": draw.images.digest,
        "processes": plan.setting.spread.world,
    }
    return config_of(chosen, plan.recipe, found)


def finish(started: Started, trained: Trained, *, sharing: int = 1) -> Tuned:
    """Measure a trained run and write everything; metrics.json last.

    Args:
        sharing: runs that were trained together, among which the time is divided.
    """
    plan, chosen, folder = started.plan, started.chosen, started.folder
    learner = plan.setting.trainee.learner()
    after = measure_splits(
        learner,
        started.splits,
        plan,
        stage="after",
        bootstrap=started.bootstrap,
        known=trained.features,
    )
    seconds = (time.monotonic() - started.began) / sharing
    record = tune_record(chosen, plan, started.before, after, seconds=seconds, steps=trained.steps)
    tuned = Tuned(
        learner=learner,
        record=record,
        config=started.config,
        events=trained.log.events,
        report=Report((*(m.run for m in after), *(m.run for m in started.before))),
        folder=folder,
        first=plan.setting.spread.first,
        warnings=(*started.notes, *data_warnings(plan, started.splits)),
    )
    if folder is not None and tuned.first:
        trained.trajectory.write(folder / "trajectory.safetensors")
        _write(tuned, started, after, folder, epochs=trained.epochs)
    return tuned


def _write(
    tuned: Tuned, started: Started, after: Sequence[Measured], folder: Path, *, epochs: int
) -> None:
    """metrics.json last: where it is, the run is complete."""
    plan, trainee = started.plan, started.plan.setting.trainee
    write_checkpoint(trainee, folder)
    if isinstance(plan.backbone, FeatureSpace):
        for name, features in tuned.features.items():
            write_features(features, folder / f"features-{name.rpartition(' ')[2]}.npz")
    if trainee.method in PUBLISHED:
        _write_log(started, after, folder, epochs=epochs)
    body = {"format": 1, "runs": tuned.report.records, "tune": tuned.record}
    _write_json(body, folder / "metrics.json")


def _write_log(started: Started, after: Sequence[Measured], folder: Path, *, epochs: int) -> None:
    """The log that readers of the authors' runs look for."""
    plan, chosen, trainee = started.plan, started.chosen, started.plan.setting.trainee
    own = next(m for m in after if m.split.images.classnames == plan.setting.classnames)
    write_dassl_log(
        trainee,
        folder,
        data=name_of_data(chosen.data) or chosen.data,  # the authors' loaders go by the name
        split=chosen.split,
        shots=plan.draw.shots,
        seed=chosen.seed,
        backbone=str(plan.backbone.description["name"]),
        epochs=epochs,
        correct=own.correct,
    )


def _write_json(value: Any, path: Path) -> None:
    write_text(path, json.dumps(value, indent=1, allow_nan=False))
