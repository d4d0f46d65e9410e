"""Order and block means of the heat maps, against loops."""

from itertools import pairwise

import pytest
import torch

from ncscope.errors import ShapeError
from ncscope.figures.points import cells, cluster_order
from ncscope.metrics.rows import pairwise_cosines
from tests.shapes import normal, unit_rows


def test_alike_classes_become_neighbours():
    families = unit_rows(4, 16)
    member = torch.arange(4).repeat(5)  # 0 1 2 3 0 1 2 3 ...
    order = cluster_order(pairwise_cosines(families[member] + 0.05 * normal(20, 16)))
    found = member[order].tolist()
    assert sum(a != b for a, b in pairwise(found)) == 3


def test_classes_without_vectors_come_last():
    cosines = pairwise_cosines(unit_rows(5, 8))
    cosines[2] = cosines[:, 2] = torch.nan
    order = cluster_order(cosines)
    assert order[-1] == 2
    assert sorted(order) == list(range(5))


def test_few_classes_are_drawn_one_by_one_in_order():
    matrix = normal(4, 4)
    found = cells(matrix, [2, 0, 3, 1], most=4, own_pairs=False)
    assert not found.binned
    assert found.values[0, 1] == matrix[2, 0]
    assert found.groups == [[2], [0], [3], [1]]


@pytest.mark.parametrize("own_pairs", [False, True])
def test_a_block_is_the_mean_over_its_pairs(own_pairs):
    matrix, order = normal(11, 11), [3, 1, 4, 10, 5, 9, 2, 6, 8, 7, 0]
    matrix[3, 4] = torch.nan
    found = cells(matrix, order, most=4, own_pairs=own_pairs)
    assert found.binned
    assert [k for group in found.groups for k in group] == order
    for a, rows in enumerate(found.groups):
        for b, columns in enumerate(found.groups):
            values = [matrix[i, j].item() for i in rows for j in columns if own_pairs or i != j]
            kept = [v for v in values if v == v]
            assert found.values[a, b].item() == pytest.approx(sum(kept) / len(kept))


def test_refuses_an_order_of_other_classes():
    with pytest.raises(ShapeError, match=r"`order` must hold each of 0\.\.3 once"):
        cells(normal(4, 4), [0, 1, 2, 2], most=10, own_pairs=False)
    with pytest.raises(ShapeError, match=r"`matrix` must be \(K, K\); got \(3, 4\)"):
        cells(normal(3, 4), [0, 1, 2], most=10, own_pairs=False)
