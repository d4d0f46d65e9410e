import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    CONVENTIONS,
    cdnv,
    class_moments,
    cross_etf_distance,
    equinorm,
    etf_distance,
    nc1,
    nc4,
    self_duality,
    under_convention,
)
from tests import reference
from tests.shapes import noisy_samples, normal, random_rows, simplex_etf, unit_rows

every_tool = pytest.mark.parametrize("tool", list(CONVENTIONS))


def samples(counts=(9, 4, 30, 5, 2, 7)):
    features, labels = noisy_samples(unit_rows(6, 8), list(counts), 0.3)
    return features, labels, random_rows(6, 8, seed=5)


@every_tool
def test_balanced_classes_make_the_sample_mean_the_balanced_one(tool):
    features, labels, weights = samples([5] * 6)
    found = under_convention(tool, features, labels, weights)
    trace = 6 if CONVENTIONS[tool].nc1 == "trace, rank K-1" else 1
    if tool != "kowalski":
        assert_close(found["nc1"], trace * nc1(features, labels, 6))
    means = class_moments(features, labels, 6).means
    expected = {
        "etf": cross_etf_distance(image_means=means, text=weights, center="image"),
        "etf, both centred": cross_etf_distance(image_means=means, text=weights, center="both"),
        "norm": self_duality(means - means.mean(dim=0), weights),
        "norm squared": self_duality(means - means.mean(dim=0), weights).square(),
    }
    assert_close(found["nc3"], expected[CONVENTIONS[tool].nc3])


@every_tool
def test_a_tool_returns_what_the_table_says_it_has(tool):
    how = CONVENTIONS[tool]
    found = under_convention(tool, *samples())
    optional = {
        "equinorm": how.equinorm,
        "equiangular": how.equiangular,
        "etf_error": how.etf_error,
        "nc4": how.nc4,
        "cdnv": how.cdnv_ddof,
    }
    assert found.keys() == {"nc1", "nc3"} | {k for k, v in optional.items() if v is not None}
    assert all(value.dtype == torch.float64 for value in found.values())


@every_tool
def test_within_scatter_is_averaged_over_samples(tool):
    features, labels, weights = samples()
    f, y = features.numpy(), labels.numpy()
    means, counts = reference.class_means(f, y, 6), np.bincount(y)
    within = np.average(reference.covariances(f, y, 6), axis=0, weights=counts)
    balanced = CONVENTIONS[tool].global_mean == "balanced"
    centre = means.mean(axis=0) if balanced else f.mean(axis=0)
    between = reference.between_scatter(means, centre)
    if tool == "kowalski":
        between = (f - centre).T @ (f - centre) / 6
    trace = np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True))
    expected = trace if tool == "papyan" else trace / 6
    assert under_convention(tool, features, labels, weights)["nc1"].item() == pytest.approx(
        expected
    )


def test_signed_log_norms_cancel_and_see_the_class_order():
    # Norms 1, 3, 1, 3, ... of 48 classes, opposites in pairs so that they are centred.
    axes = torch.eye(24).double() * torch.tensor([1.0, 3.0] * 12).double()
    means = torch.stack([axes[0::2], axes[1::2], -axes[0::2], -axes[1::2]], dim=1).flatten(0, 1)
    labels = torch.arange(48).repeat_interleave(2)
    found = under_convention("nc-toolbox", means.repeat_interleave(2, 0), labels, means)
    assert found["equinorm"].item() == pytest.approx(-math.log(3) / 47)
    permuted = means[means.norm(dim=1).argsort(stable=True)]
    found = under_convention("nc-toolbox", permuted.repeat_interleave(2, 0), labels, permuted)
    assert found["equinorm"].item() == pytest.approx(-math.log(3) * 24 * 24 / (48 * 47 / 2))
    assert equinorm(means, centred=True).item() == pytest.approx(0.5)


def test_equinorm_of_the_notebook_divides_by_one_less():
    features, labels, weights = samples([5] * 6)
    norms = class_moments(features, labels, 6).means
    expected = equinorm(norms, centred=True).item() * math.sqrt(6 / 5)
    found = under_convention("papyan", features, labels, weights)["equinorm"]
    assert found.item() == pytest.approx(expected)


def test_variances_of_cdnv_may_be_unbiased():
    features, labels, weights = samples()
    moments = class_moments(features, labels, 6)
    assert_close(under_convention("rhubarb", features, labels, weights)["cdnv"], cdnv(moments))
    f, y = features.numpy(), labels.numpy()
    unbiased = [np.trace(np.cov(f[y == k].T, ddof=1)) for k in range(6)]
    means = reference.class_means(f, y, 6)
    ratios = [
        (unbiased[a] + unbiased[b]) / (2 * np.sum((means[a] - means[b]) ** 2))
        for a, b in reference.pairs(6)
    ]
    found = under_convention("nc-toolbox", features, labels, weights)["cdnv"]
    assert found.item() == pytest.approx(np.mean(ratios))


def test_a_bias_reaches_only_the_tools_that_use_it():
    features, labels, weights = samples()
    bias = torch.tensor([50.0, 0, 0, 0, 0, 0])
    ignored = under_convention("rhubarb", features, labels, weights, bias=bias)["nc4"]
    assert_close(ignored, nc4(features, labels, weights))
    agreement = under_convention("nc-toolbox", features, labels, weights, bias=bias)["nc4"]
    assert_close(agreement, nc4(features, labels, weights, bias=bias))
    mismatch = under_convention("papyan", features, labels, weights, bias=bias)["nc4"]
    assert_close(mismatch, 1 - agreement)


def test_the_classifier_is_centred_by_one_tool_only():
    features, labels, weights = samples()
    raw, centred = etf_distance(weights), etf_distance(weights, centred=True)
    means = class_moments(features, labels, 6).means
    expected = {
        "rhubarb": etf_distance(means, centred=True),
        "kowalski": raw,
        "tding1": raw,
        "nc_loss": centred,
    }
    for tool, value in expected.items():
        found = under_convention(tool, features, labels, weights)["etf_error"]
        assert_close(found, value)


def test_ignored_labels_are_left_out_and_half_precision_is_computed_in_float64():
    features, labels, weights = samples()
    more = torch.cat([features, normal(4, 8)]), torch.cat([labels, torch.full((4,), -1)])
    for tool in CONVENTIONS:
        expected = under_convention(tool, features, labels, weights)
        assert_close(under_convention(tool, *more, weights), expected)
        half = under_convention(tool, features.bfloat16(), labels, weights.bfloat16())
        wide = under_convention(tool, features.bfloat16().double(), labels, weights.bfloat16())
        assert_close(half, wide)


def test_refusals_name_what_is_known():
    features, labels, weights = samples()
    with pytest.raises(ShapeError, match="unknown convention 'x'; known: rhubarb, nc-toolbox, kow"):
        under_convention("x", features, labels, weights)
    with pytest.raises(ShapeError, match="an empty class has no value under this convention"):
        under_convention("tding1", features, labels, simplex_etf(7, 8))
    with pytest.raises(ShapeError, match=r"`classifier` must be a floating \(K, D\) tensor"):
        under_convention("tding1", features, labels, weights.long())
    with pytest.raises(ShapeError, match=r"`classifier` is \(6, 7\); expected \(K, 8\)"):
        under_convention("tding1", features, labels, weights[:, :7])
