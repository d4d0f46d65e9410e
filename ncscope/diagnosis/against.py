"""A run against a reference on the same classes: differences with paired intervals.

Over images: both runs' images are drawn anew together, so that what an image does to both cancels;
this needs the same images in the same order, which equal labels stand for. Over classes: the
classes are drawn anew, their values differenced first.

K classes, R replicates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.intervals import mean_intervals
from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.moved import moved
from ncscope.diagnosis.summary import SUMMARY
from ncscope.diagnosis.tables import value_at
from ncscope.features.aligned import common_classes, only
from ncscope.features.bundle import Features
from ncscope.text import number, percent

COMPARED = (
    "accuracy.top1", "accuracy.class_mean", "accuracy.ece", "delta_lcd.raw", "delta_lcd.centred",
    "delta_mid.raw", "delta_mid.centred", "modality_gap", "nc1", "cdnv", "nc3", "nc4",
    "etf_distance.cross.centred",
)  # fmt: skip
# Whose value is the mean of a column of `per_class`, with its sign
_BY_CLASS = {
    "accuracy.class_mean": ("accuracy", 1), "delta_mid.raw": ("cosine", -1),
    "delta_mid.centred": ("cosine_centred", -1), "nc1": ("nc1", 1),
}  # fmt: skip
_KEPT = ("name", "accuracy", "delta_lcd", "cosine_centred")  # of a reference that is no run
_PAYS = 0.1  # loss of a class's accuracy from which it is named
_SCORES = 1 << 22  # images x classes whose scores are held at a time
_LEAST = 50  # replicates that an interval is worth saying of


FROZEN = "its frozen text"


def with_reference(
    runs: Sequence[Run], called: Sequence[str], again: Callable[[Features], Run]
) -> list[Run]:
    """The runs, each but the reference with `record["against"]`.

    The reference is the source `zero-shot`, else the first; of one run its frozen text, on the
    run's own images, where there is one. Runs of other classes are compared on those both have.

    Args:
        called: a name a run.
        again: measures features as the runs were.
    """
    if len(runs) == 1:
        return [_beside_frozen(runs[0], again)]
    first = reference_place([run.record for run in runs])
    return [
        run if place == first else _beside(run, runs[first], called[first], again)
        for place, run in enumerate(runs)
    ]


def reference_place(records: Sequence[Mapping[str, Any]]) -> int:
    """Which run the others are compared with: the source `zero-shot`, else the first."""
    sources = [str(record["source"]).lower() for record in records]
    return sources.index("zero-shot") if "zero-shot" in sources else 0


def _beside_frozen(run: Run, again: Callable[[Features], Run]) -> Run:
    features = run.features
    frozen, text = features.text_frozen, features.text
    if frozen is None or text is None or text.ndim == 3 or torch.equal(frozen, text):
        return run
    if features.image is None or bool((frozen == 0).all(dim=1).any()):
        return run
    before = again(replace(features, text=frozen, text_frozen=None))
    rows = [{key: row[key] for key in _KEPT} for row in before.record["per_class"]]
    found = against(run, before, FROZEN) | {"per_class": rows}
    return replace(run, record={**run.record, "against": found})


def _beside(run: Run, reference: Run, called: str, again: Callable[[Features], Run]) -> Run:
    """The run compared on the classes that both have; where fewer than two, a warning."""
    record, ours, theirs = run.record, run.features.classnames, reference.features.classnames
    if ours == theirs:
        return replace(run, record={**record, "against": against(run, reference, called)})
    common = common_classes(ours, theirs)
    if len(common) < 2:
        said = f"not compared with {called}: {len(common)} classes in common"
        return replace(run, record={**record, "warnings": [*record["warnings"], said]})
    one, other = (again(only(each.features, common)) for each in (run, reference))
    said = (
        f"compared with {called} on the {len(common)} classes both have, of {len(ours)} here and "
        f"{len(theirs)} there; accuracy is among those"
    )
    return replace(
        run,
        record={
            **record, "against": against(one, other, called) | {"of": [len(ours), len(theirs)]},
            "warnings": [*record["warnings"], said],
        },
    )  # fmt: skip


def against(run: Run, reference: Run, called: str, *, seed: int = 0) -> dict[str, Any]:
    """`record["against"]`: by path in `summary` the difference run - reference and its intervals.

    Args:
        run, reference: of the same classes in the same order, measured with the same seed.
        called: the reference, as the reader knows it.

    Returns:
        `reference`, `classes`, `paired` (whether the images are the same), `pays` (the class that
        loses a tenth of its images or more, as words, or null), `of` where only common classes
        are compared (of how many on either side), `moved` (ncscope.diagnosis.moved), and `values`:
        `difference`, `images` and `classes`, each [low, high] at 95 % or null.
    """
    same = _same_images(run, reference)
    values: dict[str, Any] = {}
    for path in COMPARED:
        now, then = (value_at(one.record["summary"], path) for one in (run, reference))
        if now is None or then is None:
            continue
        name = SUMMARY[path][0]
        values[path] = {
            "difference": now - then,
            "images": _over_images(run, reference, name, now - then) if same else None,
            "classes": _ends(run.draws.get(name), reference.draws.get(name), now - then)
            if path.startswith("delta_lcd")
            else _over_classes(run.record, reference.record, path, now - then, seed),
        }
    return {
        "reference": called, "classes": run.record["classes"], "paired": same, "values": values,
        "pays": _pays(run.record, reference.record),
        "moved": moved(run, reference, same_images=same),
    }  # fmt: skip


def _pays(record: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The class that loses most, where that is a tenth or more of its images."""
    losses = [
        (row["accuracy"] - old["accuracy"], row, old)
        for row, old in zip(record["per_class"], other["per_class"], strict=True)
        if row.get("accuracy") is not None and old.get("accuracy") is not None
    ]
    if not losses:
        return None
    loss, row, old = min(losses, key=lambda one: one[0])
    if loss > -_PAYS:
        return None
    return (
        f"most is paid by {row['name']}, {percent(old['accuracy'])} → "
        f"{percent(row['accuracy'])} of its {number(row['count'])} images"
    )


