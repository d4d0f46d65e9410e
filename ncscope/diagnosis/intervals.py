"""Bootstrap intervals of a run's headline numbers.

N samples, K classes, D embedding width.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain, zip_longest
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.redecided import NAMES as REDECIDED
from ncscope.diagnosis.redecided import clear_of, redecided
from ncscope.diagnosis.redrawn import NAMES as REDRAWN
from ncscope.diagnosis.redrawn import Redrawn
from ncscope.diagnosis.resampling import Fixed, Replicate, fixed_of, group_size, replicates_of
from ncscope.diagnosis.sides import ImageSide
from ncscope.features.checked import is_large
from ncscope.features.processes import ALONE, Spread, exchanged
from ncscope.metrics.pairs import Block, products

LARGEST_WORK = 2.7e11  # operations in single precision: five seconds or so on one core
LARGEST_TEXT_WORK = 2e12  # the same of text, for both forms: 37 000 classes of width 512
_FEWEST = 50  # replicates that an interval by default is worth saying of


def intervals(
    prepared: Prepared, side: ImageSide | None, numbers: Mapping[str, float], *,
    replicates: int | None, seed: int, spread: Spread = ALONE,
) -> tuple[dict[str, Any], list[str], dict[str, Tensor]]:  # fmt: skip
    """95 % intervals by flat name, notes on what was left out, and every replicate's values.

    Image measures: images drawn anew within their class. Text measures: classes drawn anew, over
    pairs of different classes. `numbers` are the run's own. `replicates=None` means 200 for text,
    none above `LARGEST_TEXT_WORK`; for images as many of 200 as `LARGEST_WORK` allows, none where
    those would be under 50, and none of images that are too many to copy. NC1 and NC4 are of the
    first of the same draws, as many as their own work allows. Of several processes each makes a
    share of the images' replicates, and all have all of those; text is the first one's.
    """
    settled = 200 if replicates is None else replicates
    found: dict[str, Any] = {"level": 0.95, "replicates": settled, "seed": seed, "values": {}}
    if settled < 2:
        return found | {"replicates": 0}, [], {}
    drawn: dict[str, list[float]] = {}
    values: dict[str, metrics.Interval] = {}
    notes = []
    if prepared.text is not None and spread.first:
        work = _text_work(prepared.text, settled)
        if replicates is None and work > LARGEST_TEXT_WORK:
            notes.append(f"intervals of text measures left out: {_too_long(settled, work)}")
        else:
            values |= _over_classes(prepared.text, numbers, settled, seed, drawn)
    if side is not None:
        why = None
        if "means" in prepared.absent:
            why = prepared.absent["means"]
        elif int(side.moments.counts.max()) < 2:
            why = "every class has one image"
        if why is not None:
            notes.append(f"intervals of image measures left out: {why}")
        else:
            of_images, left_out = _over_samples(
                prepared, side, numbers, replicates, seed, drawn, spread
            )
            values |= of_images
            notes += left_out
    found["values"] = {name: asdict(value) for name, value in values.items()}
    tables = {name: torch.tensor(table, dtype=torch.float64) for name, table in drawn.items()}
    return found, notes, tables


def mean_intervals(
    steps: Tensor, label: Tensor, *, replicates: int, seed: int
) -> list[metrics.Interval | None]:
    """Interval of each row's mean over its labelled images, drawn anew within their class.

    The rows (M, N) are differences of an image with itself, so that what it does to both cancels.
    None where fewer than two replicates are asked for, or no class has two images to draw from.
    """
    known = label >= 0
    if replicates < 2 or not bool(known.any()) or int(torch.bincount(label[known]).max()) < 2:
        return [None] * len(steps)
    draws = metrics.resample_within_classes(label, replicates=replicates, seed=seed)
    size = steps.shape[1]
    means = (steps @ torch.bincount(one, minlength=size).to(steps) / len(one) for one in draws)
    table = ({str(m): v for m, v in enumerate(mean.tolist())} for mean in means)
    value = {str(m): v for m, v in enumerate(steps[:, known].mean(dim=1).tolist())}
    found = metrics.intervals_of(table, value)
    return [found.get(m) for m in value]


def _too_long(replicates: int, work: float) -> str:
    return f"{replicates} replicates would take {work:.0e} operations; ask for them by number"


def _kept(
    replicates: Iterable[dict[str, float]], drawn: dict[str, list[float]]
) -> Iterator[dict[str, float]]:
    """The replicates as they come, each value also put into the table of its name."""
    for numbers in replicates:
        for name, value in numbers.items():
            drawn.setdefault(name, []).append(value)
        yield numbers


def _works(prepared: Prepared) -> tuple[float, float]:
    """Operations of a replicate: of its means and what they tell, and of its whitened directions,
    which all images are multiplied with. One in double precision counts as two."""
    assert prepared.image is not None
    samples, width = prepared.image.shape
    size = len(prepared.classnames)
    small = min(size, width)
    pairs = 40.0 * size**2 * width if size <= 1.25 * width else 8.0 * size**2 * width
    looked_at = 2.0 * samples * small * width + 40.0 * small**3
    return 2.0 * samples * width + 100.0 * samples + pairs, looked_at


def _text_work(text: Tensor, replicates: int) -> float:
    """Operations of all replicates of (K, D) text: its products, and draws of pairs, both forms."""
    return 2.0 * len(text) ** 2 * (text.shape[1] + replicates)


def _over_samples(
    prepared: Prepared,
    side: ImageSide,
    numbers: Mapping[str, float],
    replicates: int | None,
    seed: int,
    kept: dict[str, list[float]],
    spread: Spread,
) -> tuple[dict[str, metrics.Interval], list[str]]:
    """Intervals of the image measures, and notes on what is left out of them."""
    assert prepared.label is not None
    counts, notes = _affordable(prepared, replicates)
    if not counts[0]:
        return {}, notes[:1]
    # Decisions and duality of per-image text are not resampled.
    text = prepared.text if prepared.per_image is None else None
    fixed = fixed_of(prepared, side, text, spread)
    group = group_size(fixed, counts[0])
    # The first process has all other numbers and the page to make: half as many groups for it.
    turns = [*range(spread.world), *range(1, spread.world)]
    own = [i for i in range(counts[0]) if turns[i // group % len(turns)] == spread.rank]
    draws = metrics.resample_within_classes(
        prepared.label, replicates=counts[0], seed=seed, only=frozenset(own)
    )
    groups = replicates_of(fixed, draws, size=len(prepared.label), group=group)
    redrawn = Redrawn(None if text is None else text[side.present])
    again = sum(i < counts[1] for i in own)
    made = zip(own, _numbers_of(fixed, redrawn, groups, again), strict=True)
    in_order = sorted(chain(*exchanged(list(made), spread)), key=lambda one: one[0])
    table = _kept((found for _, found in in_order), kept)
    names = [name for name in (*REDRAWN, *REDECIDED) if math.isfinite(numbers.get(name, math.nan))]
    return metrics.intervals_of(table, {name: numbers[name] for name in names}), notes


def _numbers_of(
    fixed: Fixed, redrawn: Redrawn, groups: Iterator[list[Replicate]], again: int
) -> Iterator[dict[str, float]]:
    """Each replicate's numbers; NC1 and NC4 of the first `again`, NaN of the others."""
    clear = clear_of(fixed) if again else None
    none = dict.fromkeys(REDECIDED, math.nan)
    for group in groups:
        looked = redecided(fixed, clear, group[: max(0, again)])
        again -= len(looked)
        for replicate, more in zip_longest(group, looked):
            found = redrawn.numbers(replicate) | (more or {})
            yield none | {name: float(value) for name, value in found.items()}


