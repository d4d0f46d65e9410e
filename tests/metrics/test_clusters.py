"""k-means and agreement against scikit-learn's, which shares no code with ours."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, v_measure_score

from ncscope.metrics import cluster_agreement
from ncscope.metrics.clusters import adjusted_rand, kmeans, v_measure
from tests.shapes import normal, simplex_etf


def theirs(rows, count, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(count, n_init="auto", random_state=seed).fit_predict(rows.numpy())
    return torch.from_numpy(found).long()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n", "d", "count"), [(60, 4, 1), (300, 8, 3), (500, 32, 12), (400, 5, 20)]
)
def test_clusters_are_scikit_learns_of_the_same_seed(n, d, count, dtype):
    for seed in range(3):
        for spread in (0.0, 4.0):  # a cloud without clusters, and some that are there
            centres = spread * normal(max(2, count // 2), d, seed=7)
            rows = (centres[torch.arange(n) % len(centres)] + normal(n, d, seed=seed) + 50).to(
                dtype
            )
            assert torch.equal(kmeans(rows, count, seed=seed), theirs(rows, count, seed))


def test_as_many_clusters_as_rows_are_the_rows():
    assert len(kmeans(normal(90, 6), 90).unique()) == 90


def test_clusters_that_lose_all_their_rows_take_the_farthest_as_scikit_learns_do():
    found = 0
    for seed in range(30):
        rows = normal(40, 2, seed=seed).round().repeat(3, 1) + 1e-3 * normal(120, 2, seed=seed + 1)
        mine, other = kmeans(rows, 25, seed=seed), theirs(rows, 25, seed)
        found += adjusted_rand_score(mine, other) == 1
    assert found >= 29  # two rows near each other are equally good starts: rounding takes one


def test_agreement_is_scikit_learns():
    draw = np.random.default_rng(0)
    for classes, clusters in ((1, 1), (1, 4), (5, 1), (3, 3), (8, 20), (50, 50)):
        one = torch.from_numpy(draw.integers(classes, size=50) if classes < 50 else np.arange(50))
        other = torch.from_numpy(draw.integers(clusters, size=50) * 3)
        assert v_measure(one, other) == pytest.approx(v_measure_score(one, other), abs=1e-12)
        assert adjusted_rand(one, other) == pytest.approx(
            adjusted_rand_score(one, other), abs=1e-12
        )
        assert v_measure(one, one) == pytest.approx(1)
        assert adjusted_rand(one, one) == 1


def test_clusters_are_the_classes_where_those_are_far_apart_and_not_where_labels_are_chance():
    label = torch.arange(60) % 4
    rows = 20 * simplex_etf(4, 6)[label] + normal(60, 6)
    assert cluster_agreement(rows, label) == (pytest.approx(1), pytest.approx(1))
    permuted = torch.tensor([2, 0, 3, 1])[label]
    assert cluster_agreement(rows, permuted) == (pytest.approx(1), pytest.approx(1))
    _, chance = cluster_agreement(normal(400, 6), torch.arange(400) % 4)
    assert abs(chance) < 0.05
    assert cluster_agreement(rows, label.masked_fill(label == 3, -1))[1] == pytest.approx(1)


def test_clusters_of_equal_images_have_a_number_without_a_warning():
    assert cluster_agreement(torch.ones(6, 3), torch.arange(6) % 2)[1] == 0
