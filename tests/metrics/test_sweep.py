import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    MomentsAccumulator,
    SampleAccumulator,
    binned_ece,
    class_moments,
    delta_mid_batch,
    ece,
    nc1,
    normalise_rows,
    per_class_accuracy,
    top1,
)
from tests import reference
from tests.shapes import noisy_samples, normal, random_rows, unit_rows

COUNTS = (40, 1, 0, 9, 300)


def samples(*, dtype=torch.float64, shift=0.0, seed=0):
    """Five unbalanced classes, one of them empty, one of one sample; some labels ignored."""
    features, labels = noisy_samples(unit_rows(5, 12, seed=seed), list(COUNTS), 0.4, seed=seed)
    features = torch.cat([features, normal(6, 12, seed=seed + 1)]) + shift
    labels = torch.cat([labels, torch.full((6,), -1)])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return features[order].to(dtype), labels[order]


def accumulate(features, labels, *, batch=1000, moments=None, num_classes=5, **options):
    """The second sweep, features used as given."""
    if moments is None:
        moments = class_moments(features, labels, num_classes)
    accumulator = SampleAccumulator(moments, normalise=False, **options)
    for rows, targets in zip(features.split(batch), labels.split(batch), strict=True):
        accumulator.update(rows, targets)
    return accumulator


def text_rows(dtype=torch.float64):
    return unit_rows(5, 12, seed=3).to(dtype)


