"""What a tuning run leaves as numbers: the runs of metrics.json and their summary."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.clip.prompts import ZeroShot
from ncscope.diagnosis.measure import Run, measure
from ncscope.diagnosis.outcome import SETTINGS
from ncscope.features.bundle import Features
from ncscope.features.parts import stored_rows
from ncscope.features.space import FeatureSpace
from ncscope.tuning.evaluate import Pair, TestSplit, decisions, split_features
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.plan import Plan
from ncscope.tuning.save import Right, right_by_class
from ncscope.writing import __version__
from ncscope.zoo.learners.learner import Learner


@dataclass(frozen=True, eq=False)
class Measured:
    """A split's report and, class by class, how many images are right of how many."""

    split: TestSplit
    run: Run
    pair: Pair | None  # features where they were computed; not of a target, not texts per image
    correct: list[Right]
    ece: float | None = None  # where the cosine is not all that decides

    @property
    def accuracy(self) -> float:
        """Fraction of all images."""
        right, total = (
            sum(column) for column in zip(*(one[1:] for one in self.correct), strict=True)
        )
        return right / max(total, 1)


def measure_splits(
    learner: Learner,
    splits: Sequence[TestSplit],
    plan: Plan,
    *,
    stage: str,
    bootstrap: int | None,
    known: Sequence[Pair] = (),
) -> list[Measured]:
    """Every measure on every split, grouped by training counts where the classes were trained.

    Args:
        known: features of the first of the splits, where they are known.
    """
    spread = plan.setting.spread
    left = (split_features(learner, split, spread=spread) for split in splits[len(known) :])
    return [
        _measured(learner, split, pair, plan, stage=stage, bootstrap=bootstrap)
        for split, pair in zip(splits, itertools.chain(known, left), strict=True)
    ]


def _measured(
    learner: Learner,
    split: TestSplit,
    pair: Pair,
    plan: Plan,
    *,
    stage: str,
    bootstrap: int | None,
) -> Measured:
    image, text = pair
    names = split.images.classnames
    frozen = None
    if not isinstance(plan.backbone, FeatureSpace) or plan.backbone.rows is not None:
        frozen = ZeroShot(plan.backbone, (split.template or plan.template,)).text_features(names)
    description = dict(learner.description)
    features = Features(
        image=image.cpu(),
        label=split.labels.cpu(),
        text=text.cpu(),
        classnames=names,
        logit_scale=learner.logit_scale.detach().cpu(),
        text_frozen=None if frozen is None else frozen.cpu(),
        provenance={
            "source": f"{plan.setting.trainee.method}, {stage} training",
            "data": split.images.name,
            "split": split.name,
            "part": split.images.part or "all",
            "warnings": [*description.pop("warnings", []), *split.images.warnings],
            "learner": description,
            "content": {"images": split.images.digest},
            "versions": {"ncscope": __version__, "torch": torch.__version__},
        },
        preview=None if stored_rows(split.images) is not None else split.images.load,
    )
    trained_here = names == plan.setting.classnames
    counts = list(plan.draw.counts) if trained_here else None
    spread = plan.setting.spread
    run = measure(features, train_counts=counts, bootstrap=bootstrap, spread=spread)
    record = {**run.record, "split": split.name, "stage": stage}
    chosen, sure = decisions(learner, image, text, spread=spread)
    correct = right_by_class(chosen, split.labels, names)
    ece = None
    if learner.extra_logits is not None:
        ece = _calibration(chosen, sure, split.labels, len(names))
    return Measured(
        split,
        replace(run, record=record),
        None if split.target or text.ndim == 3 else pair,
        correct,
        ece,
    )


def _calibration(chosen: Tensor, sure: Tensor, labels: Tensor, num_classes: int) -> float:
    known = labels >= 0
    labels = labels[known]
    hits = chosen[known] == labels
    bins = metrics.confidence_bins(sure[known], hits, labels, num_classes)
    return float(metrics.binned_ece(bins))


def tune_record(
    chosen: TuneOptions,
    plan: Plan,
    before: Sequence[Measured],
    after: Sequence[Measured],
    *,
    seconds: float,
    steps: int,
) -> dict[str, Any]:
    """The `tune` part of metrics.json; options that were not given are null."""
    objective = chosen.objective()
    return {
        "method": plan.setting.trainee.method,
        "name": chosen.name,
        "data": chosen.data,
        "split": chosen.split,
        "tau": chosen.tau,
        "realised_tau": plan.draw.realised_tau,
        "counts": list(plan.draw.counts),
        "seed": chosen.seed,
        **{key: value for key, value in asdict(chosen).items() if key in SETTINGS},
        "shots": plan.draw.shots,
        "regulariser": chosen.regulariser if objective.active else "none",
        "cpt_weights": list(chosen.cpt_weights),
        "backbone": plan.backbone.description["name"],
        "accuracy": _accuracies(after, plan),
        "before": _accuracies(before, plan),
        "steps": steps,
        "seconds": round(seconds, 3),
    }


def data_warnings(plan: Plan, splits: Sequence[TestSplit]) -> tuple[str, ...]:
    """What was said of the training and the test images where they were read, each once."""
    images = [plan.draw.images, *(split.images for split in splits)]
    return tuple(dict.fromkeys(f"{one.name}: {said}" for one in images for said in one.warnings))


def _accuracies(measured: Sequence[Measured], plan: Plan) -> dict[str, float | None]:
    """Fractions: base, new, h, or all; head, medium and tail of the trained classes; ece."""
    own = {m.split.name: m for m in measured if not m.split.target}
    found: dict[str, float | None] = {name: m.accuracy for name, m in own.items()}
    if "base" in own or "new" in own:
        found = {name: found.get(name) for name in ("base", "new")}
        base, new = found["base"], found["new"]
        found["h"] = None
        if base is not None and new is not None:
            found["h"] = metrics.harmonic_mean(base, new)
    trained = next(m for m in own.values() if m.split.images.classnames == plan.setting.classnames)
    found["ece"] = trained.ece
    if trained.ece is None:
        found["ece"] = trained.run.record["summary"]["accuracy"]["ece"]
    groups = metrics.frequency_groups(torch.tensor(plan.draw.counts))
    for name, labels in groups.items():
        own = (trained.correct[k] for k in labels.tolist())
        shares = [right / total for _, right, total in own if total]
        found[name] = sum(shares) / len(shares) if shares else None
    return found
