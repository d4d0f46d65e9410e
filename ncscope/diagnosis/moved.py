"""What tuning did to the two sides of a run: drift from the reference, and the numbers either has.

N images, K classes, D width. At most `MOST` images are taken, evenly over classes.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope._checks import working
from ncscope.diagnosis.intervals import mean_intervals
from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.neighbours import MOST
from ncscope.diagnosis.sides import drift_numbers
from ncscope.metrics.spectrum import MOST_RANKED

_REPLICATES = 200


@dataclass(frozen=True)
class Row:
    """One number for a reader; of `drift`, or one that both have, before and after."""

    title: str
    meaning: str
    ideal: str
    both: bool = False


ROWS: dict[str, Row] = {
    "drift/text/angle": Row("Text drift", "mean angle to the same class before, degrees", "–"),
    "drift/text/angle_max": Row("Text drift, largest", "of any class, degrees", "–"),
    "drift/text/outside": Row(
        "Text drift outside", "share outside the principal subspace before; 0 … 1", "–"
    ),
    "drift/text/centre": Row("Text centre turned", "angle between the two centres, degrees", "–"),
    "drift/text/spread": Row("Text spread, ratio", "1: as wide as before; below 1 narrower", "–"),
    "drift/image/angle": Row("Image drift", "the same for the images\u2019 class means", "–"),
    "drift/image/angle_max": Row("Image drift, largest", "of any class, degrees", "–"),
    "drift/image/outside": Row("Image drift outside", "share, 0 … 1", "–"),
    "drift/image/centre": Row("Image centre turned", "degrees", "–"),
    "drift/image/spread": Row("Image spread, ratio", "1: as wide as before", "–"),
    "hierarchy": Row(
        "Hierarchy kept", "rank correlation of class similarities with before; −1 … 1", "1"
    ),
    "conformity/text": Row("Text conformity", "mean cosine with the texts\u2019 centre", "–", True),
    "gap/centre": Row("Gap, centre part", "squared distance of the centres; 0 … 4", "0", True),
    "gap/distribution": Row(
        "Gap, distribution part", "what a common shift leaves; 0 … 4", "0", True
    ),
    "margin/mean": Row(
        "Margin", "cosine with the own text less the best other; −2 … 2", "high", True
    ),
    "margin/variance": Row("Margin, variance", "within a class", "0", True),
    "robustness/boundary": Row(
        "Robustness", "how far an image may move before its class changes; −1 … 1", "high", True
    ),
}


def moved(run: Run, reference: Run, *, same_images: bool) -> dict[str, Any]:
    """`drift` from the reference by name, `before` and `after` of what both have, `robustness`.

    Drift of images needs the same images; robustness then has `difference` and its paired 95 %
    interval `images`, over which classes count alike. None where a number is not defined.
    """
    drift: dict[str, Tensor] = {}
    one, other = run.text, reference.text
    if one is not None and other is not None and one.shape == other.shape:
        drift |= drift_numbers(one, other)
        if 2 < len(one) <= MOST_RANKED:
            drift["hierarchy"] = metrics.hierarchy_retention(
                one, other, centred=True, spearman=True
            )
    one, other = run.means, reference.means
    if same_images and one is not None and other is not None and one.shape == other.shape:
        there = one.isfinite().all(dim=1) & other.isfinite().all(dim=1)
        if int(there.sum()) > 1:
            drift |= drift_numbers(one[there], other[there], "image")
    found: dict[str, Any] = {"drift": {name: _number(value) for name, value in drift.items()}}
    both = [name for name, row in ROWS.items() if row.both]
    for when, each in (("before", reference), ("after", run)):
        measures = each.record["measures"]
        found[when] = {name: measures[name] for name in both if name in measures}
    if same_images and (change := _robustness(run, reference)) is not None:
        found["robustness"] = change
    return found


def _robustness(run: Run, reference: Run) -> dict[str, Any] | None:
    """Change of the class-balanced mean distance to the boundary, image by image."""
    label = run.features.label
    if label is None or run.text is None or reference.text is None:
        return None
    rows = (label >= 0).nonzero().flatten()
    if len(rows) > MOST:
        order = rows[torch.argsort(label[rows], stable=True)]
        rows = order[:: -(-len(order) // MOST)]
    label = label[rows]
    after, before = (_distances(each, rows, label) for each in (run, reference))
    if after is None or before is None:
        return None
    counts = torch.bincount(label, minlength=run.features.num_classes)
    weights = len(label) / (int((counts > 0).sum()) * counts[label].double())
    steps = (after - before) * weights
    [span] = mean_intervals(steps.unsqueeze(0), label, replicates=_REPLICATES, seed=0)
    ends = None if span is None else [span.low, span.high]
    return {"difference": float(steps.mean()), "images": ends, "classes": None}


def _distances(run: Run, rows: Tensor, label: Tensor) -> Tensor | None:
    image, text = run.features.image, run.text
    if (
        image is None
        or text is None
        or (run.features.text is not None and run.features.text.ndim == 3)
    ):
        return None
    found = working(image[rows])
    if run.record["conventions"]["normalised_on_entry"]:
        found = metrics.normalise_rows(found)
    return metrics.boundary_distances(found, label, text.to(found)).double()


def _number(value: Tensor) -> float | None:
    found = float(value)
    return found if math.isfinite(found) else None
