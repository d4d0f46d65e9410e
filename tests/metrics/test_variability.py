import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import ClassMoments, cdnv, class_moments, nc1, spread_ratio, whitening
from tests import reference
from tests.shapes import (
    noisy_samples,
    normal,
    random_rotation,
    random_rows,
    simplex_etf,
    unit_rows,
)

seeds = st.integers(0, 2**31 - 1)
VARIANTS = ("default", "papyan", "svd", "quotient", "weak")
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def samples(num_classes=6, width=8, counts=(9, 4, 30, 5, 2, 7), noise=0.3, seed=0):
    return noisy_samples(
        unit_rows(num_classes, width, seed=seed), list(counts)[:num_classes], noise, seed=seed
    )


def measures(features, labels, num_classes):
    """All variability measures of one set of samples, as one dict."""
    found = {v: nc1(features, labels, num_classes, variant=v) for v in VARIANTS}  # pyright: ignore
    return found | {"cdnv": cdnv(class_moments(features, labels, num_classes))}


@given(seeds, st.sampled_from([(6, 8), (6, 5), (5, 4), (3, 2), (2, 7)]))
def test_every_measure_is_its_formula(seed, size):
    num_classes, width = size
    features, labels = samples(num_classes, width, seed=seed % 10_000)
    f, y = features.numpy(), labels.numpy()
    means = reference.class_means(f, y, num_classes)
    between = float(np.trace(reference.between_scatter(means, means.mean(axis=0))))
    within = float(reference.spreads(f, y, num_classes).mean())
    trace = reference.nc1(f, y, num_classes) * num_classes
    expected = {
        "default": trace / num_classes,
        "papyan": trace,
        "svd": trace / num_classes,
        "quotient": within / between,
        "weak": within / (within + between),
        "cdnv": reference.cdnv(f, y, num_classes),
    }
    found = measures(features, labels, num_classes)
    assert {k: v.item() for k, v in found.items()} == pytest.approx(expected, rel=1e-7)


def test_more_classes_than_dimensions_have_a_pseudo_inverse_but_no_rank_to_force():
    features, labels = noisy_samples(unit_rows(20, 6), 5, 0.3)
    expected = reference.nc1(features.numpy(), labels.numpy(), 20)
    assert nc1(features, labels, 20).item() == pytest.approx(expected)
    for variant in ("papyan", "svd"):
        with pytest.raises(
            ShapeError, match=r"K = 20 classes in D = 6 .* rank 6 \(at most 6\); 19 dir"
        ):
            nc1(features, labels, 20, variant=variant)


@pytest.mark.parametrize(("radius", "noise"), [(1.0, 0.1), (2.0, 0.3)])
def test_gaussian_noise_around_an_etf_has_the_expected_values(radius, noise):
    k, d, n, seeds_ = 10, 64, 200, range(8)
    found = []
    for seed in seeds_:
        features, labels = noisy_samples(radius * simplex_etf(k, d, seed=seed), n, noise, seed=seed)
        found.append({key: v.item() for key, v in measures(features, labels, k).items()})
    mean = {key: float(np.mean([each[key] for each in found])) for key in found[0]}
    variance = noise**2 * (1 - 1 / n)
    assert mean["default"] == pytest.approx(variance * (k - 1) ** 2 / (k * radius**2), rel=0.02)
    sampled = 2 * noise**2 * d / n  # what the sampled means add to their squared distances
    ratio = variance * d / (2 * k * radius**2 / (k - 1) + sampled)
    assert mean["cdnv"] == pytest.approx(ratio, rel=0.02)
    ratio = variance * d / (radius**2 + sampled / 2 * (1 - 1 / k))
    assert mean["quotient"] == pytest.approx(ratio, rel=0.02)


