from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncscope.data.draw import imbalanced_counts, rank_classes
from ncscope.errors import DataError


def test_the_head_is_the_first_the_largest_or_a_random_class():
    assert rank_classes("index", [1, 5, 5], seed=0) == (0, 1, 2)
    assert rank_classes("frequency", [1, 5, 5, 7], seed=0) == (3, 1, 2, 0)
    orders = {rank_classes("random", [1] * 6, seed=seed) for seed in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == list(range(6)) for order in orders)
    with pytest.raises(DataError, match="`class_order` is 'size'; expected one of index, freq"):
        rank_classes("size", [1, 1], seed=0)


@pytest.mark.parametrize(
    ("tau", "total", "of_one"),
    [(1, 800, 0), (0.25, 412, 0), (0.06, 252, 13), (0.05, 239, 15), (0.01, 175, 27)],
)
def test_fifty_classes_of_sixteen_shots_have_the_known_totals(tau, total, of_one):
    counts = imbalanced_counts(50, most=16, tau=tau)
    assert (sum(counts), counts.count(1)) == (total, of_one)


@given(
    num_classes=st.integers(2, 12),
    most=st.integers(1, 500),
    tau=st.sampled_from([1.0, 0.5, 0.25, 0.2, 0.1, 0.06, 0.05, 0.04, 0.02, 0.01, 0.001]),
)
def test_the_profile_is_the_exact_floor(num_classes, most, tau):
    share = Fraction(str(tau))
    for k, count in enumerate(imbalanced_counts(num_classes, most=most, tau=tau)):
        power = num_classes - 1  # compare powers: no root, no rounding
        value = Fraction(most) ** power * share**k
        assert count**power <= value or count == 1
        assert value < Fraction(count + 1) ** power


def test_rounding_does_not_lose_an_image():
    assert imbalanced_counts(6, most=32, tau=1 / 32) == [32, 16, 8, 4, 2, 1]  # floats: 7.999…
    assert imbalanced_counts(4, most=1000, tau=0.001) == [1000, 100, 10, 1]
    assert imbalanced_counts(1, most=16, tau=0.1) == [16]
    assert imbalanced_counts(1000, most=16, tau=1) == [16] * 1000
