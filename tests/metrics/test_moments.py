import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import MomentsAccumulator, cdnv, class_moments, normalise_rows, whitening
from tests import reference
from tests.shapes import noisy_samples, normal, unit_rows

COUNTS = (40, 1, 0, 9, 300)


def samples(*, dtype=torch.float64, shift=0.0, seed=0):
    """Five unbalanced classes, one of them empty, one of one sample; some labels ignored."""
    features, labels = noisy_samples(unit_rows(5, 12, seed=seed), list(COUNTS), 0.2, seed=seed)
    features = torch.cat([features, normal(6, 12, seed=seed + 1)]) + shift
    labels = torch.cat([labels, torch.full((6,), -1)])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return features[order].to(dtype), labels[order]


def accumulate(features, labels, *, batch=64, normalise=False):
    accumulator = MomentsAccumulator(5, features.shape[1], normalise=normalise)
    for rows, targets in zip(features.split(batch), labels.split(batch), strict=True):
        accumulator.update(rows, targets)
    return accumulator


def assert_same(found, expected, *, tolerance):
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.ignored == expected.ignored
    close = {"rtol": 0, "atol": tolerance, "equal_nan": True, "check_dtype": False}
    assert_close(found.means, expected.means, **close)
    assert_close(found.spreads, expected.spreads, **close)


def test_moments_are_the_loops_over_classes():
    features, labels = samples()
    found = class_moments(features, labels, 5)
    assert found.counts.tolist() == list(COUNTS)
    assert found.ignored == 6
    assert found.present.tolist() == [0, 1, 3, 4]
    for k in (0, 1, 3, 4):
        rows = features[labels == k]
        assert_close(found.means[k], rows.mean(dim=0))
        covariance = torch.cov(rows.T, correction=0)
        assert_close(found.spreads[k], covariance.trace(), rtol=1e-7, atol=1e-12)
    means = found.means[[0, 1, 3, 4]]
    assert_close(found.global_mean, means.mean(dim=0))
    assert_close(found.sample_mean, features[labels >= 0].mean(dim=0))


def test_an_empty_class_is_nan_and_not_zero():
    found = class_moments(*samples(), 5)
    assert found.means[2].isnan().all()
    assert found.spreads[2].isnan()
    found = accumulate(*samples()).compute()
    assert found.means[2].isnan().all()
    assert found.spreads[2].isnan()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_batches_of_any_size_give_the_moments_of_the_whole(batch, dtype):
    features, labels = samples(dtype=dtype)
    found = accumulate(features, labels, batch=batch).compute()
    tolerance = 1e-13 if dtype == torch.float64 else 1e-6
    assert_same(found, class_moments(features, labels, 5), tolerance=tolerance)
    summed = torch.float64 if dtype == torch.float64 else torch.float32
    assert found.resolution == max(torch.finfo(dtype).eps, 8 * torch.finfo(summed).eps)
    assert found.means.dtype == torch.float64