def test_corrected_forms_are_their_formula():
    features, labels = samples(5, 8, counts=(2, 3, 9, 2, 4))
    f, y, k = features.numpy(), labels.numpy(), 5
    rows = [f[y == c] for c in range(k)]
    counts = np.array([len(some) for some in rows])
    spreads = np.array([some.var(axis=0, ddof=1).sum() for some in rows])
    means = np.array([some.mean(axis=0) for some in rows])
    between = ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()
    between -= (1 - 1 / k) * (spreads / counts).mean()
    found = nc1(features, labels, k, variant="corrected")
    assert found.item() == pytest.approx(spreads.mean() / between, rel=1e-9)
    pairs = [(a, b) for a in range(k) for b in range(a)]
    gaps = [
        ((means[a] - means[b]) ** 2).sum() - spreads[a] / counts[a] - spreads[b] / counts[b]
        for a, b in pairs
    ]
    ratios = [(spreads[a] + spreads[b]) / 2 / gap for (a, b), gap in zip(pairs, gaps, strict=True)]
    found = cdnv(class_moments(features, labels, k), corrected=True)
    assert found.item() == pytest.approx(np.mean(ratios), rel=1e-9)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_corrected_forms_of_few_images_are_those_of_many(n):
    k, d, noise = 40, 64, 0.1
    means = simplex_etf(k, d)
    within, gap = d * noise**2, 2 * k / (k - 1)  # of the population; its means have length 1
    found = {"nc1": [], "plain": [], "cdnv": []}
    for seed in range(6):
        features, labels = noisy_samples(means, n, noise, seed=seed)
        found["nc1"].append(nc1(features, labels, k, variant="corrected").item())
        found["plain"].append(nc1(features, labels, k, variant="quotient").item())
        moments = class_moments(features, labels, k)
        found["cdnv"].append(cdnv(moments, corrected=True).item())
    assert np.mean(found["nc1"]) == pytest.approx(within, rel=0.04)
    assert np.mean(found["cdnv"]) == pytest.approx(within / gap, rel=0.06)
    assert np.mean(found["plain"]) < 0.93 * within  # what the correction is for


def test_corrected_forms_say_nothing_of_means_no_farther_apart_than_their_noise():
    features, labels = noisy_samples(torch.zeros(2, 500, dtype=torch.float64), 2, 1.0, seed=5)
    close = class_moments(features, labels, 2)
    values = [cdnv(close, corrected=True), nc1(features, labels, 2, variant="corrected")]
    assert all(bool(value.isnan()) or float(value) > 10 for value in values)
    one = class_moments(features[:3], torch.tensor([0, 0, 1]), 2)
    for value in (cdnv(one, corrected=True), spread_ratio(one, corrected=True)):
        assert value.isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_classes", "width"), [(2, 2), (2, 512), (10, 9), (10, 512), (9, 4)])
def test_perfect_collapse_is_zero(num_classes, width, dtype):
    means = unit_rows(num_classes, width).to(dtype)
    features, labels = means.repeat_interleave(3, 0), torch.arange(num_classes).repeat_interleave(3)
    moments = class_moments(features, labels, num_classes)
    assert cdnv(moments).item() == pytest.approx(0, abs=1e-25)
    for variant in VARIANTS if num_classes <= width + 1 else ("default", "quotient", "weak"):
        found = nc1(features, labels, num_classes, variant=variant)
        assert found.item() == pytest.approx(0, abs=1e-25)


@pytest.mark.parametrize("noise", [0, 0.1])
def test_two_classes_at_one_place_lose_rank_and_are_infinitely_unseparated(noise):
    # The same samples in both, in another order and number: equal means up to rounding.
    features, labels = noisy_samples(unit_rows(5, 8), 7, noise)
    copied = features[labels == 1].flip(0).repeat(3, 1)
    features, labels = torch.cat([features, copied]), torch.cat([labels, torch.full((21,), 5)])
    moments = class_moments(features, labels, 6)
    white = whitening(moments)
    assert (white.rank, white.full_rank) == (4, 5)
    assert cdnv(moments).item() == math.inf
    expected = reference.nc1(features.numpy(), labels.numpy(), 6)
    assert nc1(features, labels, 6).item() == pytest.approx(expected)
    for variant in ("papyan", "svd"):
        with pytest.raises(ShapeError, match=r"rank 4 \(at most 5\); 5 directions were asked for"):
            nc1(features, labels, 6, variant=variant)


