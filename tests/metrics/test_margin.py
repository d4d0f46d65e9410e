import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.testing import assert_close

from ncscope.metrics import one_vs_rest_distance
from tests.shapes import orthoplex, random_rows, simplex_etf, unit_rows


@pytest.mark.parametrize(("num_classes", "width"), [(2, 2), (5, 4), (10, 64)])
def test_simplex_etf_has_the_closed_form(num_classes, width):
    found = one_vs_rest_distance(simplex_etf(num_classes, width))
    expected = num_classes / (num_classes - 1) * torch.ones(num_classes).double()
    assert_close(found, expected, rtol=1e-12, atol=0)


def test_orthoplex_and_inner_points():
    # The hull of the other axes holds the origin, and nothing nearer to a corner than it.
    assert_close(one_vs_rest_distance(orthoplex(3)), torch.ones(6).double())
    line = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]).double()
    expected = torch.tensor([0, 2**0.5, 0], dtype=torch.float64)
    assert_close(one_vs_rest_distance(line), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("num_classes", "width"), [(4, 6), (6, 3)])
def test_distance_is_the_one_a_general_minimiser_finds(num_classes, width, seed):
    points = unit_rows(num_classes, width, seed=seed).numpy()
    found = one_vs_rest_distance(torch.tensor(points))
    for index in range(num_classes):
        others = np.delete(points, index, axis=0)
        result = minimize(
            lambda w: np.sum((w @ others - points[index]) ** 2),  # noqa: B023
            np.full(num_classes - 1, 1 / (num_classes - 1)),
            bounds=[(0, 1)] * (num_classes - 1),
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14},
        )
        assert found[index].item() == pytest.approx(result.fun**0.5, abs=1e-5)


def test_scale_is_not_seen_but_centring_is_an_option():
    rows = random_rows(5, 8)
    lengths = torch.linspace(0.1, 3, 5).double().unsqueeze(1)
    assert_close(one_vs_rest_distance(rows * lengths), one_vs_rest_distance(rows))
    centred = one_vs_rest_distance(rows - rows.mean(dim=0))
    assert_close(one_vs_rest_distance(rows + 7, centred=True), centred)


def test_dtype_follows_the_input_and_a_zero_row_is_undefined():
    rows = random_rows(4, 5)
    assert one_vs_rest_distance(rows.float()).dtype == torch.float32
    assert one_vs_rest_distance(rows.bfloat16()).dtype == torch.float32
    rows[2] = 0
    assert one_vs_rest_distance(rows).isnan().all()
