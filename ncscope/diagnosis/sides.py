"""Every number of a run, by flat names such as `delta_lcd/cosine/raw`: text side and image side.

N samples, K classes, P classes with images, D embedding width.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.neighbours import MOST, neighbour_numbers
from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.sweeps import sweep
from ncscope.features.processes import ALONE, Spread
from ncscope.metrics import ClassMoments, SampleMeasures
from ncscope.metrics.one_pass import Pairs, pairs_of
from ncscope.metrics.pairs import Block, squared_distances
from ncscope.metrics.spectrum import MOST_RANKED
from ncscope.metrics.variability import VarianceRatio, spread_classes, whitening_if_any

Numbers = dict[str, Tensor]
FORMS = (("raw", False), ("centred", True))
UNIFORMITY_SAMPLES = 2000
_PAIRS = (
    "equiangular", "max_angle", "cosine_mean", "cosine_std", "cosine_min", "cosine_max",
    "min_angle", "nearest_cosine", "gnc2/log", "gnc2/log_variance", "gnc2/dist",
    "gnc2/dist_variance", "gnc2/riesz_log", "gnc2/riesz_log_variance",
)  # fmt: skip
_ROWS = 256


@dataclass(frozen=True, eq=False)
class ImageSide:
    """Both sweeps over a run's images. `present` (P,) are class indices."""

    moments: ClassMoments
    samples: SampleMeasures

    @property
    def present(self) -> Tensor:
        return self.moments.present

    @cached_property
    def means(self) -> Tensor:
        """(P, D) class means of the classes with images; one tensor, see `second.kept`."""
        return self.moments.means[self.present]


def image_side(prepared: Prepared, spread: Spread = ALONE) -> ImageSide | None:
    """Sweep the images twice; None where there are none that can be measured."""
    image, label = prepared.image, prepared.label
    if image is None or label is None:
        return None
    moments, samples = sweep(
        image,
        label,
        len(prepared.classnames),
        text=prepared.text if prepared.per_image is None else None,
        margins=prepared.normalise and prepared.samples <= MOST,
        logit_scale=prepared.logit_scale,
        normalise=prepared.normalise,
        spread=spread,
    )
    if prepared.per_image is not None:
        samples = _decided_by_image(moments, samples, prepared, prepared.per_image)
    return ImageSide(_levelled(moments, samples.white.rank), samples)


def _levelled(moments: ClassMoments, rank: int) -> ClassMoments:
    """Moments whose class means are equal where they differ by rounding alone, and so are of rank
    0: a measure of what lies between them would be one of the rounding."""
    if rank:
        return moments
    means = moments.means.clone()
    means[moments.present] = moments.global_mean
    return replace(moments, means=means)


def numbers_of(prepared: Prepared, side: ImageSide | None) -> Iterator[Numbers]:
    """All numbers of a run, part by part, so that memory can be given back between any two."""
    if prepared.text is not None:
        yield text_numbers(prepared.text, prepared.frozen, prepared.text_pairs)
    if side is None:
        return
    several = len(side.present) > 1  # one class mean has no geometry
    if several:
        yield _image_numbers(side)
    if prepared.text is not None:
        if several:
            whole = len(side.present) == len(prepared.text)
            text = prepared.text if whole else prepared.text[side.present]
            yield pair_numbers(text, side.moments, side.means)
        yield decision_numbers(side.samples)
    if prepared.samples < 2:
        return
    assert prepared.image is not None
    assert prepared.label is not None
    yield {"uniformity/samples": sample_uniformity(prepared.image, prepared.label)}
    yield neighbour_numbers(prepared, side.samples)


def numbers_of_moments(text: Tensor | None, moments: ClassMoments) -> Numbers:
    """All that the moments of unit images tell, with (K, D) unit text rows or without.

    It is what `numbers_of` gives, less what looks at single images: NC1, decisions, uniformity.
    """
    moments = _levelled(moments, whitening_if_any(moments).rank)
    found = {} if text is None else text_numbers(text, None)
    if len(moments.present) < 2:
        return found
    found |= _vector_numbers("image", moments.means[moments.present])
    found["cdnv"] = metrics.cdnv(moments)
    return (
        found
        if text is None
        else found | pair_numbers(text[moments.present], moments, moments.means[moments.present])
    )