def assert_same(found, expected, *, tolerance=1e-12):
    assert found.counts.tolist() == expected.counts.tolist()
    for name in ("shares", "spreads", "ncc_correct", "agree", "correct", "cosines", "bins"):
        left, right = getattr(found, name), getattr(expected, name)
        assert_close(left, right, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize(("num_classes", "width"), [(6, 10), (11, 10), (12, 5), (30, 8), (2, 4)])
def test_nearest_centre_is_the_one_the_loop_finds(num_classes, width):
    # Below, at and above K = D + 1: the sweep takes another way to the distances in each.
    features, labels = noisy_samples(unit_rows(num_classes, width), 20, 0.5)
    found = accumulate(features, labels, num_classes=num_classes).compute().ncc_correct
    centres = reference.class_means(features.numpy(), labels.numpy(), num_classes)
    hits = reference.nearest_centres(features.numpy(), centres) == labels.numpy()
    expected = [hits[labels.numpy() == k].mean() for k in range(num_classes)]
    assert_close(found, torch.tensor(expected))


@given(st.integers(0, 9999), st.integers(2, 12), st.integers(1, 9), st.floats(0.01, 2))
def test_spreads_shares_and_centres_are_the_loops(seed, num_classes, width, noise):
    features, labels = noisy_samples(unit_rows(num_classes, width, seed=seed), 4, noise, seed=seed)
    found = accumulate(features, labels, num_classes=num_classes).compute()
    f, y = features.numpy(), labels.numpy()
    assert found.spreads.tolist() == pytest.approx(reference.spreads(f, y, num_classes).tolist())
    assert_close(found.nc1, nc1(features, labels, num_classes), rtol=1e-7, atol=0)
    assert found.nc1.item() == pytest.approx(reference.nc1(f, y, num_classes), rel=1e-6)
    centres = reference.class_means(f, y, num_classes)
    hits = reference.nearest_centres(f, centres) == y
    assert found.over_samples(found.ncc_correct).item() == pytest.approx(hits.mean())


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("biased", [False, True])
def test_decisions_are_those_of_the_logits(scale, biased):
    features, labels = samples()
    text = text_rows()
    bias = normal(5) if biased else None
    found = accumulate(features, labels, text=text, logit_scale=scale, bias=bias).compute()
    logits = scale * features @ text.T + (bias if bias is not None else 0)
    assert found.correct is not None
    assert found.cosines is not None
    assert found.bins is not None
    assert_close(found.correct, per_class_accuracy(logits, labels), equal_nan=True)
    assert_close(found.over_samples(found.correct), top1(logits, labels))
    assert_close(binned_ece(found.bins), ece(logits, labels))
    balanced = binned_ece(found.bins, class_balanced=True)
    assert_close(balanced, ece(logits, labels, class_balanced=True))
    products = (features * text[labels]).sum(dim=1)
    for k in (0, 1, 3, 4):
        assert_close(found.cosines[k], products[labels == k].mean())


@pytest.mark.parametrize("biased", [False, True])
def test_agreement_is_over_the_classes_present(biased):
    features, labels = samples()
    text, bias = text_rows(), 0.3 * normal(5) if biased else None
    kept = labels >= 0
    f, present = features[kept].numpy(), torch.tensor([0, 1, 3, 4])
    scores = features[kept] @ text.T + (bias if bias is not None else 0)
    by_text = present[scores[:, present].argmax(dim=1)]
    means = torch.stack([features[labels == k].mean(dim=0) for k in present])
    by_centre = present[torch.tensor(reference.nearest_centres(f, means.numpy()))]
    found = accumulate(features, labels, text=text, bias=bias).compute()
    assert found.nc4 is not None
    assert found.nc4.item() == pytest.approx((by_text == by_centre).double().mean().item())


def test_rows_and_text_are_normalised_by_default():
    features, labels = samples(dtype=torch.float32)
    unit, text = normalise_rows(features), 3 * text_rows(torch.float32)
    moments = class_moments(unit, labels, 5)
    accumulator = SampleAccumulator(moments, text=text, logit_scale=10)
    accumulator.update(features, labels)
    found = accumulator.compute()
    expected = accumulate(unit, labels, moments=moments, text=text / 3, logit_scale=10).compute()
    assert_same(found, expected, tolerance=1e-6)
    assert found.cosines is not None
    present = found.cosines[[0, 1, 3, 4]]
    assert_close(1 - present.mean().float(), delta_mid_batch(features, labels, text))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batch_size_and_order_change_nothing(batch):
    features, labels = samples()
    options = {"text": text_rows(), "logit_scale": 20.0}
    expected = accumulate(features, labels, **options).compute()
    assert_same(accumulate(features, labels, batch=batch, **options).compute(), expected)
    moments = class_moments(features, labels, 5)
    flipped = accumulate(features.flip(0), labels.flip(0), moments=moments, **options)
    assert_same(flipped.compute(), expected)


def test_merging_and_saving_are_one_pass(tmp_path):
    features, labels = samples()
    moments = class_moments(features, labels, 5)
    options = {"moments": moments, "text": text_rows(), "logit_scale": 20.0}
    expected = accumulate(features, labels, **options).compute()
    parts = [accumulate(features[i], labels[i], **options) for i in (PARTS[0], PARTS[1], PARTS[2])]
    torch.save(parts[0].state_dict(), tmp_path / "state.pt")
    total = accumulate(features[:0], labels[:0], **options)
    total.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    total.merge(parts[2])
    total.merge(parts[1])
    assert_same(total.compute(), expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_64_shards_on_as_many_machines_are_one_pass(dtype, tolerance):
    # Rows of float32 are summed in float32 within a block, so other blocks round otherwise.
    features, labels = samples(dtype=dtype)
    options = {"text": text_rows(dtype), "logit_scale": 20.0}
    shards = list(zip(features.tensor_split(64), labels.tensor_split(64), strict=True))

    def merged(new):
        """Each shard gathered by itself, its state sent as plain tensors, the states merged."""
        total = new()
        for rows, targets in shards:
            own, received = new(), new()
            own.update(rows, targets)
            received.load_state_dict(own.state_dict())
            total.merge(received)
        return total.compute()

    moments = merged(lambda: MomentsAccumulator(5, 12, normalise=False))
    plain = MomentsAccumulator(5, 12, normalise=False)
    plain.update(features, labels)
    assert_close(moments.means, plain.compute().means, rtol=0, atol=tolerance, equal_nan=True)
    found = merged(lambda: SampleAccumulator(moments, normalise=False, **options))
    whole = accumulate(features, labels, moments=plain.compute(), **options).compute()
    assert_same(found, whole, tolerance=tolerance)
    lacking = accumulate(features[6:], labels[6:], moments=moments, **options).compute()
    with pytest.raises(AssertionError):  # a shard's worth of images is seen
        assert_same(lacking, whole, tolerance=1e-9)


PARTS = [torch.arange(0, 90), torch.arange(90, 91), torch.arange(91, 356)]


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_float32_samples_keep_their_measures(shift):
    features, labels = samples(dtype=torch.float32, shift=shift)
    # The decisions by text drown in a shift of 1000; those by the centres must not.
    found = accumulate(features, labels).compute()
    expected = accumulate(features.double(), labels).compute()
    assert_close(found.shares, expected.shares, rtol=1e-3, atol=1e-6, equal_nan=True)
    assert_close(found.spreads, expected.spreads, rtol=1e-3, atol=1e-6, equal_nan=True)
    assert_close(found.ncc_correct, expected.ncc_correct, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    features, labels = samples(dtype=dtype)
    text = text_rows(dtype)
    moments = class_moments(features, labels, 5)
    options = {"moments": moments, "logit_scale": 20.0}
    half = accumulate(features, labels, text=text, **options).compute()
    wide = accumulate(features.float(), labels, text=text.float(), **options).compute()
    assert_same(half, wide, tolerance=0)


def test_without_text_or_scale_their_parts_are_left_out():
    features, labels = samples()
    found = accumulate(features, labels).compute()
    assert found.nc4 is found.agree is found.correct is found.cosines is found.bins is None
    assert accumulate(features, labels, text=text_rows()).compute().bins is None


def test_empty_classes_are_nan_and_singletons_are_out_of_nc1():
    features, labels = samples()
    found = accumulate(features, labels, text=text_rows()).compute()
    assert found.counts.tolist() == list(COUNTS)
    for values in (found.shares, found.spreads, found.ncc_correct, found.agree, found.correct):
        assert values is not None
        assert values.isnan().tolist() == [False, False, True, False, False]
    assert_close(found.nc1, nc1(features, labels, 5))
    assert found.spreads[1].item() == pytest.approx(0, abs=1e-30)
    assert found.ncc_correct[1] == 1


def test_perfect_collapse_is_zero_and_every_centre_is_right():
    features, labels = noisy_samples(unit_rows(5, 12), 3, 0)
    found = accumulate(features.float(), labels).compute()
    assert found.nc1.item() == pytest.approx(0, abs=1e-12)
    assert found.spreads.max().item() == pytest.approx(0, abs=1e-13)
    assert found.ncc_correct.tolist() == [1] * 5


def test_the_input_is_left_as_it_was():
    features, labels = samples(dtype=torch.float32)
    text, bias = text_rows(torch.float32), normal(5).float()
    before = features.clone(), text.clone(), bias.clone()
    accumulate(features, labels, text=text, logit_scale=9, bias=bias)
    assert all(map(torch.equal, (features, text, bias), before))


def test_refusals_name_the_argument():
    features, labels = samples()
    moments = class_moments(features, labels, 5)
    with pytest.raises(ShapeError, match=r"`text` is \(4, 12\); expected \(K, D\) = \(5, 12\)"):
        SampleAccumulator(moments, text=text_rows()[:4])
    text = text_rows()
    text[3, 0] = math.nan
    with pytest.raises(ShapeError, match=r"`text` has NaN or inf in 1 of 5 rows: 3"):
        SampleAccumulator(moments, text=text)
    accumulator = SampleAccumulator(moments)
    with pytest.raises(ShapeError, match=r"`labels` must lie in 0..4"):
        accumulator.update(features, labels + (labels == 4))
    other = SampleAccumulator(class_moments(features[:200], labels[:200], 5))
    with pytest.raises(ShapeError, match="built on different moments"):
        accumulator.merge(other)
    with pytest.raises(ShapeError, match=r"saved `sums` is .*; expected"):
        accumulator.load_state_dict({"sums": torch.zeros(4, 7), "bins": torch.zeros(5, 15, 3)})


def test_equally_near_centres_are_all_nearest():
    # Integers, so that both means and all distances are exact.
    rows = torch.tensor([[4.0, 0], [8, 0], [4, 0], [8, 0], [0, 4], [0, 8]]).double()
    found = accumulate(rows, torch.tensor([0, 0, 1, 1, 2, 2]), num_classes=3).compute()
    assert found.ncc_correct.tolist() == [1, 1, 1]


def test_a_refused_batch_leaves_the_sums_as_they_were():
    rows, labels = random_rows(12, 4), torch.arange(12) % 3
    accumulator = MomentsAccumulator(3, 4)
    accumulator.update(rows, labels)
    before = {n: v.clone() for n, v in accumulator.state_dict().items() if torch.is_tensor(v)}
    for bad in (torch.nan, torch.inf):
        spoilt = rows.clone()
        spoilt[5, 1] = bad
        with pytest.raises(ShapeError, match="NaN or inf in 1 of 12 rows: 5"):
            accumulator.update(spoilt, labels)
    spoilt = rows.clone()
    spoilt[7] = 0
    with pytest.raises(ShapeError, match="1 zero rows, which have no direction: 7"):
        accumulator.update(spoilt, labels)
    for name, value in before.items():
        assert_close(accumulator.state_dict()[name], value, rtol=0, atol=0)


def test_two_collapsed_classes_at_one_point_are_flagged_in_float32():
    rows = unit_rows(4, 32).float()
    rows[3] = rows[1]
    labels = torch.arange(4).repeat_interleave(300)
    accumulator = MomentsAccumulator(4, 32)
    accumulator.update(rows[labels], labels)
    second = SampleAccumulator(accumulator.compute())
    second.update(rows[labels], labels)
    measured = second.compute()
    assert measured.white.rank == 2
    assert measured.white.full_rank == 3
    assert float(measured.nc1) < 1e-8


def test_the_second_sweep_refuses_samples_that_the_first_did_not_see():
    rows, labels = random_rows(9, 4), torch.arange(9) % 3
    moments = class_moments(rows[labels < 2], labels[labels < 2], 3)
    with pytest.raises(ShapeError, match="class 2 has samples here but none in the moments"):
        SampleAccumulator(moments).update(rows, labels)
    with pytest.raises(ShapeError, match="5 wide; expected D = 4"):
        SampleAccumulator(moments).update(random_rows(9, 5), labels)


def test_a_zero_text_row_is_refused_instead_of_winning_every_decision():
    rows, labels = random_rows(9, 4), torch.arange(9) % 3
    text = random_rows(3, 4, seed=1)
    text[1] = 0
    with pytest.raises(ShapeError, match="`text` has zero rows, which have no direction: 1"):
        SampleAccumulator(class_moments(rows, labels, 3), text=text)
