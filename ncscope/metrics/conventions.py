"""What the same features measure under other tools' conventions: "our value as X would print it".

N samples, K classes, D embedding width. Neural-collapse numbers disagree between tools by factors;
this table says why. Each preset follows the formula read in the named source, wrong ones included
and marked as such, but is computed as carefully as our own: rounding faults are not imitated (a
float32 pseudo-inverse at rcond 1e-15, say, returns 1e11 where the formula gives 0.08).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ncscope.errors import ShapeError
from ncscope.metrics.decision import nc4
from ncscope.metrics.duality import labelled_rows
from ncscope.metrics.geometry import gram_distance
from ncscope.metrics.moments import ClassMoments, class_moments
from ncscope.metrics.rows import off_diagonal, pairwise_cosines
from ncscope.metrics.variability import cdnv


@dataclass(frozen=True)
class Convention:
    """How one tool turns features and classifier into numbers; None: it has no such measure."""

    source: str
    global_mean: Literal["balanced", "sample"]
    nc1: Literal["/K", "trace, rank K-1", "total scatter (wrong)"]
    equinorm: Literal["cv ddof 1", "signed log differences (wrong)"] | None = None
    equiangular: Literal["mean abs", "signed mean (blind)"] | None = None
    etf_error: Literal["means", "classifier", "classifier centred"] | None = None
    nc3: Literal["etf", "etf, both centred", "norm", "norm squared"] = "etf"
    nc4: Literal["agreement, bias ignored", "agreement", "mismatch"] | None = None
    cdnv_ddof: Literal[0, 1] | None = None


CONVENTIONS = {
    "rhubarb": Convention(
        "rhubarbwu/neural-collapse c05a0b8", "balanced", "/K", etf_error="means",
        nc4="agreement, bias ignored", cdnv_ddof=0,
    ),
    "nc-toolbox": Convention(
        "felixsh/nc-toolbox a527f99", "sample", "/K", equinorm="signed log differences (wrong)",
        equiangular="signed mean (blind)", nc3="norm", nc4="agreement", cdnv_ddof=1,
    ),
    "kowalski": Convention(
        "kowalski 0.0.2", "sample", "total scatter (wrong)", etf_error="classifier", cdnv_ddof=0,
    ),
    "papyan": Convention(
        "neuralcollapse/neuralcollapse 7f12011", "balanced", "trace, rank K-1",
        equinorm="cv ddof 1", equiangular="mean abs", nc3="norm squared", nc4="mismatch",
    ),
    "tding1": Convention(
        "tding1/Neural-Collapse 04ef586", "sample", "/K", etf_error="classifier",
    ),
    "nc_loss": Convention(
        "jinxinzhou/nc_loss a294e2a", "sample", "/K", etf_error="classifier centred",
        nc3="etf, both centred",
    ),
}  # fmt: skip


def under_convention(
    name: str,
    features: Tensor,
    labels: Tensor,
    classifier: Tensor,
    *,
    bias: Tensor | None = None,
) -> dict[str, Tensor]:
    """Measures of (N, D) features and a (K, D) classifier as the tool `name` defines them.

    Returns:
        `nc1`, `nc3`, and where the tool has them `equinorm`, `equiangular`, `etf_error`, `nc4`
        (papyan: the mismatch) and `cdnv`, in float64. Features are used as given.

    Raises:
        ShapeError: unknown name, wrong shapes, an empty class (the peers return zeros, crash, or
            drop it), or K - 1 > D where the rank is forced.
    """
    if name not in CONVENTIONS:
        raise ShapeError(f"unknown convention {name!r}; known: {', '.join(CONVENTIONS)}")
    how = CONVENTIONS[name]
    rows, targets = labelled_rows(features, labels, classifier, name="classifier")
    rows = rows.double()
    moments = class_moments(rows, targets, len(classifier))
    if len(moments.present) < len(classifier):
        raise ShapeError("an empty class has no value under this convention; drop it first")
    weights = classifier.double()
    centre = moments.global_mean if how.global_mean == "balanced" else moments.sample_mean
    offsets = moments.means - centre
    found = {
        "nc1": _nc1(how, rows, targets, moments, offsets),
        "nc3": _nc3(how, weights, offsets),
    }
    found |= _nc2(how, weights, offsets)
    if how.nc4 is not None:
        used = None if how.nc4 == "agreement, bias ignored" else bias
        agreement = nc4(rows, targets, weights, bias=used)
        found["nc4"] = 1 - agreement if how.nc4 == "mismatch" else agreement
    if how.cdnv_ddof is not None:
        found["cdnv"] = _cdnv(moments, how.cdnv_ddof)
    return found


def _nc1(
    how: Convention, rows: Tensor, targets: Tensor, moments: ClassMoments, offsets: Tensor
) -> Tensor:
    num_classes = len(offsets)
    residuals = rows - moments.means[targets]
    between = offsets.T @ offsets / num_classes
    if how.nc1 == "total scatter (wrong)":
        spread = rows - moments.sample_mean
        between = spread.T @ spread / num_classes  # summed over samples: falls as 1/N
    rank = min(num_classes - 1, rows.shape[1])
    if how.nc1 == "trace, rank K-1":
        if num_classes - 1 > rows.shape[1]:
            raise ShapeError(
                f"rank K - 1 = {num_classes - 1} is forced, but D = {rows.shape[1]} is smaller"
            )
        values, vectors = torch.linalg.eigh(between)
        inverse = vectors[:, -rank:] / values[-rank:] @ vectors[:, -rank:].T
    else:
        inverse = torch.linalg.pinv(between, rtol=1e-12, hermitian=True)
    trace = ((residuals @ inverse) * residuals).sum(dim=1).mean()
    return trace if how.nc1 == "trace, rank K-1" else trace / num_classes


def _nc2(how: Convention, weights: Tensor, offsets: Tensor) -> dict[str, Tensor]:
    found = {}
    norms = offsets.norm(dim=1)
    if how.equinorm == "cv ddof 1":
        found["equinorm"] = norms.std() / norms.mean()
    elif how.equinorm is not None:
        logs = norms.log()
        upper = torch.triu_indices(len(logs), len(logs), offset=1, device=logs.device)
        found["equinorm"] = (logs[upper[0]] - logs[upper[1]]).mean()
    if how.equiangular is not None:
        gaps = off_diagonal(pairwise_cosines(offsets)) + 1 / (len(offsets) - 1)
        found["equiangular"] = (gaps.abs() if how.equiangular == "mean abs" else gaps).mean()
    if how.etf_error is not None:
        vectors = {
            "means": offsets,
            "classifier": weights,
            "classifier centred": weights - weights.mean(dim=0),
        }[how.etf_error]
        found["etf_error"] = gram_distance(vectors @ vectors.T)
    return found


def _nc3(how: Convention, weights: Tensor, offsets: Tensor) -> Tensor:
    if how.nc3 == "etf":
        return gram_distance(weights @ offsets.T)
    if how.nc3 == "etf, both centred":
        return gram_distance((weights - weights.mean(dim=0)) @ offsets.T)
    distance = (weights / weights.norm() - offsets / offsets.norm()).norm()
    return distance.square() if how.nc3 == "norm squared" else distance


def _cdnv(moments: ClassMoments, ddof: int) -> Tensor:
    counts = moments.counts.double()
    spreads = moments.spreads * counts / (counts - ddof)
    return cdnv(ClassMoments(moments.counts, moments.means, spreads), keep_singletons=True)