def decided(value: Mapping[str, Any]) -> bool:
    """Whether there is an interval, and every one there is leaves zero out."""
    ends = [span for span in (value["images"], value["classes"]) if span is not None]
    return bool(ends) and all(low > 0 or high < 0 for low, high in ends)


def _same_images(run: Run, reference: Run) -> bool:
    """Whether both have as many images with the same labels in the same order."""
    one, other = run.features.label, reference.features.label
    return one is not None and other is not None and torch.equal(one, other)


def _over_images(run: Run, reference: Run, name: str, value: float) -> list[float] | None:
    """Interval from the replicates of both, which are of the same draws."""
    if name.startswith("delta_lcd"):  # of texts alone: its replicates draw classes
        return None
    found = _ends(run.draws.get(name), reference.draws.get(name), value)
    if found is None and name == "accuracy/top1":  # left out where other measures take too long
        now, then = _hits(run), _hits(reference)
        if now is not None and then is not None and run.features.label is not None:
            steps = (now - then).unsqueeze(0)
            [span] = mean_intervals(steps, run.features.label, replicates=200, seed=0)
            return None if span is None else [span.low, span.high]
    return found


def _hits(run: Run) -> Tensor | None:
    """(N,) 1.0 where the nearest text is the image's own."""
    features = run.features
    text, image, label = features.text, features.image, features.label
    if text is None or text.ndim == 3 or image is None or label is None:
        return None
    if run.record["conventions"]["normalised_on_entry"]:
        text, image = metrics.normalise_rows(text), metrics.normalise_rows(image)
    step = max(64, min(8192, _SCORES // len(text)))
    chosen = torch.cat([(rows @ text.to(rows).T).argmax(dim=1) for rows in image.split(step)])
    return (chosen == label).double()


def _over_classes(
    record: Mapping[str, Any], other: Mapping[str, Any], path: str, value: float, seed: int
) -> list[float] | None:
    if path not in _BY_CLASS:
        return None
    column, sign = _BY_CLASS[path]
    pairs = [
        (row.get(column), old.get(column))
        for row, old in zip(record["per_class"], other["per_class"], strict=True)
    ]
    steps = [sign * (now - then) for now, then in pairs if now is not None and then is not None]
    if len(steps) < 3:
        return None
    table = torch.tensor(steps, dtype=torch.float64)
    draws = metrics.resample_classes(len(steps), replicates=1000, seed=seed)
    means = torch.stack([table[index].mean() for index in draws])
    return _ends(means, torch.zeros(1, dtype=torch.float64), value)


def _ends(now: Tensor | None, then: Tensor | None, value: float) -> list[float] | None:
    """The central 95 % of the replicates' differences, shifted by their bias from the value."""
    if now is None or then is None:
        return None
    if len(then) > 1:  # the first draws are the same where one has more of them
        now, then = now[: len(then)], then[: len(now)]
    steps = now - then
    steps = steps[steps.isfinite()]
    if len(steps) < _LEAST:
        return None
    ends = torch.quantile(steps, torch.tensor([0.025, 0.975], dtype=torch.float64))
    found = (ends - (steps.mean() - value)).tolist()
    return found if all(map(math.isfinite, found)) else None
