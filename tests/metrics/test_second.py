"""Second moments kept and centred afterwards are those made anew."""

import pytest
import torch
from torch.testing import assert_close

from ncscope.metrics.second import kept, second_moment
from tests.shapes import random_rows


@pytest.mark.parametrize("shift", [0.0, 0.5, 1e4])
@pytest.mark.parametrize("centred", [False, True])
def test_they_are_sums_of_outer_products(shift, centred):
    left, right = random_rows(30, 4) + shift, random_rows(30, 4, seed=1) - shift
    pairs = [(left - left.mean(dim=0), right - right.mean(dim=0)), (left, right)]
    for inside in (False, True):
        a, b = pairs[0] if centred else pairs[1]
        expected = sum(torch.outer(x, y) for x, y in zip(a, b, strict=True))
        own = sum(torch.outer(x, x) for x in a)
        if inside:
            with kept():
                found = [second_moment(left, right, centred=centred) for _ in range(2)][1]
                again = second_moment(left, centred=centred)
        else:
            found = second_moment(left, right, centred=centred)
            again = second_moment(left, centred=centred)
        assert_close(found, expected, rtol=1e-11, atol=1e-11)
        assert_close(again, own, rtol=1e-11, atol=1e-11)


def test_nothing_is_kept_outside_nor_where_a_gradient_is_asked_for():
    rows = random_rows(8, 3)
    with kept():
        first = second_moment(rows)
        assert second_moment(rows) is first
        learned = rows.clone().requires_grad_()
        assert second_moment(learned) is not second_moment(learned)
    assert second_moment(rows) is not second_moment(rows)
    wanted = torch.autograd.gradcheck
    assert wanted(lambda x: second_moment(x, centred=True), rows.requires_grad_())


def test_what_is_known_is_taken_and_what_is_made_beside_it_is_let_go():
    rows, others = random_rows(8, 3), random_rows(8, 3, seed=1)
    with kept() as known:
        first = second_moment(rows)
    with kept(known) as held:
        assert second_moment(rows) is first
        second_moment(others)
        assert len(held) == 2
    assert len(known) == 1


def test_no_number_is_read_where_nothing_is_kept():
    rows = torch.empty(8, 3, device="meta", requires_grad=True)
    assert second_moment(rows, centred=True).shape == (3, 3)
    with kept():
        assert second_moment(rows, centred=True).shape == (3, 3)
