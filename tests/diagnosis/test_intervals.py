"""Bootstrap intervals: seeded, around the value, over the same numbers as the report's."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false, reportArgumentType=false

import numpy as np
import pytest
import torch

from ncscope import metrics
from ncscope.diagnosis import intervals as under_test
from ncscope.diagnosis.intervals import intervals, mean_intervals
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.prepare import prepare
from ncscope.diagnosis.sides import image_side, numbers_of
from ncscope.diagnosis.sweeps import in_steps
from tests.made_features import noisy


def _side(features):
    prepared = prepare(features)
    side = image_side(prepared)
    numbers = in_steps(prepared.image, numbers_of(prepared, side))
    return prepared, side, {name: float(value) for name, value in numbers.items()}


def test_the_same_seed_gives_the_same_intervals_and_zero_is_a_seed():
    features = noisy()
    first, again, other = (
        measure(features, bootstrap=20, seed=seed).record["intervals"]["values"]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_every_interval_holds_its_value():
    record = measure(noisy(noise=1.5), bootstrap=50).record
    spans = record["intervals"]["values"]
    assert "nc1/default" in spans
    assert "delta_lcd/cosine/centred" in spans
    for name, span in spans.items():
        assert span["low"] <= record["measures"][name] <= span["high"], name


def test_a_replicate_of_all_images_once_has_the_report_s_own_numbers(monkeypatch):
    prepared, side, numbers = _side(noisy())
    whole = [torch.arange(len(prepared.label))] * 2
    monkeypatch.setattr(
        under_test.metrics, "resample_within_classes", lambda *_args, **_kwargs: iter(whole)
    )
    found, _, _ = intervals(prepared, side, numbers, replicates=2, seed=0)
    sampled = {n: s for n, s in found["values"].items() if not n.startswith("delta_lcd")}
    assert len(sampled) == 14
    for name, span in sampled.items():
        assert abs(span["bias"]) < 1e-7, name  # images are float32 here


def test_accuracy_s_interval_is_about_the_binomial_one():
    features = noisy(4, 8, each=100, noise=2.0)
    record = measure(features, bootstrap=300).record
    rate = record["summary"]["accuracy"]["top1"]
    span = record["intervals"]["values"]["accuracy/top1"]
    expected = 2 * 1.96 * (rate * (1 - rate) / 400) ** 0.5
    assert 0.7 * expected < span["high"] - span["low"] < 1.3 * expected


def test_too_much_work_is_left_out_and_said_unless_asked_for(monkeypatch):
    monkeypatch.setattr(under_test, "LARGEST_WORK", 1.0)
    record = measure(noisy()).record
    assert "nc1/default" not in record["intervals"]["values"]
    assert any("intervals of image measures left out" in w for w in record["warnings"])
    asked = measure(noisy(), bootstrap=5).record
    assert "nc1/default" in asked["intervals"]["values"]


def test_single_images_give_no_interval_of_width_zero():
    record = measure(noisy(counts=[1] * 6), bootstrap=10).record
    assert "accuracy/top1" not in record["intervals"]["values"]
    assert any("every class has one image" in w for w in record["warnings"])


def test_class_draws_leave_pairs_of_one_class_out():
    matrix = torch.tensor([[9.0, 1, 2], [1, 9, 4], [2, 4, 9]])
    # Classes 0, 0, 1: the two copies of 0 pair with 1, and not with each other.
    assert float(metrics.pair_mean(matrix, torch.tensor([0, 0, 1]))) == 1.0


def test_a_paired_mean_has_the_interval_of_its_draws_and_none_without_two_images_of_a_class():
    generator = torch.Generator().manual_seed(1)
    label = torch.tensor([0] * 30 + [1] * 10 + [-1] * 5 + [2] * 20)
    steps = torch.randint(-1, 2, (3, len(label)), generator=generator).double()
    found = mean_intervals(steps, label, replicates=80, seed=4)
    for row, span in zip(steps, found, strict=True):
        draws = metrics.resample_within_classes(label, replicates=80, seed=4)
        means = np.array([row[index].mean().item() for index in draws])
        shift = means.mean() - row[label >= 0].mean().item()
        low, high = np.quantile(means, [0.025, 0.975]) - shift
        assert span is not None
        assert (span.low, span.high) == (pytest.approx(low), pytest.approx(high))
    alone = torch.tensor([0, 1, 2, -1, -1])
    assert mean_intervals(steps[:, :5], alone, replicates=80, seed=4) == [None] * 3
    assert mean_intervals(steps, label, replicates=1, seed=4) == [None] * 3
