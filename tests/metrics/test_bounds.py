import math

import pytest
import torch
from torch.testing import assert_close

from ncscope.metrics import (
    cross_etf_distance,
    delta_lcd,
    delta_lcd_ceiling,
    delta_lcd_floor,
    etf_distance,
    etf_distance_ceiling,
    etf_distance_floor,
    pairwise_cosines,
    rankin_bound,
    welch_bound,
)
from ncscope.metrics.rows import off_diagonal
from tests.shapes import (
    equicorrelated,
    orthoplex,
    random_rows,
    simplex_etf,
    stacked_triangles,
    tight_frame,
    unit_rows,
)

FRAMES = {
    "9 in 3": stacked_triangles(),
    "12 in 3, simplex repeated": simplex_etf(4, 3).repeat(3, 1),
    "20 in 6": tight_frame(20, 6),
    "8 in 4, orthoplex": orthoplex(4),
}
tight_frames = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())


@tight_frames
@pytest.mark.parametrize("centred", [False, True])
def test_zero_sum_tight_frames_attain_the_floors(frame, centred):
    size = frame.shape
    assert etf_distance(frame, centred=centred).item() == pytest.approx(etf_distance_floor(*size))
    crossed = cross_etf_distance(frame, 3 * frame, center="both" if centred else "none")
    assert crossed.item() == pytest.approx(etf_distance_floor(*size))
    lowest = delta_lcd(frame, power=2, centred=centred).item()
    assert lowest == pytest.approx(delta_lcd_floor(*size))


@tight_frames
def test_tight_frames_attain_the_welch_bound(frame):
    root_mean_square = off_diagonal(pairwise_cosines(frame)).square().mean().sqrt()
    assert root_mean_square.item() == pytest.approx(welch_bound(*frame.shape))


def test_floors_have_the_values_of_the_table():
    assert delta_lcd_floor(9, 3) == pytest.approx(0.234375)
    assert etf_distance_floor(1000, 512) == pytest.approx(0.754, abs=5e-4)
    assert delta_lcd_floor(1000, 512) == pytest.approx(9.53e-4, abs=5e-7)
    assert math.sqrt(delta_lcd_floor(1000, 512)) == pytest.approx(0.0309, abs=5e-5)
    assert welch_bound(1000, 512) == pytest.approx(0.0309, abs=5e-5)
    assert rankin_bound(1000, 512) == 0


@pytest.mark.parametrize(("num_classes", "width"), [(2, 1), (10, 9), (500, 512), (512, 512)])
def test_nothing_stands_in_the_way_where_a_frame_exists(num_classes, width):
    assert etf_distance_floor(num_classes, width) == 0
    assert delta_lcd_floor(num_classes, width) == 0
    assert delta_lcd_floor(num_classes, width, power=1) == 0
    assert rankin_bound(num_classes, width) == -1 / (num_classes - 1)


def test_floor_at_power_one_is_unknown():
    assert math.isnan(delta_lcd_floor(9, 3, power=1))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("num_classes", "width"), [(9, 3), (30, 8), (5, 2)])
def test_random_rows_stay_above_the_floors(num_classes, width, seed):
    rows = random_rows(num_classes, width, seed=seed)
    for centred in (False, True):
        assert etf_distance(rows, centred=centred) >= etf_distance_floor(num_classes, width)
        assert delta_lcd(rows, power=2, centred=centred) >= delta_lcd_floor(num_classes, width)
    assert cross_etf_distance(rows, random_rows(num_classes, width, seed=seed + 99)) >= (
        etf_distance_floor(num_classes, width)
    )
    cosines = off_diagonal(pairwise_cosines(rows))
    assert cosines.square().mean().sqrt() >= welch_bound(num_classes, width)
    assert cosines.max() >= rankin_bound(num_classes, width)


def test_orthoplex_attains_the_rankin_bound():
    rows = orthoplex(5)
    for kept in (7, 10):  # from D + 2 to 2D rows
        cosines = off_diagonal(pairwise_cosines(rows[10 - kept :]))
        assert cosines.max().item() == rankin_bound(kept, 5) == 0
    assert off_diagonal(pairwise_cosines(simplex_etf(6, 5))).max().item() == pytest.approx(
        rankin_bound(6, 5)
    )


def test_ceilings_are_reached():
    line = torch.cat([torch.ones(5, 1), -torch.ones(4, 1)]).double() @ unit_rows(1, 3)
    ceiling = torch.tensor(etf_distance_ceiling(9, centred=True)).double()
    assert_close(etf_distance(line, centred=True), ceiling)
    same = unit_rows(1, 6).repeat(9, 1)
    assert etf_distance(same).item() == pytest.approx(etf_distance_ceiling(9))
    for power in (1, 2):
        assert delta_lcd(same, power=power).item() == pytest.approx(
            delta_lcd_ceiling(9, power=power)
        )
    assert etf_distance_ceiling(2, centred=True) == 0
    assert etf_distance(equicorrelated(50, 0.999)).item() < etf_distance_ceiling(50)
