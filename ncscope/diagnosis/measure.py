"""Features to numbers: every measure, raw and centred, with bounds, classes and provenance.

N samples, K classes, D embedding width.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ncscope.data.classes import folded
from ncscope.diagnosis.classes import class_rows, groups
from ncscope.diagnosis.intervals import intervals
from ncscope.diagnosis.notes import cautions, conventions, no_number, self_check, warnings_of
from ncscope.diagnosis.prepare import prepare
from ncscope.diagnosis.sides import image_side, numbers_of
from ncscope.diagnosis.summary import bounds, summarise
from ncscope.diagnosis.sweeps import in_steps
from ncscope.diagnosis.training import Training
from ncscope.errors import ShapeError, shown
from ncscope.features.bundle import Features
from ncscope.features.processes import ALONE, Spread, of_first, require_same
from ncscope.metrics.second import kept
from ncscope.writing import __version__


@dataclass(frozen=True, eq=False)
class Run:
    """One source on one data set: its features, its entry in metrics.json, and its training.

    `draws` are the bootstrap's values by flat name, of the same draws in every run of the same
    labels (text measures: of as many classes) and seed.
    """

    features: Features
    record: dict[str, Any]
    training: Training | None = None
    draws: Mapping[str, Tensor] = field(default_factory=dict)  # (R,) values of each replicate
    text: Tensor | None = None  # (K, D) as it was measured
    means: Tensor | None = None  # (K, D) class means; not finite for a class without images


def measure(
    features: Features,
    *,
    normalise: bool = True,
    train_counts: Sequence[int] | Mapping[str, int] | None = None,
    bootstrap: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    spread: Spread = ALONE,
) -> Run:
    """Every measure of one run's features.

    Args:
        normalise: l2-normalise text and image rows first, the convention; False for classifiers
            whose lengths mean something.
        train_counts: training images of each class, (K,) or by name, for head, medium and tail.
        bootstrap: replicates for the intervals; None chooses 200 where that is affordable, 0 none.
        seed: of the bootstrap.
        skip_bad: leave out images whose feature is a zero vector, with a warning; else there are
            no image measures where one is.
        spread: images are swept and resampled in shares, of the same features in every process;
            the first one does the rest, and all get its record (`draws` are its own).

    Raises:
        ShapeError: fewer than two classes, text with a row an image, or counts that do not fit.
    """
    prepared = prepare(features, normalise=normalise, skip_bad=skip_bad)
    require_same(_identity(features), spread)
    counts = _train_counts(train_counts, prepared.classnames)
    side = image_side(prepared, spread)
    means = None if side is None else side.moments.means
    share = partial(intervals, prepared, side, replicates=bootstrap, seed=seed, spread=spread)
    if not spread.first:
        share({})
        return Run(features, of_first(None, spread), text=prepared.text, means=means)
    with kept():
        numbers = in_steps(prepared.image, numbers_of(prepared, side))
    flat = {name: float(value) for name, value in numbers.items()}
    summary, absences = summarise(flat, prepared)
    resampled, left_out, draws = share(flat)
    near = None if prepared.text_pairs is None else prepared.text_pairs.neighbours
    grouped, grouped_by = groups(prepared, side, counts)
    size, width = len(prepared.classnames), features.width
    present = size if side is None else max(2, len(side.present))
    limits = bounds(size, present, width)
    record: dict[str, Any] = {
        "source": features.provenance.get("source"),
        "data": features.provenance.get("data"),
        "classes": size,
        "samples": prepared.samples,
        "dim": width,
        "summary": summary,
        "bounds": limits,
        "groups": grouped,
        "per_class": class_rows(prepared, side, counts, near),
        "intervals": resampled,
        "measures": {n: v if math.isfinite(v) else None for n, v in sorted(flat.items())},
        "conventions": conventions(prepared, side, grouped_by),
        "warnings": [
            *features.warnings,
            *prepared.notes,
            *cautions(prepared, side, limits, near),
            *left_out,
            *absences,
            *no_number(flat),
        ],
        "provenance": {**features.provenance, "ncscope": __version__, "torch": torch.__version__},
    }
    if (check := self_check(record)) is not None:
        record["provenance"]["self_check"] = check
        record["warnings"] = [*warnings_of(check), *record["warnings"]]
    record = of_first(record, spread)
    return Run(features, record, draws=draws, text=prepared.text, means=means)


def _identity(features: Features) -> dict[str, Any]:
    """What features of several processes must have in common; rows may differ by rounding."""
    label = None if features.label is None else features.label.cpu().contiguous().numpy()
    image = None if features.image is None else [*features.image.shape, str(features.image.dtype)]
    return {
        "images": [image, features.provenance.get("content")],
        "labels": None if label is None else hashlib.sha256(label.tobytes()).hexdigest(),
        "classes": list(features.classnames),
    }


def _train_counts(
    counts: Sequence[int] | Mapping[str, int] | None, names: Sequence[str]
) -> Tensor | None:
    if counts is None:
        return None
    if isinstance(counts, Mapping):
        by_name = {folded(name): count for name, count in counts.items()}
        missing = [name for name in names if folded(name) not in by_name]
        if missing:
            raise ShapeError(
                f"`train_counts` lacks {len(missing)} of {len(names)} classes: {shown(missing)}; "
                f"expected a count a class, by its name"
            )
        counts = [by_name[folded(name)] for name in names]
    if len(counts) != len(names):
        raise ShapeError(f"`train_counts` has {len(counts)} entries; expected K = {len(names)}")
    return torch.as_tensor(counts, dtype=torch.int64)