def text_numbers(text: Tensor, frozen: Tensor | None, seen: Pairs | None = None) -> Numbers:
    """Measures of (K, D) unit text rows alone; `seen` is what their pairs say, if known."""
    seen = pairs_of(text) if seen is None else seen
    found = _vector_numbers("text", text, seen)
    for form, centred in FORMS:
        found[f"delta_lcd/cosine/{form}"] = seen.numbers[centred]["max_angle"]
        found[f"delta_lcd/cosine_p2/{form}"] = seen.numbers[centred]["cosine_p2"]
        found[f"delta_lcd/cosine_rms/{form}"] = seen.numbers[centred]["cosine_rms"]
        found[f"delta_lcd/frobenius/{form}"] = found[f"etf_distance/text/{form}"]
        if frozen is not None and len(text) > 2:
            keep = metrics.hierarchy_retention
            found[f"hierarchy_retention/pearson/{form}"] = keep(text, frozen, centred=centred)
            if len(text) <= MOST_RANKED:
                found[f"hierarchy_retention/spearman/{form}"] = keep(
                    text, frozen, centred=centred, spearman=True
                )
    if frozen is not None:
        found |= drift_numbers(text, frozen)
    found["dispersion/text"] = metrics.dispersion(text)
    found["orthogonality/text"] = seen.numbers[False]["orthogonality"]
    return found


def drift_numbers(text: Tensor, frozen: Tensor, side: str = "text") -> Numbers:
    """How far (K, D) vectors of a side have gone from the same classes' earlier ones, and where to.

    `drift/text/centre` is the angle in degrees between the two centres, `spread` the ratio of the
    mean squared distances from them: 1 unchanged, below 1 narrower than before.
    """
    angles = metrics.drift_angles(text, frozen)
    centres = metrics.drift_angles(text.mean(dim=0).expand(2, -1), frozen.mean(dim=0).expand(2, -1))
    return {
        f"drift/{side}/angle": angles.mean(),
        f"drift/{side}/angle_max": angles.max(),
        f"drift/{side}/outside": metrics.drift_outside(text, frozen),
        f"drift/{side}/centre": centres[0],
        f"drift/{side}/spread": metrics.centre_and_spread(text)[1]
        / metrics.centre_and_spread(frozen)[1],
    }


def _vector_numbers(side: str, rows: Tensor, seen: Pairs | None = None) -> Numbers:
    """Geometry of one side's class vectors, raw and centred; `seen` is what their pairs say."""
    found: Numbers = {}
    seen = pairs_of(rows) if seen is None else seen
    for form, centred in FORMS:
        pairs = seen.numbers[centred]
        found[f"etf_distance/{side}/{form}"] = metrics.etf_distance(rows, centred=centred)
        found[f"equinorm/{side}/{form}"] = metrics.equinorm(rows, centred=centred)
        found |= {f"{name}/{side}/{form}": pairs[name] for name in _PAIRS if name in pairs}
        found[f"participation_ratio/{side}/{form}"] = metrics.participation_ratio(
            rows, centred=centred
        )
        found[f"effective_rank/{side}/{form}"] = metrics.effective_rank(rows, centred=centred)
    own = metrics.conformity(rows)
    found[f"conformity/{side}"], found[f"conformity/{side}_deviation"] = (
        own.mean(),
        own.std(correction=0),
    )
    found[f"centre/{side}"], found[f"spread/{side}"] = metrics.centre_and_spread(rows)
    found[f"uniformity/{side}"] = seen.numbers[False]["uniformity"]
    return found


def _image_numbers(side: ImageSide) -> Numbers:
    """Geometry of the class means, and NC1 and CDNV, by one pass over the pairs of means."""
    moments, rows = side.moments, side.means
    several = spread_classes(moments.counts)
    ratios = {
        name: VarianceRatio(moments, several, corrected=corrected)
        for name, corrected in (("cdnv", False), ("cdnv/corrected", True))
    }

    def add(block: Block) -> None:
        for ratio in ratios.values():
            ratio.add(block)

    shared = torch.equal(several, moments.counts > 0)
    found = _vector_numbers("image", rows, pairs_of(rows, plain=add if shared else None))
    if not shared:
        for block in squared_distances(moments.means[several]) if int(several.sum()) > 1 else ():
            add(block)
    found |= {name: ratio.mean() for name, ratio in ratios.items()}
    return found | _spread_numbers(moments, side.samples)


def _spread_numbers(moments: ClassMoments, samples: SampleMeasures) -> Numbers:
    """NC1 in its variants."""
    present = len(moments.present)
    found = {
        "nc1/default": samples.nc1,
        "nc1/quotient": metrics.spread_ratio(moments),
        "nc1/weak": metrics.spread_ratio(moments, weak=True),
        "nc1/corrected": metrics.spread_ratio(moments, corrected=True),
        "ncc_accuracy": samples.over_samples(samples.ncc_correct),
    }
    if samples.white.rank == present - 1:  # the variants that force this rank agree with ours
        found["nc1/papyan"] = samples.nc1 * present
        found["nc1/svd"] = samples.nc1
    return found


