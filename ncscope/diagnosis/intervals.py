"""Bootstrap intervals of a run's headline numbers.

N samples, K classes, D embedding width.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.resampling import fixed_of, replicates_of
from ncscope.diagnosis.sides import ImageSide, decision_numbers
from ncscope.metrics import ClassMoments, SampleMeasures
from ncscope.metrics.pairs import Block, products


@dataclass(frozen=True, eq=False)
class _Draw:
    """One set of images swept: text (P, D) and means (P, D) of the classes with images."""

    text: Tensor
    means: Tensor
    moments: ClassMoments
    samples: SampleMeasures


_IMAGE: dict[str, Callable[[_Draw], Tensor]] = {
    "nc1/default": lambda d: d.samples.nc1,
    "cdnv": lambda d: metrics.cdnv(d.moments),
    "etf_distance/image/raw": lambda d: metrics.etf_distance(d.means),
    "etf_distance/image/centred": lambda d: metrics.etf_distance(d.means, centred=True),
}
_PAIR: dict[str, Callable[[_Draw], Tensor]] = {
    "delta_mid/cosine/raw": lambda d: metrics.delta_mid(d.means, d.text),
    "delta_mid/cosine/centred": lambda d: metrics.delta_mid(d.means, d.text, centred=True),
    "etf_distance/cross/raw": lambda d: metrics.cross_etf_distance(
        image_means=d.means, text=d.text
    ),
    "etf_distance/cross/centred": lambda d: metrics.cross_etf_distance(
        image_means=d.means, text=d.text, center="both"
    ),
    "nc3/centred": lambda d: metrics.self_duality(d.means, d.text, centred=True),
    "modality_gap": lambda d: metrics.modality_gap(d.means, d.text),
}
_DECISIONS = ("accuracy/top1", "accuracy/class_mean", "accuracy/ece", "nc4")
LARGEST_WORK = 5e11  # floating-point operations: ten seconds or so on one core
LARGEST_TEXT_WORK = 2e12  # the same of text, for both forms: 37 000 classes of width 512
_FEWEST = 50  # replicates that an interval by default is worth saying of


def intervals(
    prepared: Prepared, side: ImageSide | None, numbers: Mapping[str, float], *,
    replicates: int | None, seed: int,
) -> tuple[dict[str, Any], list[str], dict[str, Tensor]]:  # fmt: skip
    """95 % intervals by flat name, notes on what was left out, and every replicate's values.

    Image measures: images drawn anew within their class. Text measures: classes drawn anew, over
    pairs of different classes. `numbers` are the run's own. `replicates=None` means 200 for text,
    none above `LARGEST_TEXT_WORK`; for images as many of 200 as `LARGEST_WORK` allows, and none
    where those would be under 50.
    """
    settled = 200 if replicates is None else replicates
    found: dict[str, Any] = {"level": 0.95, "replicates": settled, "seed": seed, "values": {}}
    if settled < 2:
        return found | {"replicates": 0}, [], {}
    drawn: dict[str, list[float]] = {}
    values: dict[str, metrics.Interval] = {}
    notes = []
    if prepared.text is not None:
        work = _text_work(prepared.text, settled)
        if replicates is None and work > LARGEST_TEXT_WORK:
            notes.append(f"intervals of text measures left out: {_too_long(settled, work)}")
        else:
            values |= _over_classes(prepared.text, numbers, settled, seed, drawn)
    if side is not None:
        count = settled
        if replicates is None:
            count = min(settled, int(LARGEST_WORK / _work(prepared)))
        why = None
        if "means" in prepared.absent:
            why = prepared.absent["means"]
        elif int(side.moments.counts.max()) < 2:
            why = "every class has one image"
        elif count < min(settled, _FEWEST):
            why = _too_long(settled, settled * _work(prepared))
        else:
            values |= _over_samples(prepared, side, numbers, count, seed, drawn)
        notes += [f"intervals of image measures left out: {why}"] if why else []
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


def _work(prepared: Prepared) -> float:
    """Operations of one replicate: the products with its whitened directions, and small algebra."""
    assert prepared.image is not None
    samples, width = prepared.image.shape
    size = len(prepared.classnames)
    small = min(size, width)
    return 2.0 * samples * small * (width + size) + 20.0 * small**3 + 24.0 * size**2 * width


def _text_work(text: Tensor, replicates: int) -> float:
    """Operations of all replicates of (K, D) text: its products, and draws of pairs, both forms."""
    return 2.0 * len(text) ** 2 * (text.shape[1] + replicates)


def _over_samples(
    prepared: Prepared,
    side: ImageSide,
    numbers: Mapping[str, float],
    replicates: int,
    seed: int,
    kept: dict[str, list[float]],
) -> dict[str, metrics.Interval]:
    assert prepared.label is not None
    # Decisions and duality of per-image text are not resampled.
    text = prepared.text if prepared.per_image is None else None
    wanted = _IMAGE if text is None else _IMAGE | _PAIR

    def numbers_in(moments: ClassMoments, samples: SampleMeasures) -> dict[str, float]:
        means = moments.means[moments.present]
        rows = means if text is None else text[moments.present]
        draw = _Draw(rows, means, moments, samples)
        found = {name: compute(draw) for name, compute in wanted.items()}
        if text is not None:
            found |= decision_numbers(samples)
        return {name: float(value) for name, value in found.items()}

    names = [*wanted, *_DECISIONS] if text is not None else list(wanted)
    value = {name: numbers[name] for name in names if math.isfinite(numbers.get(name, math.nan))}
    draws = metrics.resample_within_classes(prepared.label, replicates=replicates, seed=seed)
    fixed = fixed_of(prepared, side, text)
    drawn = replicates_of(fixed, draws, size=len(prepared.label))
    return metrics.intervals_of(_kept((numbers_in(*one) for one in drawn), kept), value)


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