@pytest.mark.parametrize("variant", ["default", "papyan", "svd"])
def test_all_means_at_one_place_are_refused(variant):
    features, labels = torch.ones(8, 3), torch.arange(8) % 4
    with pytest.raises(ShapeError, match="all class means coincide"):
        nc1(features, labels, 4, variant=variant)
    assert spread_ratio(class_moments(features, labels, 4)).isnan()


@every_variant
def test_classes_of_one_sample_keep_their_mean_but_have_no_spread(variant):
    features, labels = samples(counts=(9, 4, 30, 5, 1, 1))
    moments = class_moments(features, labels, 6)
    kept = labels < 4
    rows = features[kept] - moments.means[labels[kept]]
    found = nc1(features, labels, 6, variant=variant)
    spread = float(reference.spreads(features.numpy(), labels.numpy(), 6)[:4].mean())
    means = reference.class_means(features.numpy(), labels.numpy(), 6)
    between = reference.between_scatter(means, means.mean(axis=0))
    inverse = torch.tensor(np.linalg.pinv(between, rcond=1e-10))
    shares = ((rows @ inverse) * rows).sum(dim=1).numpy()
    trace = reference.class_balanced(shares, labels[kept].numpy())
    ratio = spread / float(np.trace(between))
    expected = {
        "default": trace / 6,
        "papyan": trace,
        "svd": trace / 6,
        "quotient": ratio,
        "weak": ratio / (1 + ratio),
    }
    assert found.item() == pytest.approx(expected[variant])
    with_them = nc1(features, labels, 6, variant=variant, keep_singletons=True)
    assert with_them < found


def test_cdnv_leaves_classes_of_one_sample_out():
    features, labels = samples(counts=(9, 4, 30, 5, 1, 1))
    f, y = features.numpy(), labels.numpy()
    found = cdnv(class_moments(features, labels, 6)).item()
    assert found == pytest.approx(reference.cdnv(f[y < 4], y[y < 4], 4))
    kept = cdnv(class_moments(features, labels, 6), keep_singletons=True).item()
    means, spreads = reference.class_means(f, y, 6), reference.spreads(f[y < 4], y[y < 4], 4)
    spreads = [*spreads, 0, 0]
    ratios = [
        (spreads[a] + spreads[b]) / (2 * np.sum((means[a] - means[b]) ** 2))
        for a, b in reference.pairs(6)
    ]
    assert kept == pytest.approx(np.mean(ratios))


def test_classes_of_one_sample_only_are_undefined():
    features, labels = random_rows(6, 8), torch.arange(6)
    for variant in VARIANTS:
        assert nc1(features, labels, 6, variant=variant).isnan()  # pyright: ignore
    moments = class_moments(features, labels, 6)
    assert cdnv(moments).isnan()
    assert cdnv(class_moments(features[[0, 0, 1]], torch.tensor([0, 0, 1]), 6)).isnan()
    assert cdnv(moments, keep_singletons=True).item() == 0


def test_an_empty_class_is_left_out_of_both_scatters():
    features, labels = samples(counts=(9, 4, 30, 5, 2, 7))
    spread_out = torch.tensor([0, 1, 3, 4, 6, 7])[labels]
    for key, value in measures(features, labels, 6).items():
        assert_close(measures(features, spread_out, 8)[key], value)


def test_distance_exponent_of_cdnv():
    features, labels = samples()
    moments = class_moments(features, labels, 6)
    means, spreads = moments.means.numpy(), moments.spreads.numpy()
    ratios = [
        (spreads[a] + spreads[b]) / (2 * np.linalg.norm(means[a] - means[b]) ** (2 * 0.5))
        for a, b in reference.pairs(6)
    ]
    assert cdnv(moments, dist_exp=0.5).item() == pytest.approx(np.mean(ratios))


