"""What `ncscope.metrics` offers: every name is listed, and says how to read its number."""

import inspect
import re

import pytest

import ncscope.metrics

# How a docstring may say what its number means: a range, a bound, a direction, or the ideal.
READING = re.compile(
    r"[Ii]n \[|[Rr]ange|[Ll]ower|[Hh]igher|>= 0|ideal|at an ETF|Least|Largest|bound"
)
# What gives no number to read: data, the frame itself, and parts others are made of.
NOT_MEASURES = {
    "ClassMoments", "Interval", "MomentsAccumulator", "PullPush", "SampleAccumulator",
    "SampleMeasures", "pull_push",
    "Whitening", "bootstrap", "centre_rows", "class_balanced_mean", "class_moments",
    "confidence_bins", "cosine_summary", "cosine_table", "cpt_clusters", "decisions", "etf_gram",
    "frequency_groups", "intervals_of", "ncc_predictions", "nearest_etf", "normalise_rows",
    "off_diagonal",
    "pair_mean", "pair_means", "resample_classes", "resample_within_classes", "simplex_etf",
    "under_convention", "whitening",
}  # fmt: skip
OFFERED = [name for name in ncscope.metrics.__all__ if callable(getattr(ncscope.metrics, name))]


def test_all_lists_the_public_names_in_order():
    public = [
        name
        for name, value in vars(ncscope.metrics).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    ]
    assert ncscope.metrics.__all__ == sorted(public)


@pytest.mark.parametrize("name", OFFERED)
def test_every_name_is_explained(name):
    assert (getattr(ncscope.metrics, name).__doc__ or "").strip()


@pytest.mark.parametrize("name", sorted(set(OFFERED) - NOT_MEASURES))
def test_every_measure_states_its_range_or_direction(name):
    assert READING.search(getattr(ncscope.metrics, name).__doc__)
