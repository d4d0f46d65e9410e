"""Runs on one scale: NC1 and CDNV at equally many images a class, and what must not be compared.

N samples, K classes. NC1 and CDNV of the same data grow with the images a class has, up to their
value in the population: within-class variance is underestimated by (n - 1)/n, and the sampling of
the class means adds to the distances between them.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.prepare import prepare
from ncscope.diagnosis.sweeps import sweep
from ncscope.errors import ShapeError, shown
from ncscope.features.processes import ALONE, Spread
from ncscope.text import run_names

_FEWEST = 2  # images of a class whose spread is defined


def side_by_side(
    runs: Sequence[Run], *, normalise: bool = True, skip_bad: bool = False, spread: Spread = ALONE
) -> list[Run]:
    """The runs with `nc1/equal_n` and `cdnv/equal_n`, and with warnings of what differs.

    Each class is measured on its first n images in the order of the file, n being the smallest
    count, at least 2, of any class of any run; classes with fewer are left out. Several processes
    sweep the images in shares.
    """
    counts = [_counts(run) for run in runs]
    some = [int(own[own >= _FEWEST].min()) for own in counts if bool((own >= _FEWEST).any())]
    notes = differences(runs, counts)
    found = []
    for run, own in zip(runs, counts, strict=True):
        record = {**run.record, "warnings": [*run.record["warnings"], *notes]}
        if some and bool((own >= _FEWEST).any()):
            numbers = _at(run, min(some), own, spread, normalise=normalise, skip_bad=skip_bad)
            how = f"the first {min(some)} images of each class that has as many, in file order"
            record["measures"] = dict(sorted((record["measures"] | numbers).items()))
            record["conventions"] = {**record["conventions"], "equal_n": how}
        found.append(replace(run, record=record))
    return found


def _counts(run: Run) -> Tensor:
    """Labelled images (K,) of each class."""
    label, size = run.features.label, run.features.num_classes
    if label is None or run.features.image is None or not run.record["samples"]:
        return torch.zeros(size, dtype=torch.int64)
    return torch.bincount(label[label >= 0], minlength=size)


def first_of_each(label: Tensor, count: int) -> Tensor:
    """Labels (N,) with -1 for all but the first `count` images of each class, and for classes
    that have fewer."""
    order = torch.argsort(label, stable=True)
    own = label[order]
    known = own >= 0
    counts = torch.bincount(own[known])
    starts = counts.cumsum(0) - counts + int((~known).sum())
    place = torch.arange(len(label), device=label.device) - starts[own.clamp_min(0)]
    kept = known & (place < count) & (counts[own.clamp_min(0)] >= count)
    found = torch.full_like(label, -1)
    found[order[kept]] = own[kept]
    return found


def _at(
    run: Run, count: int, own: Tensor, spread: Spread, *, normalise: bool, skip_bad: bool
) -> dict[str, Any]:
    """NC1 and CDNV on `count` images a class; the run's own where no class has more."""
    measures = run.record["measures"]
    if bool(((own == count) | (own == 0)).all()):
        return {
            f"{n}/equal_n": measures.get(f) for n, f in (("nc1", "nc1/default"), ("cdnv", "cdnv"))
        }
    nothing: dict[str, Any] = {"nc1/equal_n": None, "cdnv/equal_n": None}
    prepared = prepare(run.features, normalise=normalise, skip_bad=skip_bad)
    if prepared.image is None or prepared.label is None:
        return nothing
    label = first_of_each(prepared.label, count)
    if len(label[label >= 0].unique()) < 2:
        return nothing
    try:
        moments, samples = sweep(
            prepared.image, label, len(own), text=None, logit_scale=None, normalise=normalise,
            spread=spread,
        )  # fmt: skip
    except ShapeError:  # class means that are one: the run's own warnings say so
        return nothing
    values = {"nc1/equal_n": float(samples.nc1), "cdnv/equal_n": float(metrics.cdnv(moments))}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def differences(runs: Sequence[Run], counts: Sequence[Tensor]) -> list[str]:
    """In words, what puts the runs on different scales: classes, their number, images a class."""
    if len(runs) < 2:
        return []
    names = run_names([run.record for run in runs])
    classes = [run.features.classnames for run in runs]
    notes = []
    if len({len(own) for own in classes}) > 1:
        sizes = ", ".join(f"{n}: {len(own)}" for n, own in zip(names, classes, strict=True))
        notes.append(
            f"the sources differ in their number of classes ({sizes}): distances to a simplex ETF, "
            f"NC1 and accuracy depend on it and must not be compared"
        )
    elif len({frozenset(own) for own in classes}) > 1:
        missing = sorted({n for own in classes for n in own} - set.intersection(*map(set, classes)))
        notes.append(
            f"the sources have other classes ({len(missing)} are not in all of them: "
            f"{shown(missing)}): a difference between them may be one of the classes"
        )
    spans = [(int(own[own > 0].min()), int(own.max())) for own in counts if bool((own > 0).any())]
    if len(set(spans)) > 1:
        said = ", ".join(
            f"{name}: {span(own)}" for name, own in zip(names, counts, strict=True) if own.any()
        )
        notes.append(
            f"the sources have other numbers of images a class ({said}), with which NC1 and CDNV "
            f"grow: compare nc1/equal_n and cdnv/equal_n"
        )
    return notes


def span(counts: Tensor) -> str:
    """Fewest and most images of the classes that have some."""
    low, high = int(counts[counts > 0].min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"
