"""Per-class rows, and head, medium and tail, of one run, and what their columns mean.

K classes, P classes with images.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.neighbours import within_ranks
from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.sides import ImageSide
from ncscope.metrics.accuracy import cut_tie
from ncscope.metrics.pairs import Neighbours, mean_over_pairs, products
from ncscope.metrics.variability import spread_classes

# of head, medium and tail: title, and whether it is a share
GROUP_ROWS = {
    "classes": ("classes", False), "count_min": ("fewest images", False),
    "count_max": ("most images", False), "accuracy": ("accuracy", True),
    "ncc_accuracy": ("NCC accuracy", True), "nc4": ("NC4", True),
    "delta_lcd_raw": ("Δ LCD, raw", False), "delta_lcd_centred": ("Δ LCD, centred", False),
    "delta_mid_raw": ("Δ MID, raw", False), "delta_mid_centred": ("Δ MID, centred", False),
    "variance": ("variance", False), "nc1": ("NC1", False),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column. `share` marks values in [0, 1] that read as percentages."""

    title: str
    meaning: str
    better: Literal["lower", "higher"] | None = None
    share: bool = False


COLUMNS: dict[str, Column] = {
    "train_count": Column("train images", "images of the class in training"),
    "count": Column("images", "images analysed"),
    "accuracy": Column("accuracy", "share of its images nearest its text", "higher", True),
    "ncc_accuracy": Column(
        "NCC accuracy", "share of its images nearest its own class mean", "higher", True
    ),
    "nc4": Column("NC4", "share of its images that text and class means decide alike",
                  "higher", True),
    "cosine": Column("cosine", "text against the class mean, raw", "higher"),
    "cosine_centred": Column("cosine, centred", "text against the class mean, centred", "higher"),
    "delta_lcd": Column(
        "Δ LCD, centred",
        "mean distance of its text's cosines from −1/(K−1); the mean over classes is the run's",
        "lower",
    ),
    "sample_cosine": Column("image cosine", "text against its images, mean", "higher"),
    "variance": Column("variance", "mean squared distance of its images from their mean", "lower"),
    "nc1": Column("NC1", "the class's own NC1; the mean over classes is the run's", "lower"),
    "effective_rank": Column("effective rank", "directions in which its images differ"),
    "mean_norm": Column("mean norm", "length of the class mean; 1: all its images alike",
                        "higher"),
    "nearest": Column("nearest class", "class whose text is nearest to this one's"),
    "nearest_cosine": Column("nearest cosine", "text against the nearest class's text", "lower"),
}  # fmt: skip


def class_rows(
    prepared: Prepared,
    side: ImageSide | None,
    train_counts: Tensor | None,
    near: Neighbours | None,
) -> list[dict[str, Any]]:
    """One dictionary a class: counts, accuracy, alignment, spread, nearest other class.

    `near` is of the text rows, None without text.
    """
    columns: dict[str, list[Any]] = {"name": list(prepared.classnames)}
    size = len(prepared.classnames)
    if train_counts is not None:
        columns["train_count"] = train_counts.tolist()
    columns["count"] = [0] * size if side is None else side.moments.counts.tolist()
    columns |= {
        name: [None] * size
        for name in (
            "accuracy", "ncc_accuracy", "nc4", "cosine", "cosine_centred", "sample_cosine",
            "variance", "nc1", "effective_rank", "mean_norm", "nearest", "nearest_cosine",
            "delta_lcd",
        )
    }  # fmt: skip
    if side is not None:
        columns |= _image_columns(prepared, side)
        columns["effective_rank"] = listed(within_ranks(prepared))
    if near is not None:
        columns |= _nearest(near, prepared.classnames)
    if prepared.text_pairs is not None and size > 1:
        columns["delta_lcd"] = listed(prepared.text_pairs.gaps[True])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _image_columns(prepared: Prepared, side: ImageSide) -> dict[str, list[float | None]]:
    samples = side.samples
    several = spread_classes(side.moments.counts)
    nan = torch.full_like(samples.shares, math.nan)
    columns: dict[str, Tensor | None] = {
        "accuracy": samples.correct,
        "ncc_accuracy": samples.ncc_correct,
        "nc4": samples.agree,
        "sample_cosine": samples.cosines,
        "variance": torch.where(several, samples.spreads, nan),
        "nc1": torch.where(several, samples.shares, nan) / len(side.present),
        "mean_norm": side.moments.means.norm(dim=1),
    }
    if prepared.text is not None and len(side.present) > 1:
        for name, centred in (("cosine", False), ("cosine_centred", True)):
            spread = nan.clone()
            spread[side.present] = metrics.matched_cosines(
                side.means, prepared.text[side.present], centred=centred
            ).to(spread)
            columns[name] = spread
    return {name: listed(values) for name, values in columns.items() if values is not None}


