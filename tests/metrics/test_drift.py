"""Drift, parts of the gap, centres, the nearest cosine: closed forms, identities, invariances."""

import math

import pytest
import torch
from torch.testing import assert_close

from ncscope.metrics import (
    centre_and_spread,
    conformity,
    drift_angles,
    drift_outside,
    gap_parts,
    modality_gap,
    nearest_cosine,
    off_diagonal,
    pairwise_cosines,
)
from tests.shapes import equicorrelated, normal, random_rotation, simplex_etf, unit_rows


@pytest.mark.parametrize("degrees", [0, 1e-7, 30, 90, 179, 180])
def test_a_row_turned_by_an_angle_has_drifted_by_it(degrees):
    turn = math.radians(degrees)
    frozen = torch.tensor([[1.0, 0, 0], [0, 2, 0]], dtype=torch.float64)
    rows = torch.tensor(
        [[math.cos(turn), math.sin(turn), 0], [0, 3 * math.cos(turn), 3 * math.sin(turn)]],
        dtype=torch.float64,
    )
    assert drift_angles(rows, frozen).tolist() == pytest.approx([degrees, degrees], rel=1e-6)


def test_a_common_rotation_is_no_drift_to_the_measures():
    rows, frozen, turn = unit_rows(6, 9), unit_rows(6, 9, seed=1), random_rotation(9)
    for measure in (drift_angles, drift_outside):
        assert_close(measure(rows @ turn, frozen @ turn), measure(rows, frozen))


def test_drift_lies_where_it_was_put():
    frozen = torch.zeros(5, 12, dtype=torch.float64)
    frozen[:, :4] = unit_rows(5, 4)
    inside, outside = frozen.clone(), frozen.clone()
    inside[:, :4] += 0.1 * normal(5, 4)
    outside[:, 6:] += 0.1 * normal(5, 6)
    assert float(drift_outside(inside, frozen, share=1.0)) == pytest.approx(0, abs=1e-12)
    assert float(drift_outside(outside, frozen)) == pytest.approx(1)
    assert drift_outside(frozen, frozen).isnan()


def test_directions_that_hold_little_of_the_frozen_rows_count_as_outside():
    frozen = torch.eye(3, dtype=torch.float64)[[0, 0, 1, 2]] * torch.tensor(
        [[10.0], [10], [9], [0.1]]
    )
    moved = frozen + torch.eye(3, dtype=torch.float64)[2]
    assert float(drift_outside(moved, frozen, share=0.99)) == pytest.approx(1)
    assert float(drift_outside(moved, frozen, share=1.0)) == pytest.approx(0, abs=1e-12)


def test_the_parts_of_the_gap_add_up_to_it():
    text, means = unit_rows(8, 5), 0.7 * unit_rows(8, 5, seed=2) + 1
    parts = gap_parts(means, text)
    assert_close(parts["pairs"], (text - means).square().sum(1).mean())
    assert_close(parts["pairs"], parts["centre"] + parts["distribution"])
    assert_close(parts["centre"], modality_gap(means, text).square())
    shifted = gap_parts(means, text + 3)
    assert_close(shifted["distribution"], parts["distribution"])
    alike = gap_parts(text, text)
    assert alike["centre_share"].isnan()
    assert float(alike["pairs"]) == 0


def test_centre_and_spread_of_unit_rows_share_a_square_of_one():
    length, spread = centre_and_spread(unit_rows(9, 6) / 1)
    assert float(length**2 + spread) == pytest.approx(1)
    length, spread = centre_and_spread(simplex_etf(5, 8))
    assert (float(length), float(spread)) == (pytest.approx(0, abs=1e-12), pytest.approx(1))


def test_conformity_is_the_cosine_with_the_mean_and_rises_with_the_cone():
    narrow, wide = equicorrelated(6, 0.8), equicorrelated(6, 0.2)
    for rows, cosine in ((narrow, 0.8), (wide, 0.2)):  # |mean|^2 = (1 + 5c)/6, as is <g, mean>
        assert_close(conformity(rows), torch.full((6,), math.sqrt((1 + 5 * cosine) / 6)).double())
    assert conformity(simplex_etf(5, 8)).isnan().all()


@pytest.mark.parametrize("centred", [False, True])
def test_the_nearest_cosine_is_that_of_a_loop(centred):
    rows = unit_rows(7, 5)
    cosines = pairwise_cosines(rows, centred=centred)
    slow = sum(max(float(cosines[i, j]) for j in range(7) if j != i) for i in range(7)) / 7
    assert float(nearest_cosine(rows, centred=centred)) == pytest.approx(slow)
    assert float(nearest_cosine(rows, centred=centred)) >= float(off_diagonal(cosines).mean())


def test_the_nearest_cosine_of_a_simplex_is_its_angle_and_of_equal_rows_one():
    assert float(nearest_cosine(simplex_etf(6, 9))) == pytest.approx(-1 / 5)
    assert float(nearest_cosine(torch.ones(4, 3))) == pytest.approx(1)
    assert nearest_cosine(torch.ones(4, 3), centred=True).isnan()
