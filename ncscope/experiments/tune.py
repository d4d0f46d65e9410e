"""Tunes a prompt learner, with or without NPT's terms, and measures it before and after."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.errors import DataError
from ncscope.experiments.board import tensorboard
from ncscope.experiments.tune_options import TuneOptions, config_of
from ncscope.experiments.tune_plan import Plan, make_plan
from ncscope.experiments.tune_record import Measured, measure_splits, tune_record
from ncscope.experiments.tune_tests import Machine, target_splits
from ncscope.features.arrays import replacing
from ncscope.features.bundle import Features
from ncscope.features.cache import cache_folder
from ncscope.report.measure import Report
from ncscope.report.tables import make_folder
from ncscope.tuning.save import write_checkpoint, write_dassl_log
from ncscope.tuning.spread import Spread, join, leave
from ncscope.tuning.train import Run, train
from ncscope.tuning.trainee import Trainee
from ncscope.zoo.backbone import Backbone
from ncscope.zoo.learner_options import LearnerOptions
from ncscope.zoo.learners.learner import Learner

Listener = Callable[[dict[str, Any]], object]


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


def tune(
    method: str,
    *,
    data: str,
    out: str | Path | None = None,
    split: str = "base",
    shots: int | None = 16,
    tau: float = 1.0,
    seed: int = 1,
    class_order: str = "index",
    recipe: str = "authors",
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    optimizer: str | None = None,
    views: int | str | None = None,
    ctx: int | None = None,
    ctx_vision: int | None = None,
    ctx_init: str | None = None,
    depth: int | None = None,
    csc: bool = False,
    class_token_position: str | None = None,
    loss: str = "ce",
    adjustment: float = 1.0,
    sampler: str = "plain",
    regulariser: str = "npt",
    lcd_weight: float = 0.0,
    lcd_form: str = "cosine",
    mid_weight: float = 0.0,
    mid_form: str = "push_pull",
    centred: bool = False,
    relative_weights: bool = False,
    cpt_weights: tuple[float, float, float] = (0.25, 0.15, 0.10),
    cpt_clusters: int = 1,
    anchor: str = "nearest",
    accumulate: int = 1,
    eval_every: int = 0,
    log_every: int = 10,
    targets: Sequence[str] = (),
    resume: bool = False,
    backbone: str | Path | Backbone = "auto",
    pretrained: str | None = None,
    template: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    cache: str | Path | None = "auto",
    trust_backbone: bool = False,
    compile: bool = False,
    board: bool = False,
    bootstrap: int | None = 0,
    listener: Listener | None = None,
    options: LearnerOptions | None = None,
) -> Tuned:
    """Train a prompt learner on few shots and measure it on base and new classes.

    Args:
        method: coop, cocoop, kgcoop, prograd, vpt, ivlp, maple, promptsrc, tcp, taskres or
            clip-adapter; or a checkpoint of one of them, to go on from.
        data: as for `extract`; training images are its part `train`, test images its part `test`.
        out: a folder for checkpoint.safetensors, log.jsonl, metrics.json, config.json, log.txt,
            trajectory.safetensors and the state; None writes nothing.
        split: classes to train on: `base` (then new ones are tested, too) or `all`.
        shots, tau, seed, class_order: as for `ncscope.data.draw.draw_training`.
        recipe: `authors`, or `toy`, which was measured for the embedded toy. What is None below
            takes the recipe's value.
        epochs, batch_size, lr, optimizer, views, ctx, ctx_vision, ctx_init, depth, csc,
            class_token_position: see `ncscope.tuning.recipe.Recipe`.
        loss, adjustment: see `ncscope.tuning.classification`; sampler: `plain` or `balanced`.
        regulariser, lcd_weight, lcd_form, mid_weight, mid_form, centred, relative_weights,
            cpt_weights, cpt_clusters, anchor: see `ncscope.tuning.objective.Objective`.
        accumulate: parts that a batch is computed in.
        eval_every, log_every: steps between evaluations and between logged steps; 0 is never.
        targets: more data sets to test on, with all their classes, after training.
        resume: go on from the last state in `out`.
        compile: compile the towers' blocks; board: write TensorBoard's files into `out`.
        bootstrap: replicates for the intervals of the report.
        listener: called with every event of the log.
        options: what a checkpoint may not tell.

    Raises:
        BackboneError, CheckpointError, DataError: what is named does not exist or fit.
        NcscopeError: training diverged; the last good state is kept.
    """
    chosen = TuneOptions(
        method=str(method),
        data=data,
        split=split,
        shots=shots,
        tau=tau,
        seed=seed,
        class_order=class_order,
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        views=views,
        ctx=ctx,
        ctx_vision=ctx_vision,
        ctx_init=ctx_init,
        depth=depth,
        csc=csc,
        class_token_position=class_token_position,
        loss=loss,
        adjustment=adjustment,
        sampler=sampler,
        regulariser=regulariser,
        lcd_weight=lcd_weight,
        lcd_form=lcd_form,
        mid_weight=mid_weight,
        mid_form=mid_form,
        centred=centred,
        relative_weights=relative_weights,
        cpt_weights=cpt_weights,
        cpt_clusters=cpt_clusters,
        anchor=anchor,
        accumulate=accumulate,
        precision=precision,
    )
    machine = Machine(
        backbone=backbone,
        pretrained=pretrained,
        template=template,
        device=device,
        workers=workers,
        cache=cache_folder(cache),
        trust_backbone=trust_backbone,
        compiled=compile,
    )
    folder = None if out is None else Path(out)
    check_folder(folder, resume=resume)
    spread = join(device)
    try:
        plan = make_plan(chosen, machine, spread=spread, learner=options or LearnerOptions())
        return _run(
            chosen,
            plan,
            machine,
            folder=folder,
            spread=spread,
            schedule=(eval_every, log_every),
            targets=targets,
            resume=resume,
            board=board,
            bootstrap=bootstrap,
            listener=listener,
        )
    finally:
        leave(spread)


def check_folder(folder: Path | None, *, resume: bool) -> None:
    """Refuse a folder that holds a run, unless it is to be resumed.

    Raises:
        DataError: what is in it would be lost.
    """
    if folder is None:
        if resume:
            raise DataError("`resume` needs `out`, the folder of the run to go on with")
        return
    if not resume and any((folder / name).exists() for name in ("state.safetensors", "log.jsonl")):
        raise DataError(f"{folder}: holds a run; go on with it by --resume, or name another --out")
    make_folder(folder)


def _run(
    chosen: TuneOptions,
    plan: Plan,
    machine: Machine,
    *,
    folder: Path | None,
    spread: Spread,
    schedule: tuple[int, int],
    targets: Sequence[str],
    resume: bool,
    board: bool,
    bootstrap: int | None,
    listener: Listener | None,
) -> Tuned:
    trainee, began = plan.setting.trainee, time.monotonic()
    config = _config(chosen, plan)
    splits = [*plan.splits, *target_splits(targets, plan.backbone, machine, trainee)]
    before = measure_splits(trainee.learner(), splits, plan, stage="before", bootstrap=bootstrap)
    if folder is not None and spread.first:
        _write_json(config, folder / "config.json")
    with tensorboard(folder, wanted=board) if spread.first else nullcontext() as writer:
        run = Run(
            plan.setting,
            plan.recipe,
            seed=chosen.seed,
            splits=plan.splits,
            sampler=chosen.sampler,
            eval_every=schedule[0],
            log_every=schedule[1],
            folder=folder,
            config=config,
            listener=_both(writer, listener),
            resume=resume,
        )
        trained = train(run)
    after = measure_splits(trainee.learner(), splits, plan, stage="after", bootstrap=bootstrap)
    seconds = time.monotonic() - began
    record = tune_record(chosen, plan, before, after, seconds=seconds, steps=trained.steps)
    tuned = Tuned(
        learner=trainee.learner(),
        record=record,
        config=config,
        events=trained.log.events,
        report=Report((*(m.run for m in after), *(m.run for m in before))),
        folder=folder,
        first=spread.first,
    )
    if folder is not None and spread.first:
        trained.trajectory.write(folder / "trajectory.safetensors")
        _write(tuned, trainee, plan, chosen, after, folder, epochs=trained.epochs)
    return tuned


def _config(chosen: TuneOptions, plan: Plan) -> dict[str, Any]:
    draw = plan.draw
    found = {
        "method": plan.setting.trainee.method,
        "source": chosen.method,
        "template": plan.template,
        "backbone": plan.backbone.description["name"],
        "backbone_digest": plan.backbone.digest,
        "classnames": list(plan.setting.classnames),
        "counts": list(draw.counts),
        "drawn_class_order": list(draw.class_order),
        "realised_tau": draw.realised_tau,
        "images": draw.images.digest,
        "processes": plan.setting.spread.world,
    }
    return config_of(chosen, plan.recipe, found)


def _both(first: Listener | None, second: Listener | None) -> Listener | None:
    if first is None or second is None:
        return first or second

    def tell(event: dict[str, Any]) -> None:
        first(event)
        second(event)

    return tell


def _write(
    tuned: Tuned,
    trainee: Trainee,
    plan: Plan,
    chosen: TuneOptions,
    after: Sequence[Measured],
    folder: Path,
    *,
    epochs: int,
) -> None:
    """metrics.json last: where it is, the run is complete."""
    write_checkpoint(trainee, folder)
    own = next(m for m in after if m.split.images.classnames == plan.setting.classnames)
    write_dassl_log(
        trainee,
        folder,
        data=chosen.data,
        split=chosen.split,
        shots=chosen.shots,
        seed=chosen.seed,
        backbone=str(plan.backbone.description["name"]),
        epochs=epochs,
        correct=own.correct,
    )
    body = {"format": 1, "runs": tuned.report.records, "tune": tuned.record}
    _write_json(body, folder / "metrics.json")


def _write_json(value: Any, path: Path) -> None:
    with replacing(path) as temporary:
        Path(temporary).write_text(json.dumps(value, indent=1, allow_nan=False), encoding="utf-8")