def test_rows_are_normalised_by_default():
    features, labels = samples(dtype=torch.float32)
    accumulator = MomentsAccumulator(5, 12)
    accumulator.update(features, labels)
    expected = class_moments(normalise_rows(features), labels, 5)
    assert_same(accumulator.compute(), expected, tolerance=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("normalise", [False, True])
def test_half_precision_is_computed_in_float32(dtype, normalise):
    features, labels = samples(dtype=dtype)
    half = accumulate(features, labels, normalise=normalise).compute()
    wide = accumulate(features.float(), labels, normalise=normalise).compute()
    assert_close(half.means, wide.means, rtol=0, atol=0, equal_nan=True)
    assert_close(half.spreads, wide.spreads, rtol=0, atol=0, equal_nan=True)
    pure = class_moments(features, labels, 5)
    assert_close(pure.means, class_moments(features.float(), labels, 5).means, equal_nan=True)


def test_sample_order_changes_nothing():
    features, labels = samples()
    expected = accumulate(features, labels).compute()
    assert_same(accumulate(features.flip(0), labels.flip(0)).compute(), expected, tolerance=1e-13)


def test_a_large_common_mean_costs_no_digits():
    features, labels = samples(shift=1e3)
    expected = class_moments(features, labels, 5)
    assert_same(accumulate(features, labels).compute(), expected, tolerance=1e-11)
    stored = features.float()  # to about 3e-5
    found = accumulate(stored, labels).compute()
    expected = class_moments(stored.double(), labels, 5)
    assert_close(found.means, expected.means, rtol=0, atol=2e-5, equal_nan=True)
    assert_close(found.spreads, expected.spreads, rtol=1e-4, atol=1e-6, equal_nan=True)


@given(st.lists(st.integers(0, 350), max_size=4), st.randoms(use_true_random=False))
def test_merging_shards_in_any_order_is_one_pass(cuts, random):
    features, labels = samples()
    bounds = sorted({0, len(labels), *cuts})
    shards = [accumulate(features[a:b], labels[a:b]) for a, b in pairwise(bounds)]
    random.shuffle(shards)
    total = MomentsAccumulator(5, 12, normalise=False)
    for shard in shards:
        total.merge(shard)
    assert_same(total.compute(), accumulate(features, labels).compute(), tolerance=1e-13)


def test_shards_around_distant_shifts_merge():
    features, labels = samples()
    near, far = accumulate(features, labels), accumulate(features + 100, labels)
    far.merge(near)
    both = class_moments(torch.cat([features + 100, features]), labels.repeat(2), 5)
    assert_same(far.compute(), both, tolerance=1e-8)


def test_merging_into_and_from_an_empty_accumulator():
    features, labels = samples()
    expected = accumulate(features, labels).compute()
    full, empty = accumulate(features, labels), MomentsAccumulator(5, 12, normalise=False)
    full.merge(empty)
    assert_same(full.compute(), expected, tolerance=0)
    empty.merge(full)
    assert_same(empty.compute(), expected, tolerance=1e-14)


def test_merging_leaves_the_other_as_it_was():
    features, labels = samples()
    left, right = accumulate(features[:50], labels[:50]), accumulate(features[50:], labels[50:])
    expected = accumulate(features[50:], labels[50:]).compute()
    left.merge(right)
    left.update(features[:9], labels[:9])
    assert_same(right.compute(), expected, tolerance=0)
    empty = MomentsAccumulator(5, 12, normalise=False)
    empty.merge(right)
    empty.update(features[:9], labels[:9])
    assert_same(right.compute(), expected, tolerance=0)


def test_a_saved_accumulator_goes_on_where_it_stopped(tmp_path):
    features, labels = samples()
    first = accumulate(features[:100], labels[:100])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second = MomentsAccumulator(5, 12)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert not second.normalise
    second.update(features[100:], labels[100:])
    second.merge(MomentsAccumulator(5, 12, normalise=False))
    assert_same(second.compute(), accumulate(features, labels).compute(), tolerance=1e-13)


def test_ignored_batches_and_empty_batches_are_harmless():
    features, labels = samples()
    accumulator = MomentsAccumulator(5, 12, normalise=False)
    accumulator.update(features[:4], torch.full((4,), -1))
    accumulator.update(features[:0], labels[:0])
    accumulator.update(features, labels)
    found = accumulator.compute()
    assert found.ignored == 10
    expected = class_moments(features, labels, 5)
    assert_close(found.means, expected.means, equal_nan=True)


def test_the_input_is_left_as_it_was():
    features, labels = samples(dtype=torch.float32)
    before = features.clone()
    accumulate(features, labels, normalise=True)
    assert torch.equal(features, before)


def test_moments_have_a_gradient():
    features, labels = noisy_samples(unit_rows(3, 4), [3, 1, 2], 0.3)

    def both(rows):
        found = class_moments(rows, labels, 3)
        return found.means, found.spreads

    assert torch.autograd.gradcheck(both, features.requires_grad_())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_undefined_rows_are_refused_by_number(value):
    features, labels = samples(dtype=torch.float32)
    kept = (labels >= 0).nonzero().flatten()
    bad = [int(kept[0]), int(kept[5]), int(kept[70])]
    features[bad, 3] = value
    shown = ", ".join(map(str, bad))
    with pytest.raises(ShapeError, match=rf"`features` has NaN or inf in 3 of 356 rows: {shown}"):
        accumulate(features, labels, batch=1000)


def test_wrong_labels_and_shapes_are_refused():
    features, labels = samples()
    accumulator = MomentsAccumulator(5, 12)
    with pytest.raises(ShapeError, match=r"`labels` must lie in 0..4, or be -1 .* got -1..5"):
        accumulator.update(features, labels + (labels == 4))
    with pytest.raises(ShapeError, match=r"or be -1 for ignored; got -2..4"):
        accumulator.update(features, torch.where(labels == -1, -2, labels))
    with pytest.raises(ShapeError, match=r"`features` are 11 wide; expected D = 12"):
        accumulator.update(features[:, 1:], labels)
    with pytest.raises(ShapeError, match=r"`labels` must be an integer \(N,\) tensor"):
        accumulator.update(features, labels.double())
    with pytest.raises(ShapeError, match=r"`features` must be a floating \(N, D\) tensor"):
        accumulator.update(features.long(), labels)
    with pytest.raises(ShapeError, match=r"0 of 5 classes have samples; at least 2 are needed"):
        accumulator.compute()
    accumulator.update(features[labels == 0], labels[labels == 0])
    with pytest.raises(ShapeError, match=r"1 of 5 classes have samples; at least 2 are needed"):
        accumulator.compute()


def test_accumulators_of_other_sizes_do_not_mix():
    accumulator = MomentsAccumulator(5, 12)
    with pytest.raises(ShapeError, match=r"cannot merge accumulators of \(K, D\) = \(5, 12\)"):
        accumulator.merge(MomentsAccumulator(5, 11))
    with pytest.raises(ShapeError, match=r"normalise=True and \(5, 12\), normalise=False"):
        accumulator.merge(MomentsAccumulator(5, 12, normalise=False))
    with pytest.raises(ShapeError, match=r"saved accumulator has \(K, D\) = \(4, 12\); expected"):
        accumulator.load_state_dict(MomentsAccumulator(4, 12).state_dict())


def test_collapsed_classes_keep_their_rank_and_separation():
    features, labels = noisy_samples(unit_rows(6, 20), 50, 0)
    found = MomentsAccumulator(6, 20)
    found.update(features.float(), labels)
    moments = found.compute()
    assert whitening(moments).rank == 5
    assert cdnv(moments).item() == pytest.approx(0, abs=1e-5)
    expected = reference.class_means(features.numpy(), labels.numpy(), 6)
    assert_close(moments.means, torch.tensor(expected), rtol=0, atol=1e-6)