def _nearest(near: Neighbours, names: tuple[str, ...]) -> dict[str, list[Any]]:
    best, which = near.cosine.tolist(), near.which.tolist()
    return {
        "nearest": [names[k] if v > -2 else None for k, v in zip(which, best, strict=True)],
        "nearest_cosine": [v if v > -2 else None for v in best],
    }


def groups(
    prepared: Prepared, side: ImageSide | None, train_counts: Tensor | None
) -> tuple[dict[str, Any], str]:
    """Head, medium and tail by training images, with their means, and how they were formed.

    Each group null where no training counts are known, or where they do not tell three groups
    apart: all are equal, or a cut between two groups falls among classes of equally many images.
    """
    empty: dict[str, Any] = {"head": None, "medium": None, "tail": None}
    if train_counts is None:
        return empty, "none: no training counts were given"
    seen = train_counts[train_counts > 0]
    if len(seen) < 3 or int(seen.min()) == int(seen.max()):
        return empty, "none: balanced, or fewer than 3 classes"
    found = metrics.frequency_groups(train_counts.cpu())
    if (tie := cut_tie(found, train_counts)) is not None:
        return empty, (
            f"none: the cut into thirds falls among classes with {tie} training images each, so "
            f"that which class is in which group would be by chance"
        )
    return {
        name: _group(prepared, side, index.cpu(), train_counts) for name, index in found.items()
    }, "thirds of the classes by training images"


def _group(
    prepared: Prepared, side: ImageSide | None, index: Tensor, counts: Tensor
) -> dict[str, Any]:
    sizes = counts.cpu()[index]
    found: dict[str, Any] = {
        "classes": len(index),
        "count_min": int(sizes.min()),
        "count_max": int(sizes.max()),
    }
    values: dict[str, Tensor] = {}
    if side is not None:
        rows = _image_columns(prepared, side)
        for name in ("accuracy", "ncc_accuracy", "nc4", "variance", "nc1"):
            if name in rows:
                values[name] = _mean_of(rows[name], index)
        for name, source in (("raw", "cosine"), ("centred", "cosine_centred")):
            if source in rows:
                values[f"delta_mid_{name}"] = 1 - _mean_of(rows[source], index)
    if prepared.text is not None and len(index) > 1:
        target = 1 / (len(prepared.classnames) - 1)
        for name, centred in (("raw", False), ("centred", True)):
            rows = metrics.centre_rows(prepared.text) if centred else prepared.text
            cosines = products(metrics.normalise_rows(rows)[index])
            values[f"delta_lcd_{name}"] = mean_over_pairs(cosines, lambda c: (c + target).abs())
    return found | {name: number(value) for name, value in values.items()}


def _mean_of(column: list[float | None], index: Tensor) -> Tensor:
    values = [column[k] for k in index.tolist()]
    return torch.tensor([v for v in values if v is not None], dtype=torch.float64).mean()


def listed(values: Tensor) -> list[float | None]:
    """A tensor as a list, null where it is not finite."""
    return [v if math.isfinite(v) else None for v in values.double().tolist()]


def number(value: Tensor) -> float | None:
    """A 0-d tensor as a float, null where it is not finite."""
    found = float(value)
    return found if math.isfinite(found) else None