def pair_numbers(text: Tensor, moments: ClassMoments, means: Tensor) -> Numbers:
    """Duality and gap between (P, D) text rows and class means, which are those of the moments."""
    found: Numbers = {}
    for form, centred in FORMS:
        for mid in ("cosine", "frobenius", "self_duality", "cka"):
            found[f"delta_mid/{mid}/{form}"] = metrics.delta_mid(
                means, text, form=mid, centred=centred
            )
        for pair, values in metrics.cosine_table(
            image_means=means, text=text, centred=centred
        ).items():
            for name, value in values.items():
                found[f"cosines/{pair}/{name}/{form}"] = value
        found[f"etf_distance/cross/{form}"] = found[f"delta_mid/frobenius/{form}"]
        found[f"nc3/{form}"] = found[f"delta_mid/self_duality/{form}"]
        found[f"nc3/squared/{form}"] = found[f"nc3/{form}"].square()
    found["nc3/etf"] = metrics.cross_etf_distance(image_means=means, text=text, center="image")
    found["unc3"] = metrics.unc3(image_means=means, text=text)
    found["unc3/variance"] = metrics.unc3(image_means=means, text=text, variance=True)
    found["modality_gap"] = metrics.modality_gap(means, text)
    found |= {f"gap/{name}": value for name, value in metrics.gap_parts(means, text).items()}
    found["modality_gap/liang"] = (moments.sample_mean - text.mean(dim=0)).norm()
    return found


def decision_numbers(samples: SampleMeasures) -> Numbers:
    """Accuracy, calibration, agreement, and the sample-level forms of duality."""
    assert samples.correct is not None
    assert samples.agree is not None
    assert samples.cosines is not None
    present = samples.counts > 0
    cosine = samples.cosines[present].mean()
    found = {
        "accuracy/top1": samples.over_samples(samples.correct),
        "accuracy/class_mean": samples.correct[present].mean(),
        "nc4": samples.over_samples(samples.agree),
        "ncc_mismatch": 1 - samples.over_samples(samples.agree),
        "delta_mid/batch": 1 - cosine,
        "alignment": 2 - 2 * cosine,
    }
    if samples.bins is not None:
        found["accuracy/ece"] = metrics.binned_ece(samples.bins)
        found["accuracy/ece_class_balanced"] = metrics.binned_ece(samples.bins, class_balanced=True)
    return found


def sample_uniformity(image: Tensor, label: Tensor, *, seed: int = 0) -> Tensor:
    """`uniformity` of at most `UNIFORMITY_SAMPLES` unit image rows, drawn evenly over classes."""
    generator = torch.Generator().manual_seed(seed)
    known = (label >= 0).nonzero().flatten()
    shuffled = known[torch.randperm(len(known), generator=generator).to(label.device)]
    order = shuffled[torch.argsort(label[shuffled], stable=True)]
    step = max(1, -(-len(order) // UNIFORMITY_SAMPLES))
    return metrics.uniformity(metrics.normalise_rows(image[order[::step]]))


def _decided_by_image(
    moments: ClassMoments, samples: SampleMeasures, prepared: Prepared, per_image: Tensor
) -> SampleMeasures:
    """Of a sweep without text, with what (N, K, D) text features decide, image by image."""
    image, label, normalise = prepared.image, prepared.label, prepared.normalise
    assert image is not None
    assert label is not None
    num_classes = per_image.shape[1]
    cosines = torch.cat(
        [
            torch.einsum("nkd,nd->nk", rows, _unit(images, normalise).to(rows.dtype))
            for rows, images in zip(per_image.split(_ROWS), image.split(_ROWS), strict=True)
        ]
    )
    scale = prepared.logit_scale
    logits = cosines if scale is None else cosines * scale.to(cosines)
    among = moments.present[logits[:, moments.present].argmax(dim=1)]
    nearest = metrics.ncc_predictions(_unit(image, normalise), moments.means)
    hits = logits.argmax(dim=1) == label
    bins = None
    if scale is not None:
        confidence = logits.softmax(dim=1).amax(dim=1)
        bins = metrics.confidence_bins(confidence, hits, label, num_classes)
    return replace(
        samples,
        agree=_class_means(among == nearest, label, num_classes)
        * (1.0 if samples.white.rank else torch.nan),
        correct=_class_means(hits, label, num_classes),
        cosines=_class_means(cosines.gather(1, label.unsqueeze(1)).squeeze(1), label, num_classes),
        bins=bins,
    )


def _unit(rows: Tensor, normalise: bool) -> Tensor:
    return metrics.normalise_rows(rows) if normalise else rows


def _class_means(values: Tensor, label: Tensor, num_classes: int) -> Tensor:
    sums = torch.zeros(num_classes, dtype=torch.float64, device=values.device)
    sums.index_add_(0, label, values.double())
    return sums / torch.bincount(label, minlength=num_classes)
