import math

import pytest
import torch

from ncscope.errors import ShapeError
from ncscope.metrics import (
    bootstrap,
    pair_mean,
    pair_means,
    resample_classes,
    resample_within_classes,
)
from tests.shapes import normal

LABELS = torch.tensor([2, 0, -1, 0, 1, 2, 2, 0, -1, 5])


def draws(seed, replicates=20):
    return torch.stack(list(resample_within_classes(LABELS, replicates=replicates, seed=seed)))


def test_class_sizes_are_kept_and_ignored_samples_left_out():
    for index in draws(seed=3):
        assert torch.bincount(LABELS[index]).tolist() == [3, 1, 3, 0, 0, 1]


def test_every_sample_of_a_class_is_drawn_equally_often():
    found = torch.bincount(draws(seed=1, replicates=4000).flatten(), minlength=len(LABELS))
    shares = found / 4000
    assert shares.tolist() == pytest.approx([1, 1, 0, 1, 1, 1, 1, 1, 0, 1], abs=0.06)


def test_a_seed_gives_the_same_draws_and_zero_is_a_seed():
    for resample in (draws, lambda seed: torch.stack(list(classes(seed)))):
        assert torch.equal(resample(0), resample(0))
        assert not torch.equal(resample(0), resample(1))


def classes(seed):
    return resample_classes(9, replicates=20, seed=seed)


def test_classes_are_drawn_with_replacement():
    found = torch.stack(list(resample_classes(9, replicates=500, seed=0)))
    assert found.shape == (500, 9)
    assert torch.bincount(found.flatten()).tolist() == pytest.approx([500] * 9, abs=80)


def test_interval_of_an_accuracy_is_the_binomial_one():
    hits = torch.zeros(400).double()
    hits[:300] = 1
    labels = torch.zeros(400).long()
    found = bootstrap(
        lambda index: {"accuracy": float(hits[index].mean())},
        {"accuracy": 0.75},
        resample_within_classes(labels, replicates=1000, seed=0),
    )["accuracy"]
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.006)
    assert found.bias == pytest.approx(0, abs=0.003)
    assert found.replicates == 1000


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    covered = 0
    for seed in range(100):
        sample = normal(60, seed=seed) + 5
        found = bootstrap(
            lambda index: {"mean": float(sample[index].mean())},  # noqa: B023
            {"mean": float(sample.mean())},
            resample_within_classes(torch.zeros(60).long(), replicates=150, seed=seed),
            level=0.9,
        )["mean"]
        covered += found.low <= 5 <= found.high
    assert 80 <= covered <= 98


def test_interval_is_moved_by_the_bias_of_the_replicates():
    numbers = iter([3.0, 4.0, 5.0])
    index = torch.zeros(1).long()
    found = bootstrap(lambda _: {"x": next(numbers)}, {"x": 1.0}, iter([index] * 3), level=0.5)
    assert (found["x"].low, found["x"].high, found["x"].bias) == pytest.approx((0.5, 1.5, 3.0))


def test_replicates_that_are_not_finite_are_left_out_and_counted():
    numbers = iter([1.0, math.nan, 3.0, math.inf])
    index = torch.zeros(1).long()
    found = bootstrap(
        lambda _: {"x": next(numbers), "y": math.nan, "not asked": 1.0},
        {"x": 2.0, "y": 0.0},
        iter([index] * 4),
    )
    assert found.keys() == {"x"}
    assert found["x"].replicates == 2


@pytest.mark.parametrize("level", [0, 1, 95])
def test_refuses_a_level_that_is_no_probability(level):
    with pytest.raises(ShapeError, match=rf"`level` must lie in \(0, 1\); got {level}"):
        bootstrap(lambda _: {}, {}, iter([]), level=level)


def test_pair_mean_is_the_loop_over_different_classes():
    matrix = normal(5, 5)
    index = torch.tensor([0, 3, 3, 1, 0])
    values = [matrix[a, b].item() for a in index for b in index if a != b]
    assert pair_mean(matrix, index).item() == pytest.approx(sum(values) / len(values))
    everything = [matrix[a, b].item() for a in range(5) for b in range(5) if a != b]
    expected = sum(everything) / 20
    assert pair_mean(matrix, torch.arange(5)).item() == pytest.approx(expected)


def test_pair_mean_passes_on_what_is_undefined_or_infinite_but_only_if_drawn():
    matrix = normal(4, 4)
    matrix.fill_diagonal_(math.nan)
    matrix[0, 1] = math.inf
    matrix[2, 3] = math.nan
    assert pair_mean(matrix, torch.tensor([1, 2])).isfinite()
    assert pair_mean(matrix, torch.tensor([0, 1, 1])).item() == math.inf
    assert pair_mean(matrix, torch.tensor([2, 3])).isnan()
    assert pair_mean(matrix, torch.tensor([2, 2])).isnan()


def test_pair_means_of_many_draws_are_those_of_each():
    matrix = normal(7, 7)
    matrix[0, 1], matrix[2, 3], matrix[5, 4] = math.inf, math.nan, -math.inf
    draws = torch.stack(list(resample_classes(7, replicates=60, seed=0)))
    found = pair_means(matrix, draws)
    for mean, index in zip(found, draws, strict=True):
        values = [matrix[a, b].item() for a in index for b in index if a != b]
        plain = sum(values) / len(values) if values else math.nan
        assert mean.item() == pytest.approx(plain, nan_ok=True)
    assert 0 < int(found.isnan().sum()) < 60
    assert int(found.isfinite().sum()) > 0
