import math

import pytest
import torch
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import centre_rows, dispersion, normalise_rows, off_diagonal, pairwise_cosines
from ncscope.metrics.rows import frobenius_norm
from tests.shapes import random_rows, unit_rows


def test_normalised_rows_have_length_one():
    rows = normalise_rows(random_rows(5, 7) * 30)
    assert_close(rows.norm(dim=1), torch.ones(5).double())


def test_normalising_a_zero_row_gives_nan_and_spares_the_others():
    rows = random_rows(3, 4)
    rows[1] = 0
    assert normalise_rows(rows).isnan().all(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rows_are_normalised_in_float32(dtype):
    rows = random_rows(4, 8).to(dtype)
    assert_close(normalise_rows(rows), normalise_rows(rows.float()), rtol=0, atol=0)


def test_centred_rows_sum_to_zero_and_do_not_see_a_shift():
    rows = random_rows(6, 5)
    assert_close(centre_rows(rows).sum(dim=0), torch.zeros(5).double(), rtol=0, atol=1e-14)
    assert_close(centre_rows(rows + 1000), centre_rows(rows), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centring_leaves_no_rounding_noise_of_equal_rows(dtype):
    rows = random_rows(1, 33).repeat(7, 1).to(dtype)
    assert centre_rows(rows).count_nonzero() == 0


def test_centring_keeps_nan_nan():
    rows = random_rows(4, 3)
    rows[2, 1] = math.nan
    assert centre_rows(rows)[:, 1].isnan().all()
    assert dispersion(rows).isnan()


def test_off_diagonal_leaves_out_the_diagonal_only():
    matrix = torch.arange(16.0).view(4, 4)
    assert off_diagonal(matrix).tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14]


def test_cosines_of_two_sides_are_the_products_of_their_directions():
    left, right = random_rows(4, 6), random_rows(5, 6, seed=1)
    expected = torch.nn.functional.cosine_similarity(left[:, None], right[None], dim=2)
    assert_close(pairwise_cosines(left, right), expected)
    shifted = pairwise_cosines(left + 3, right - 2, centred=True)
    assert_close(shifted, pairwise_cosines(left, right, centred=True))


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(1, 4), torch.zeros(3, 4).long()])
def test_refuses_what_is_not_class_rows(bad):
    with pytest.raises(ShapeError, match=r"`rows` must be a floating \(K, D\) tensor with K >= 2"):
        pairwise_cosines(bad)


def test_frobenius_norm_keeps_float32_precision_over_a_million_entries():
    matrix = unit_rows(1000, 1000).float()
    assert frobenius_norm(matrix).item() == pytest.approx(math.sqrt(1000), rel=2e-7)
