"""How images lie to texts, to one another and to clusters: margins, recall, k-means, own ranks.

N images, K classes, D embedding width. At most `MOST` images are taken, evenly over classes; where
k-means would take more than `MOST_WORK` operations a round it has no number.
"""

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope._checks import working
from ncscope.diagnosis.prepare import Prepared
from ncscope.metrics import SampleMeasures
from ncscope.metrics.margin import margins_and_boundaries

MOST = 20_000
MOST_WORK = 1e9  # N x K x D
DEPTHS = (1, 5, 10)


def neighbour_numbers(prepared: Prepared, samples: SampleMeasures) -> dict[str, Tensor]:
    """Margins and recall where text is one row a class; clusters and ranks where images are."""
    image, label = _drawn(prepared)
    size = len(prepared.classnames)
    present = label.unique()
    found: dict[str, Tensor] = {}
    if prepared.text is not None and prepared.per_image is None:
        text = prepared.text.to(image)
        mean, square, boundary = _ahead(samples, image, label, text)
        found["margin/mean"] = mean
        found["margin/variance"] = (square - mean.square()).clamp_min(0)
        found["robustness/boundary"] = boundary
        if len(present) == len(label) > 1:  # pairs: an image a text
            own = text[label]
            for depth in DEPTHS:
                if depth < len(label):
                    found[f"recall/{depth}/image_to_text"] = metrics.recall_at(image, own, depth)
                    found[f"recall/{depth}/text_to_image"] = metrics.recall_at(own, image, depth)
    if 1 < len(present) < len(label):
        if len(label) * len(present) * image.shape[1] <= MOST_WORK:
            agreement = metrics.cluster_agreement(image, label)
            for name, value in zip(("v_measure", "ari"), agreement, strict=True):
                found[f"kmeans/{name}"] = torch.tensor(value, dtype=torch.float64)
        ranks = metrics.within_ranks(image, label, size)
        if bool((known := ranks[ranks.isfinite()]).numel()):
            found["effective_rank/within"] = known.mean()
    return found


def _ahead(
    samples: SampleMeasures, image: Tensor, label: Tensor, text: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Class-balanced means of margins, their squares and distances to the boundary.

    From the sweep, where it looked at these same images, else of the (N, D) given.
    """
    swept = (samples.margins, samples.margin_squares, samples.boundaries)
    if all(column is not None for column in swept):
        present = samples.counts > 0
        mean, square, boundary = (c[present].mean() for c in swept if c is not None)
        return mean, square, boundary
    ahead, boundary = (each.double() for each in margins_and_boundaries(image, label, text))
    mean, square, boundary = (
        metrics.class_balanced_mean(values, label, len(text))
        for values in (ahead, ahead.square(), boundary)
    )
    return mean, square, boundary


def within_ranks(prepared: Prepared) -> Tensor:
    """(K,) effective rank of each class's images; NaN where there are fewer than two."""
    image, label = _drawn(prepared)
    return metrics.within_ranks(image, label, len(prepared.classnames))


def _drawn(prepared: Prepared) -> tuple[Tensor, Tensor]:
    """At most `MOST` labelled images, unit rows where the convention is so, and their labels."""
    assert prepared.image is not None
    assert prepared.label is not None
    kept = (prepared.label >= 0).nonzero().flatten()
    if len(kept) > MOST:
        order = kept[torch.argsort(prepared.label[kept], stable=True)]
        kept = order[:: -(-len(order) // MOST)]
    rows = working(prepared.image[kept])
    rows = metrics.normalise_rows(rows) if prepared.normalise else rows.double()
    return rows, prepared.label[kept]