CHANGES = {
    "scale": lambda f, y: (0.01 * f, y),
    "rotation": lambda f, y: (f @ random_rotation(f.shape[1]), y),
    "shift": lambda f, y: (f + 1e3, y),
    "class order": lambda f, y: (f, torch.tensor([3, 5, 0, 1, 4, 2])[y]),
    "sample order": lambda f, y: (f.flip(0), y.flip(0)),
    "every sample twice": lambda f, y: (f.repeat(2, 1), y.repeat(2)),
    "head class three times": lambda f, y: (
        torch.cat([f, f[y == 2], f[y == 2]]),
        torch.cat([y, y[y == 2], y[y == 2]]),
    ),
    "ignored samples": lambda f, y: (
        torch.cat([f, normal(5, f.shape[1])]),
        torch.cat([y, torch.full((5,), -1)]),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changes_that_no_measure_sees(change):
    features, labels = samples()
    expected = measures(features, labels, 6)
    changed, marked = change(features, labels)
    for key, value in measures(changed, marked, 6).items():
        assert_close(value, expected[key], rtol=1e-6, atol=0)


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_float32_samples_keep_their_measures(shift):
    features, labels = samples(width=64, noise=0.1)
    stored = (features + shift).float()
    expected = measures(stored.double(), labels, 6)
    for key, value in measures(stored, labels, 6).items():
        assert_close(value.double(), expected[key], rtol=1e-6, atol=0)


@every_variant
def test_value_is_the_same_with_and_without_gradient(variant):
    features, labels = samples()
    found = nc1(features.clone().requires_grad_(), labels, 6, variant=variant)
    assert_close(found.detach(), nc1(features, labels, 6, variant=variant))


def test_weak_variant_stays_below_one():
    features, labels = samples(noise=100)
    assert 0.5 < nc1(features, labels, 6, variant="weak") < 1


@pytest.mark.parametrize(("num_classes", "width"), [(6, 8), (6, 5), (9, 4)])
def test_whitening_squares_to_the_pseudo_inverse(num_classes, width):
    features, labels = noisy_samples(unit_rows(num_classes, width), 4, 0.1)
    means = reference.class_means(features.numpy(), labels.numpy(), num_classes)
    between = reference.between_scatter(means, means.mean(axis=0))
    white = whitening(class_moments(features, labels, num_classes))
    inverse = np.linalg.pinv(between, rcond=1e-10)
    assert_close(white.matrix @ white.matrix.T, torch.tensor(inverse), rtol=1e-8, atol=1e-8)
    values = np.linalg.eigvalsh(between)[::-1][: white.rank]
    assert white.eigenvalues.tolist() == pytest.approx(values.tolist())
    assert white.rank == white.full_rank == min(num_classes - 1, width)
    assert white.condition == pytest.approx(values[0] / values[-1])


def test_rounding_of_the_stored_dtype_sets_the_cut():
    # Means in a plane, stored in float16: what leaves the plane is rounding.
    plane = random_rows(6, 2) @ random_rows(2, 32, seed=1)
    labels = torch.arange(6)
    assert whitening(class_moments(plane, labels, 6)).rank == 2
    stored = class_moments(plane.half(), labels, 6)
    assert stored.resolution == torch.finfo(torch.float16).eps
    assert whitening(stored).rtol > 1e-7
    exact = ClassMoments(stored.counts, stored.means, stored.spreads)
    assert whitening(exact).rank == 5


def test_unknown_variant_lists_the_known_ones():
    features, labels = samples()
    with pytest.raises(ShapeError, match="unknown variant 'x' of nc1; known: default, papyan, svd"):
        nc1(features, labels, 6, variant="x")  # pyright: ignore


def test_fewer_than_two_classes_are_refused():
    with pytest.raises(ShapeError, match=r"1 of 3 classes have samples; at least 2 are needed"):
        nc1(random_rows(4, 3), torch.zeros(4).long(), 3)
    with pytest.raises(ShapeError, match=r"at least 2 classes are needed; got K = 1"):
        nc1(random_rows(4, 3), torch.zeros(4).long(), 1)
