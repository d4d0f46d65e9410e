import pytest
import torch

from ncscope.errors import ShapeError
from ncscope.metrics import frequency_groups


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
