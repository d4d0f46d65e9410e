"""Measures of neural collapse: pure functions of tensors, differentiable where defined.

Conventions (all measures, unless a docstring says otherwise): class-balanced statistics, population
moments (ddof 0), distances not squared, raw and centred forms side by side, vectors used as given
(l2-normalise them first with `normalise_rows`), results on the input's device; half precision is
computed in float32 and float64 stays float64.

K classes, D embedding width, N samples. `text` and class means are (K, D), `features` (N, D).
"""

from ncscope.metrics.accuracy import (
    binned_ece,
    class_mean_accuracy,
    confidence_bins,
    ece,
    harmonic_mean,
    per_class_accuracy,
    top1,
)
from ncscope.metrics.alignment import (
    alignment,
    modality_gap,
    modality_gap_samples,
    uniformity,
)
from ncscope.metrics.bootstrap import (
    Interval,
    bootstrap,
    pair_mean,
    resample_classes,
    resample_within_classes,
)
from ncscope.metrics.bounds import (
    delta_lcd_ceiling,
    delta_lcd_floor,
    etf_distance_ceiling,
    etf_distance_floor,
    rankin_bound,
    welch_bound,
)
from ncscope.metrics.conventions import CONVENTIONS, under_convention
from ncscope.metrics.cpt import cpt_cc, cpt_clusters, cpt_rs, cpt_tetf
from ncscope.metrics.decision import decisions, nc4, ncc_mismatch, ncc_predictions
from ncscope.metrics.duality import (
    cka_distance,
    class_balanced_mean,
    cosine_table,
    cross_etf_distance,
    delta_mid,
    delta_mid_batch,
    matched_cosines,
    self_duality,
    unc3,
)
from ncscope.metrics.frames import etf_gram, nearest_etf, simplex_etf
from ncscope.metrics.geometry import (
    cosine_summary,
    delta_lcd,
    equiangular,
    equinorm,
    etf_distance,
    gnc2,
    gram_distance,
    max_angle,
)
from ncscope.metrics.groups import frequency_groups
from ncscope.metrics.margin import one_vs_rest_distance
from ncscope.metrics.moments import ClassMoments, MomentsAccumulator, class_moments
from ncscope.metrics.objective import (
    anchored,
    dispersion,
    dot_regression,
    log_collapse,
    orthogonality,
    push_pull,
)
from ncscope.metrics.pull_push import PullPush, pull_push
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
    "cdnv",
    "centre_rows",
    "cka_distance",
    "class_balanced_mean",
    "class_mean_accuracy",
    "class_moments",
    "confidence_bins",
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
    "ece",
    "effective_rank",
    "equiangular",
    "equinorm",
    "etf_distance",
    "etf_distance_ceiling",
    "etf_distance_floor",
    "etf_gram",
    "frequency_groups",
    "gnc2",
    "gram_distance",
    "harmonic_mean",
    "hierarchy_retention",
    "log_collapse",
    "matched_cosines",
    "max_angle",
    "modality_gap",
    "modality_gap_samples",
    "nc1",
    "nc4",
    "ncc_mismatch",
    "ncc_predictions",
    "nearest_etf",
    "normalise_rows",
    "off_diagonal",
    "one_vs_rest_distance",
    "orthogonality",
    "pair_mean",
    "pairwise_cosines",
    "participation_ratio",
    "per_class_accuracy",
    "pull_push",
    "push_pull",
    "rankin_bound",
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
]
