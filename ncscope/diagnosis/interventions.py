"""Would more collapse help? Features moved along each measure, and judged on other images.

What a move needs to know is estimated on one half of each class's images, or on a training file;
accuracy and measures after it are those of the other images. So no image is judged that a move has
seen. The steps of a move are one line each in metrics.json.

N images, K classes, D embedding width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope._checks import working
from ncscope.data.classes import folded
from ncscope.diagnosis.intervals import mean_intervals
from ncscope.diagnosis.moves import MOVES, Seen
from ncscope.diagnosis.prepare import Prepared, prepare
from ncscope.diagnosis.sides import FORMS, ImageSide, decision_numbers, image_side
from ncscope.diagnosis.summary import summarise
from ncscope.diagnosis.sweeps import row_norms
from ncscope.errors import DataError, ShapeError, shown
from ncscope.features.bundle import Features

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST = 40_000  # images to estimate on, and half of those to judge; of more, evenly over classes
Images = tuple[Tensor, Tensor]
Hits = dict[str, Tensor]
_OF_SPREAD = ("centre_text", "centre_both", "rotate_text", "snap_text")  # nothing to move without


@dataclass(frozen=True, eq=False)
class Interventions:
    """Rows as metrics.json has them, how they came about, and what a reader must know."""

    rows: list[dict[str, Any]]
    how: dict[str, Any]
    notes: list[str]


def intervene(
    features: Features, train: Features | None = None, *, steps: Sequence[float] = STEPS,
    seed: int = 0, normalise: bool = True, replicates: int = 200,
) -> Interventions:  # fmt: skip
    """Move text and images along each measure and judge what that does.

    Args:
        train: images to estimate the moves on, all others are judged; classes are matched by name.
            None: half of each class's images, the odd one judged.
        steps: of each move, in [0, 1]; 0 is always among them.
        seed: of the halves and the intervals.
        normalise: as for `measure`, before a move and after it.
        replicates: bootstrap draws, within classes, of the change in accuracy: the images judged
            are paired with themselves, unmoved. What was estimated stays as it is.

    Returns:
        A row a move and step: `move`, `step`, `accuracy`, `change` from step 0 with `low` and
        `high` (95 %), `summary`. Where some classes have no image to estimate on and a training
        file was given, also `seen_accuracy` and `new_accuracy`, each among its own classes, and
        `new_change`.

    Raises:
        DataError: a side is missing, the text depends on the image, or too few images.
        ShapeError: `train` of another width, or a step outside [0, 1].
    """
    if not all(0 <= step <= 1 for step in steps):
        raise ShapeError(f"`steps` must lie in [0, 1]; got {list(steps)}")
    prepared, notes = _whole(prepare(features, normalise=normalise, skip_bad=True)), []
    assert prepared.image is not None
    assert prepared.label is not None
    if train is None:
        learn, judge = _halves(prepared.image, prepared.label, seed)
    else:
        learn, judge = _training(prepared, train, notes), (prepared.image, prepared.label)
    met, learn = len(learn[1]), _without(learn, judge[0], notes)
    if met and not len(learn[1]):
        raise DataError(f"all {met} images to estimate moves on are among those to be judged")
    seen = _seen(prepared, learn)
    new = _new(seen, train is not None, notes)
    judged = replace(prepared, image=judge[0], label=judge[1], samples=len(judge[1]))
    rows, hits = _rows(judged, seen, new, sorted({0.0, *steps}), notes)
    how = {
        "estimated_on": "half of each class's images" if train is None else "a training file",
        "images_estimated_on": len(learn[1]), "classes_estimated_on": len(seen.present),
        "images_judged": len(judge[1]), "seed": seed, "replicates": replicates,
    }  # fmt: skip
    return Interventions(_with_changes(rows, hits, judge[1], replicates, seed), how, notes)


def _whole(prepared: Prepared) -> Prepared:
    """Require both sides and one text for all images; the labelled rows, as they are measured."""
    absent = [prepared.absent[side] for side in ("text", "image") if side in prepared.absent]
    if prepared.per_image is not None:
        absent = ["the text depends on the image"]
    if absent:
        raise DataError(f"nothing to intervene on: {'; '.join(absent)}")
    assert prepared.image is not None
    assert prepared.label is not None
    index, label = _thinned((prepared.label >= 0).nonzero().flatten(), prepared.label, 2 * MOST)
    image = working(prepared.image[index])
    image = metrics.normalise_rows(image) if prepared.normalise else image
    return replace(prepared, image=image, label=label)


def _new(seen: Seen, told: bool, notes: list[str]) -> Tensor | None:
    """(K,) which classes a training file has no image of; None where there are none."""
    new = torch.ones(len(seen.text), dtype=torch.bool)
    new[seen.present] = False
    if not bool(new.any()):
        return None
    what = "are the new ones" if told else "keep their text where a move needs their images"
    notes.append(f"{int(new.sum())} classes have no image to estimate on: they {what}")
    return new if told else None


def _halves(image: Tensor, label: Tensor, seed: int) -> tuple[Images, Images]:
    """Each class's images in two halves by chance; the odd one is judged."""
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))
    order = order[torch.argsort(label[order], stable=True)]
    counts = torch.bincount(label)
    place = torch.arange(len(order)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    early = place < (counts // 2).repeat_interleave(counts)
    first, second = (order[part].sort().values for part in (early, ~early))
    return (image[first], label[first]), (image[second], label[second])


def _training(prepared: Prepared, train: Features, notes: list[str]) -> Images:
    """A training file's images under the classes' own places."""
    assert prepared.image is not None
    if train.image is None or train.label is None:
        raise DataError("nothing to estimate on: the training file needs images with labels")
    if train.width != prepared.image.shape[1]:
        raise ShapeError(
            f"the training file's images are {train.width} wide and these "
            f"{prepared.image.shape[1]}; expected one D. Are they of one model?"
        )
    places = _places(train.classnames, prepared.classnames, notes)
    known = (train.label >= 0) & (row_norms(train.image) > 0)
    labels = torch.where(known, places[train.label.clamp_min(0)], -1)
    if lost := int((known & (labels < 0)).sum()):
        notes.append(f"{lost} images of the training file are of classes that are not measured")
    index, label = _thinned((labels >= 0).nonzero().flatten(), labels)
    rows = working(train.image[index])
    return (metrics.normalise_rows(rows) if prepared.normalise else rows).to(prepared.image), label


def _places(theirs: Sequence[str], ours: Sequence[str], notes: list[str]) -> Tensor:
    """Where each of the training file's classes is among the measured ones; -1 where it is not."""
    if theirs == tuple(f"class {k}" for k in range(len(theirs))) and theirs[0] not in ours:
        if len(theirs) > len(ours):
            raise DataError(
                f"the training file names no classes and has {len(theirs)}, against {len(ours)} "
                f"measured; expected names to match them by"
            )
        notes.append(
            "the training file names no classes: its labels were taken in the order of the "
            "measured ones"
        )
        return torch.arange(len(theirs))
    where: dict[str, list[int]] = {}
    for place, name in enumerate(ours):
        where.setdefault(folded(name), []).append(place)
    if twice := [name for name in theirs if len(where.get(folded(name), [])) > 1]:
        raise DataError(
            f"class {twice[0]!r} stands for several labels; expected one label a name, to match "
            f"the training file by"
        )
    found = torch.tensor([where.get(folded(name), [-1])[0] for name in theirs])
    if not bool((found >= 0).any()):
        raise DataError(
            f"the training file shares no class with the features: {shown(list(theirs))} against "
            f"{shown(list(ours))}"
        )
    return found


def _without(learn: Images, judged: Tensor, notes: list[str]) -> Images:
    """The images to estimate on less those that are also judged, bit by bit."""
    met = {row.tobytes() for row in judged.numpy()}
    fresh = torch.tensor([row.tobytes() not in met for row in learn[0].numpy()], dtype=torch.bool)
    if lost := int((~fresh).sum()):
        notes.append(f"{lost} images to estimate on are also judged and were left out")
    return learn[0][fresh], learn[1][fresh]


def _thinned(index: Tensor, label: Tensor, most: int = MOST) -> Images:
    """At most `most` of the rows at these places, evenly over classes, and their labels."""
    if len(index) > most:
        order = index[torch.argsort(label[index], stable=True)]
        index = order[:: -(-len(order) // most)].sort().values
    return index, label[index]


def _seen(prepared: Prepared, learn: Images) -> Seen:
    """What the images to estimate on tell."""
    rows, label = learn
    assert prepared.text is not None
    counts = torch.bincount(label, minlength=len(prepared.classnames))
    present = (counts > 0).nonzero().flatten()
    if len(present) < 2:
        raise DataError(
            f"{len(present)} classes have images to estimate moves on; expected two or more "
            f"classes of two images, or a training file"
        )
    sums = torch.zeros_like(prepared.text).index_add_(0, label, rows.double())
    means = sums / counts.clamp_min(1).unsqueeze(1)
    rest = rows.double() - means[label]
    weight = 1 / (counts[label].double() * len(present))
    scatter = (rest * weight.unsqueeze(1)).T @ rest
    return Seen(prepared.text, present, means[present], scatter, len(label) - len(present))


def _rows(
    judged: Prepared, seen: Seen, new: Tensor | None, steps: Sequence[float], notes: list[str]
) -> tuple[list[dict[str, Any]], list[Hits]]:
    """A row a move and step, without intervals, and which images each decides rightly."""
    assert judged.image is not None
    assert judged.text is not None
    start, before = _judged(judged, judged.text, judged.image, new)
    alike = not bool(metrics.etf_distance(judged.text, centred=True).isfinite())
    rows, hits = [], []
    for name, move in MOVES.items():
        if alike and name in _OF_SPREAD:
            notes.append(f"{name} left out: the text features are all equal")
            continue
        for step in steps:
            found, now = start, before
            if step > 0:
                text, image = move.apply(seen, judged.image, step)
                if not bool((row_norms(text) > 0).all() & (row_norms(image) > 0).all()):
                    notes.append(
                        f"{name} at step {step:g} left out: it leaves a vector of length 0"
                    )
                    continue
                found, now = _judged(judged, text, image, new)
            rows.append({"move": name, "step": step, **found})
            hits.append(now)
    return rows, hits


def _judged(
    judged: Prepared, text: Tensor, image: Tensor, new: Tensor | None
) -> tuple[dict[str, Any], Hits]:
    """Accuracy and summary of the moved features, and the hits by the classes decided among."""
    assert judged.label is not None
    if judged.normalise:
        text, image = metrics.normalise_rows(text), metrics.normalise_rows(image)
    moved = replace(judged, text=text, image=image)
    side = image_side(moved)
    assert side is not None
    numbers = {name: float(value) for name, value in headline_numbers(text, side).items()}
    summary, _ = summarise(numbers, moved)
    every = torch.ones(len(text), dtype=torch.bool)
    hits = {"accuracy": _hits(text, image, judged.label, every)}
    if new is not None:
        hits |= {
            "seen_accuracy": _hits(text, image, judged.label, ~new),
            "new_accuracy": _hits(text, image, judged.label, new),
        }
    shares = {name: _share(values) for name, values in hits.items()}
    return {**shares, "summary": summary}, hits


def _hits(text: Tensor, image: Tensor, label: Tensor, among: Tensor) -> Tensor:
    """(N,) 1 where the nearest of these classes' texts is the image's own, else 0; NaN for images
    of other classes."""
    weights = text[among].to(image)
    best = torch.cat([(rows @ weights.T).argmax(dim=1) for rows in image.split(8192)])
    right = (among.nonzero().flatten()[best] == label).float()
    return right.masked_fill(~among[label], math.nan)


def _share(hits: Tensor) -> float | None:
    share = float(hits.nanmean())
    return share if math.isfinite(share) else None


def _with_changes(
    rows: list[dict[str, Any]], hits: list[Hits], label: Tensor, replicates: int, seed: int
) -> list[dict[str, Any]]:
    """The rows with the change of each accuracy from step 0, and its 95 % interval."""
    for name, change in (("accuracy", "change"), ("new_accuracy", "new_change")):
        if name not in hits[0] or rows[0][name] is None:
            continue
        first = hits[0][name]
        kept = ~first.isnan()
        steps = torch.stack([one[name][kept] - first[kept] for one in hits])
        spans = mean_intervals(steps, label[kept], replicates=replicates, seed=seed)
        for row, mean, span in zip(rows, steps.mean(dim=1).tolist(), spans, strict=True):
            low, high = (None, None) if span is None else (span.low, span.high)
            row[change] = {"value": mean, "low": low, "high": high}
    return rows


def headline_numbers(text: Tensor, side: ImageSide) -> dict[str, Tensor]:
    """The measures of `summary`, by their flat names, of (K, D) text and a run's images.

    The same as those among the numbers of `measure`, without all the others there are.
    """
    samples, moments = side.samples, side.moments
    own, means = text[side.present], side.means
    several = len(side.present) > 1
    found: dict[str, Tensor] = decision_numbers(samples)
    sides = {"text": text, **({"image": means} if several else {})}
    for form, centred in FORMS:
        for name, rows in sides.items():
            found[f"etf_distance/{name}/{form}"] = metrics.etf_distance(rows, centred=centred)
            found[f"equinorm/{name}/{form}"] = metrics.equinorm(rows, centred=centred)
            found[f"equiangular/{name}/{form}"] = metrics.equiangular(rows, centred=centred)
            found[f"effective_rank/{name}/{form}"] = metrics.effective_rank(rows, centred=centred)
        found[f"delta_lcd/cosine/{form}"] = metrics.delta_lcd(text, centred=centred)
        if several:
            found[f"delta_mid/cosine/{form}"] = metrics.delta_mid(means, own, centred=centred)
            found[f"etf_distance/cross/{form}"] = metrics.delta_mid(
                means, own, form="frobenius", centred=centred
            )
            found[f"nc3/{form}"] = metrics.self_duality(means, own, centred=centred)
    if several:
        found["nc1/default"] = samples.nc1
        found["cdnv"] = metrics.cdnv(moments)
        found["modality_gap"] = metrics.modality_gap(means, own)
    return found
