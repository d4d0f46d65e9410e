import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import cpt_cc, cpt_clusters, cpt_rs, cpt_tetf, delta_lcd
from tests import reference
from tests.shapes import noisy_samples, random_rows, simplex_etf, unit_rows


def test_one_cluster_is_the_degree_as_a_sum():
    text = random_rows(7, 9)
    clusters = torch.zeros(7).long()
    expected = 7 * 6 * delta_lcd(text, power=2)
    assert_close(cpt_tetf(text, clusters), expected)
    assert_close(cpt_tetf(text, clusters, printed=True), 7 + expected)


@pytest.mark.parametrize(("num_classes", "width"), [(2, 2), (10, 9), (10, 512)])
def test_simplex_etf_gives_zero_and_k_as_printed(num_classes, width):
    frame, clusters = simplex_etf(num_classes, width), torch.zeros(num_classes).long()
    assert cpt_tetf(frame, clusters).item() == pytest.approx(0, abs=1e-12)
    assert cpt_tetf(frame, clusters, printed=True).item() == pytest.approx(num_classes)


def test_clusters_are_each_a_frame_of_their_own_and_single_classes_are_skipped():
    text = random_rows(8, 9)
    clusters = torch.tensor([3, 0, 3, 0, 3, 1, 0, 3])
    terms = []
    for members in ([1, 3, 6], [0, 2, 4, 7]):
        rows, size = text.numpy()[members], len(members)
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        ones = np.ones((size, size))
        terms.append(np.linalg.norm(units @ units.T + (ones - np.eye(size)) / (size - 1)) ** 2)
    found = cpt_tetf(text, clusters, printed=True)
    assert found.item() == pytest.approx(np.mean(terms))
    assert cpt_tetf(text, clusters).item() == pytest.approx(np.mean(terms) - 3.5)
    assert cpt_tetf(text, torch.arange(8)).isnan()


def test_centre_loss_is_the_class_balanced_squared_distance():
    features, labels = noisy_samples(unit_rows(4, 6), [5, 1, 9, 2], 0.4)
    text = random_rows(4, 6, seed=5)
    units = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    targets = text.numpy() / np.linalg.norm(text.numpy(), axis=1, keepdims=True)
    squared = ((units - targets[labels.numpy()]) ** 2).sum(axis=1)
    expected = reference.class_balanced(squared, labels.numpy())
    assert cpt_cc(features, labels, text).item() == pytest.approx(expected)


def test_residual_is_the_mean_l1_distance_of_unit_rows():
    text, frozen = random_rows(5, 6), random_rows(5, 6, seed=1)
    difference = text / text.norm(dim=1, keepdim=True) - frozen / frozen.norm(dim=1, keepdim=True)
    assert cpt_rs(text, frozen).item() == pytest.approx(np.abs(difference.numpy()).sum() / 5)
    assert cpt_rs(text, 3 * text).item() == pytest.approx(0, abs=1e-12)


def test_kmeans_finds_clusters_that_are_there_and_numbers_them_by_first_class():
    truth = torch.tensor([2, 0, 1, 2, 0, 1, 1, 2, 0, 0, 1, 2])
    rows = unit_rows(3, 16)[truth] + 0.05 * random_rows(12, 16, seed=2)
    found = cpt_clusters(rows * torch.linspace(0.1, 9, 12).unsqueeze(1), 3)
    assert adjusted_rand_score(truth, found) == 1
    assert found.tolist() == [0, 1, 2, 0, 1, 2, 2, 0, 1, 1, 2, 0]
    assert_close(cpt_clusters(rows, 3, seed=0), cpt_clusters(rows, 3, seed=0))
    assert cpt_clusters(rows, 1).count_nonzero() == 0
    assert cpt_clusters(rows.float(), 12).tolist() == list(range(12))


def test_refusals_name_the_argument():
    rows = random_rows(5, 6)
    for wrong in (0, 6):
        with pytest.raises(ShapeError, match=rf"`num_clusters` must lie in 1..K = 5; got {wrong}"):
            cpt_clusters(rows, wrong)
    with pytest.raises(ShapeError, match=r"`clusters` must be \(K,\) with K = 5; got \(4,\)"):
        cpt_tetf(rows, torch.zeros(4).long())
    rows[1] = torch.nan
    with pytest.raises(ShapeError, match=r"`frozen` has NaN or inf in 1 of 5 rows: 1"):
        cpt_clusters(rows, 2)
