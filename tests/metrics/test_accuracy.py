import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    binned_ece,
    class_mean_accuracy,
    confidence_bins,
    ece,
    frequency_groups,
    harmonic_mean,
    per_class_accuracy,
    top1,
)
from tests import reference
from tests.shapes import normal

seeds = st.integers(0, 2**31 - 1)


def scores(num_samples=200, num_classes=6, *, seed=0, scale=2.0):
    """Logits that lean to the label, and unbalanced labels, of which class 4 is empty."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.tensor([50.0, 20, 10, 5, 0, 1][:num_classes])
    labels = torch.multinomial(weights, num_samples, replacement=True, generator=generator)
    logits = normal(num_samples, num_classes, seed=seed)
    logits[torch.arange(num_samples), labels] += 1
    return scale * logits, labels


@given(seeds)
def test_accuracies_are_those_of_scikit_learn(seed):
    logits, labels = scores(seed=seed)
    found = logits.argmax(dim=1)
    assert top1(logits, labels).item() == pytest.approx(metrics.accuracy_score(labels, found))
    present = torch.bincount(labels, minlength=6) > 0
    names = present.nonzero().flatten().tolist()
    recalls = np.array(
        [metrics.recall_score(labels == name, found == name, zero_division=0.0) for name in names]  # pyright: ignore
    )
    per_class = per_class_accuracy(logits, labels)
    assert per_class[present].tolist() == pytest.approx(recalls.tolist())
    assert per_class[~present].isnan().all()
    assert class_mean_accuracy(logits, labels).item() == pytest.approx(np.mean(recalls))


@given(seeds, st.sampled_from([0.1, 2.0, 30.0]), st.booleans())
def test_calibration_error_is_the_loop_over_bins(seed, scale, class_balanced):
    logits, labels = scores(seed=seed, scale=scale)
    counts = torch.bincount(labels, minlength=6).double()
    weights = 1 / counts[labels] if class_balanced else torch.ones(len(labels)).double()
    expected = reference.ece(logits.numpy(), labels.numpy(), weights.numpy())
    found = ece(logits, labels, class_balanced=class_balanced)
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_confident_and_right_is_calibrated_confident_and_wrong_is_not():
    logits = 1e4 * torch.eye(5)
    assert ece(logits, torch.arange(5)).item() == 0
    assert ece(logits, torch.arange(5).roll(1)).item() == 1
    uniform = torch.zeros(4, 4)
    assert ece(uniform, torch.zeros(4).long()).item() == pytest.approx(0.75)


def test_bins_are_open_below():
    confidence = torch.tensor([0.2, 0.2 + 1e-9, 1.0, 0.0], dtype=torch.float64)
    bins = confidence_bins(confidence, torch.ones(4).bool(), torch.zeros(4).long(), 2)
    assert bins.shape == (2, 15, 3)
    assert bins[0, :, 0].nonzero().flatten().tolist() == [0, 2, 3, 14]
    assert bins[0, 2].tolist() == pytest.approx([1, 0.2, 1])


def test_bins_of_two_halves_add_up():
    logits, labels = scores()
    confidence, found = logits.softmax(dim=1).max(dim=1)
    hits = found == labels
    halves = [confidence_bins(confidence[i], hits[i], labels[i], 6) for i in HALVES]
    assert_close(binned_ece(halves[0] + halves[1]), ece(logits, labels))


HALVES = [torch.arange(0, 70), torch.arange(70, 200)]


def test_ignored_labels_change_nothing_and_no_labels_give_nan():
    logits, labels = scores()
    more = torch.cat([logits, normal(9, 6)]), torch.cat([labels, torch.full((9,), -1)])
    for measure in (top1, per_class_accuracy, class_mean_accuracy, ece):
        assert_close(measure(*more), measure(logits, labels), equal_nan=True)
        assert measure(logits, labels * 0 - 1).isnan().all()
        assert measure(logits[:0], labels[:0]).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = scores()
    half = logits.to(dtype)
    for measure in (top1, ece):
        assert_close(measure(half, labels), measure(half.float(), labels), rtol=0, atol=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_undefined_logits_are_refused_by_row(value):
    logits, labels = scores()
    logits[7, 2] = value
    for measure in (top1, per_class_accuracy, class_mean_accuracy, ece):
        with pytest.raises(ShapeError, match=r"`logits` has NaN or inf in 1 of 200 rows: 7"):
            measure(logits, labels)


def test_refuses_labels_of_another_length():
    logits, labels = scores()
    with pytest.raises(ShapeError, match=r"`labels` must be an integer \(N,\) tensor with N = 200"):
        top1(logits, labels[:-1])
    with pytest.raises(ShapeError, match=r"got 0..6"):
        top1(logits, labels + (labels == 5))


def test_labels_may_be_any_integers():
    logits, labels = scores()
    for measure in (top1, per_class_accuracy, class_mean_accuracy, ece):
        found = measure(logits, labels.to(torch.uint8))
        assert_close(found, measure(logits, labels), equal_nan=True)


def test_harmonic_mean():
    assert harmonic_mean(0.8, 0.6) == pytest.approx(2 / (1 / 0.8 + 1 / 0.6))
    assert harmonic_mean(0.5, 0) == harmonic_mean(0, 0) == 0
    assert math.isnan(harmonic_mean(math.nan, 0.5))
    assert math.isnan(harmonic_mean(0, math.nan))


def groups(counts, **options):
    found = frequency_groups(torch.tensor(counts), **options)
    return {name: index.tolist() for name, index in found.items()}


def test_thirds_by_count_with_ties_in_label_order():
    assert groups([5, 100, 5, 50, 5, 1]) == {"head": [1, 3], "medium": [0, 2], "tail": [4, 5]}


@pytest.mark.parametrize(("size", "expected"), [(7, [3, 2, 2]), (8, [3, 3, 2]), (2, [1, 1, 0])])
def test_extra_classes_go_to_the_head_then_to_the_medium(size, expected):
    assert [len(index) for index in groups(list(range(size, 0, -1))).values()] == expected


def test_classes_without_images_are_in_no_group():
    assert groups([0, 3, 2, 0, 1]) == {"head": [1], "medium": [2], "tail": [4]}
    assert groups([0, 3, 200], thresholds=(100, 20)) == {"head": [2], "medium": [], "tail": [1]}


def test_thresholds_are_those_of_the_long_tailed_benchmarks():
    found = groups([101, 100, 20, 19, 1], thresholds=(100, 20))
    assert found == {"head": [0], "medium": [1, 2], "tail": [3, 4]}


@pytest.mark.parametrize("bad", [[1.0, 2.0], [3, -1], [[1, 2]]])
def test_refuses_what_are_not_counts(bad):
    with pytest.raises(ShapeError, match=r"`counts` must be \(K,\) integers >= 0; got"):
        frequency_groups(torch.tensor(bad))
