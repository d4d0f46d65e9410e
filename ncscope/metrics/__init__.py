"""Measures of neural collapse: pure functions of tensors, differentiable where defined.

Conventions (all measures, unless a docstring says otherwise): class-balanced statistics, population
moments (ddof 0), distances not squared, raw and centred forms side by side, vectors used as given
(l2-normalise them first with `normalise_rows`), results on the input's device; half precision is
computed in float32 and float64 stays float64.

Lists and NumPy arrays are taken for tensors. Images come before text: `features, labels, text` of
samples, `image_means, text` of classes.

K classes, D embedding width, N samples. `text` and class means are (K, D), `features` (N, D).
"""

from inspect import isfunction as _isfunction

from ncscope.metrics.accuracy import (
    binned_ece,
    class_mean_accuracy,
    confidence_bins,
    ece,
    frequency_groups,
    harmonic_mean,
    per_class_accuracy,
    top1,
)
from ncscope.metrics.arrays import takes_arrays as _takes_arrays
from ncscope.metrics.bootstrap import (
    Interval,
    bootstrap,
    intervals_of,
    pair_mean,
    pair_means,
    resample_classes,
    resample_within_classes,
)
from ncscope.metrics.conventions import CONVENTIONS, under_convention
from ncscope.metrics.decision import decisions, nc4, ncc_mismatch, ncc_predictions
from ncscope.metrics.drift import (
    centre_and_spread,
    conformity,
    drift_angles,
    drift_outside,
    gap_parts,
)
from ncscope.metrics.duality import (
    alignment,
    cka_distance,
    class_balanced_mean,
    cosine_table,
    cross_etf_distance,
    delta_mid,
    delta_mid_batch,
    matched_cosines,
    modality_gap,
    modality_gap_samples,
    self_duality,
    unc3,
    uniformity,
)
from ncscope.metrics.frames import (
    delta_lcd_ceiling,
    delta_lcd_floor,
    etf_distance_ceiling,
    etf_distance_floor,
    etf_gram,
    nearest_etf,
    rankin_bound,
    simplex_etf,
    welch_bound,
)
from ncscope.metrics.geometry import (
    cosine_summary,
    delta_lcd,
    equiangular,
    equinorm,
    etf_distance,
    gnc2,
    gram_distance,
    max_angle,
    nearest_cosine,
    one_vs_rest_distance,
)
from ncscope.metrics.margin import (
    boundary_distances,
    cluster_agreement,
    margins,
    recall_at,
    within_ranks,
)
from ncscope.metrics.moments import ClassMoments, MomentsAccumulator, class_moments
from ncscope.metrics.objective import (
    PullPush,
    anchored,
    cpt_cc,
    cpt_clusters,
    cpt_rs,
    cpt_tetf,
    dispersion,
    dot_regression,
    log_collapse,
    orthogonality,
    pull_push,
    push_pull,
)
from ncscope.metrics.one_pass import pair_geometry
from ncscope.metrics.rows import centre_rows, normalise_rows, off_diagonal, pairwise_cosines
from ncscope.metrics.spectrum import effective_rank, hierarchy_retention, participation_ratio
from ncscope.metrics.sweep import SampleAccumulator, SampleMeasures
from ncscope.metrics.variability import Whitening, cdnv, nc1, spread_ratio, whitening

__all__ = [
    "CONVENTIONS",
    "ClassMoments",
    "Interval",
    "MomentsAccumulator",
    "PullPush",
    "SampleAccumulator",
    "SampleMeasures",
    "Whitening",
    "alignment",
    "anchored",
    "binned_ece",
    "bootstrap",
    "boundary_distances",
    "cdnv",
    "centre_and_spread",
    "centre_rows",
    "cka_distance",
    "class_balanced_mean",
    "class_mean_accuracy",
    "class_moments",
    "cluster_agreement",
    "confidence_bins",
    "conformity",
    "cosine_summary",
    "cosine_table",
    "cpt_cc",
    "cpt_clusters",
    "cpt_rs",
    "cpt_tetf",
    "cross_etf_distance",
    "decisions",
    "delta_lcd",
    "delta_lcd_ceiling",
    "delta_lcd_floor",
    "delta_mid",
    "delta_mid_batch",
    "dispersion",
    "dot_regression",
    "drift_angles",
    "drift_outside",
    "ece",
    "effective_rank",
    "equiangular",
    "equinorm",
    "etf_distance",
    "etf_distance_ceiling",
    "etf_distance_floor",
    "etf_gram",
    "frequency_groups",
    "gap_parts",
    "gnc2",
    "gram_distance",
    "harmonic_mean",
    "hierarchy_retention",
    "intervals_of",
    "log_collapse",
    "margins",
    "matched_cosines",
    "max_angle",
    "modality_gap",
    "modality_gap_samples",
    "nc1",
    "nc4",
    "ncc_mismatch",
    "ncc_predictions",
    "nearest_cosine",
    "nearest_etf",
    "normalise_rows",
    "off_diagonal",
    "one_vs_rest_distance",
    "orthogonality",
    "pair_geometry",
    "pair_mean",
    "pair_means",
    "pairwise_cosines",
    "participation_ratio",
    "per_class_accuracy",
    "pull_push",
    "push_pull",
    "rankin_bound",
    "recall_at",
    "resample_classes",
    "resample_within_classes",
    "self_duality",
    "simplex_etf",
    "spread_ratio",
    "top1",
    "unc3",
    "under_convention",
    "uniformity",
    "welch_bound",
    "whitening",
    "within_ranks",
]

for _name in __all__:  # here, so that what the rooms below call is the bare function
    if _isfunction(globals()[_name]):
        globals()[_name] = _takes_arrays(globals()[_name])