def _affordable(prepared: Prepared, replicates: int | None) -> tuple[list[int], list[str]]:
    """How many replicates of all measures, and of those of them that look at every image again
    (`REDECIDED`): what is asked for, else as many of 200 as `LARGEST_WORK` allows."""
    if replicates is not None:
        return [replicates, replicates], []
    image = prepared.image
    assert image is not None
    if is_large(image):
        size = image.shape[0] * image.shape[1] * 4 / 1e9
        return [0, 0], [
            f"intervals of image measures left out: they take a copy of the images, {size:.1f} GB; "
            f"ask for them by number"
        ]
    counts, notes = [], []
    once = 2.0 * image.shape[0] * image.shape[1] * len(prepared.classnames)  # text's decisions
    for named, work in zip(("image measures", "NC1 and NC4"), _works(prepared), strict=True):
        count = max(0, min(200, int((LARGEST_WORK - once) / work)))
        if count < _FEWEST:
            why = _too_long(200, once + 200 * work)
            notes.append(f"intervals of {named} left out: {why}")
        counts.append(count if count >= _FEWEST else 0)
    return [counts[0], min(counts)], notes


def _gaps(rows: Tensor) -> Iterator[Block]:
    """How far the cosines of unit rows are from a simplex ETF's, block by block."""
    for block in products(rows):
        gaps = block.values.add_(1 / (len(rows) - 1)).abs_()
        yield replace(block, values=gaps)


def _over_classes(
    text: Tensor,
    numbers: Mapping[str, float],
    replicates: int,
    seed: int,
    kept: dict[str, list[float]],
) -> dict[str, metrics.Interval]:
    size = len(text)
    if size < 3:
        return {}
    draws = torch.stack(
        list(metrics.resample_classes(size, replicates=replicates, seed=seed))
    )  # the same for both forms
    found: dict[str, metrics.Interval] = {}
    for form, centred in (("raw", False), ("centred", True)):
        rows = metrics.normalise_rows(metrics.centre_rows(text) if centred else text)
        if not bool(torch.isfinite(rows).all()):
            continue
        name = f"delta_lcd/cosine/{form}"
        means = metrics.pair_means(_gaps(rows), draws)
        value = {name: numbers[name]}
        found |= metrics.intervals_of(_kept(({name: mean} for mean in means.tolist()), kept), value)
    return found
