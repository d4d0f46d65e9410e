import math

import pytest
import torch
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    cross_etf_distance,
    delta_lcd,
    delta_lcd_ceiling,
    delta_lcd_floor,
    etf_distance,
    etf_distance_ceiling,
    etf_distance_floor,
    etf_gram,
    nearest_etf,
    pairwise_cosines,
    rankin_bound,
    simplex_etf,
    welch_bound,
)
from ncscope.metrics.rows import off_diagonal
from tests import reference
from tests.shapes import (
    ETF_SIZES,
    equicorrelated,
    orthoplex,
    random_rotation,
    random_rows,
    stacked_triangles,
    tight_frame,
    unit_rows,
)
from tests.shapes import simplex_etf as own_etf

SIZES = [*ETF_SIZES, (2, 1), (5, 4), (5, 5)]


@pytest.mark.parametrize("seed", [None, 0, 3])
@pytest.mark.parametrize(("num_classes", "width"), SIZES)
def test_frame_has_unit_rows_and_one_cosine(num_classes, width, seed):
    frame = simplex_etf(num_classes, width, seed=seed)
    expected = (num_classes * torch.eye(num_classes).double() - 1) / (num_classes - 1)
    assert_close(frame @ frame.T, expected, rtol=0, atol=1e-12)
    assert_close(frame.sum(dim=0), torch.zeros(width).double(), rtol=0, atol=1e-12)


def test_seed_turns_the_frame_and_zero_is_a_seed():
    frames = [simplex_etf(6, 9, seed=seed) for seed in (None, 0, 1)]
    assert_close(frames[1], simplex_etf(6, 9, seed=0), rtol=0, atol=0)
    for a, b in reference.pairs(3):
        assert (frames[a] - frames[b]).norm() > 0.5


def test_dtype_is_the_one_asked_for():
    frame = simplex_etf(10, 9, dtype=torch.float32)
    assert frame.dtype == torch.float32
    assert_close(frame, simplex_etf(10, 9).float(), rtol=0, atol=0)


@pytest.mark.parametrize(("num_classes", "width"), [(4, 2), (1000, 512)])
def test_no_frame_where_none_exists(num_classes, width):
    message = rf"K = {num_classes} classes exists in D = {width} .* D >= K - 1 = {num_classes - 1}"
    with pytest.raises(ShapeError, match=message):
        simplex_etf(num_classes, width)
    with pytest.raises(ShapeError, match=message):
        nearest_etf(torch.ones(num_classes, width))


def test_one_class_is_no_frame():
    with pytest.raises(ShapeError, match="at least 2 classes; got K = 1"):
        simplex_etf(1, 4)


def test_gram_is_the_frames_own_scaled_to_norm_one():
    frame = own_etf(7, 8)
    gram = frame @ frame.T
    assert_close(etf_gram(7, like=frame), gram / gram.norm())
    assert_close(etf_gram(7, like=frame).norm(), torch.ones(()).double())


def objective(frame, text):
    return float((frame * (text - text.mean(dim=0))).sum())


@pytest.mark.parametrize(("num_classes", "width"), [(2, 1), (6, 5), (6, 6), (6, 20), (40, 64)])
def test_nearest_frame_is_a_frame_at_the_nuclear_norm(num_classes, width):
    text = random_rows(num_classes, width) + 2
    frame = nearest_etf(text)
    assert reference.gram_distance((frame @ frame.T).numpy()) < 1e-12
    assert_close(frame.norm(dim=1), torch.ones(num_classes).double())
    best = math.sqrt(num_classes / (num_classes - 1)) * float(
        torch.linalg.svdvals(text - text.mean(dim=0)).sum()
    )
    assert objective(frame, text) == pytest.approx(best)


def test_no_rotation_and_no_nudge_of_the_nearest_frame_is_nearer():
    text = random_rows(5, 7)
    frame = nearest_etf(text)
    best = objective(frame, text)
    for seed in range(50):
        assert objective(own_etf(5, 7, seed=seed), text) < best
        skew = random_rows(7, 7, seed=seed)
        nudge = torch.linalg.matrix_exp(0.01 * (skew - skew.T))
        assert objective(frame @ nudge, text) < best


def test_nearest_frame_of_a_frame_is_itself_and_turns_with_it():
    frame = own_etf(8, 12)
    assert_close(nearest_etf(3 * frame + 1), frame, rtol=0, atol=1e-12)
    rotation = random_rotation(12)
    text = random_rows(8, 12)
    assert_close(nearest_etf(text @ rotation), nearest_etf(text) @ rotation, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_nearest_frame_is_a_frame_even_where_it_is_not_unique(rank):
    text = random_rows(6, rank) @ random_rows(rank, 8, seed=1) if rank else torch.ones(6, 8)
    frame = nearest_etf(text.double())
    assert reference.gram_distance((frame @ frame.T).numpy()) < 1e-12


def test_nearest_frame_is_detached_and_keeps_the_dtype():
    text = random_rows(4, 6).float().requires_grad_()
    assert nearest_etf(text).dtype == torch.float32
    assert not nearest_etf(text).requires_grad
    assert nearest_etf(text.detach().bfloat16()).dtype == torch.float32


def test_nearest_frame_of_nan_is_refused():
    text = random_rows(4, 6)
    text[2, 0] = math.nan
    with pytest.raises(ShapeError, match=r"`text` has NaN or inf in 1 of 4 rows: 2"):
        nearest_etf(text)


FRAMES = {
    "9 in 3": stacked_triangles(),
    "12 in 3, simplex repeated": own_etf(4, 3).repeat(3, 1),
    "20 in 6": tight_frame(20, 6),
    "8 in 4, orthoplex": orthoplex(4),
}
tight_frames = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())


@tight_frames
@pytest.mark.parametrize("centred", [False, True])
def test_zero_sum_tight_frames_attain_the_floors(frame, centred):
    size = frame.shape
    assert etf_distance(frame, centred=centred).item() == pytest.approx(etf_distance_floor(*size))
    crossed = cross_etf_distance(
        image_means=3 * frame, text=frame, center="both" if centred else "none"
    )
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
    assert cross_etf_distance(
        image_means=random_rows(num_classes, width, seed=seed + 99), text=rows
    ) >= (etf_distance_floor(num_classes, width))
    cosines = off_diagonal(pairwise_cosines(rows))
    assert cosines.square().mean().sqrt() >= welch_bound(num_classes, width)
    assert cosines.max() >= rankin_bound(num_classes, width)


def test_orthoplex_attains_the_rankin_bound():
    rows = orthoplex(5)
    for kept in (7, 10):  # from D + 2 to 2D rows
        cosines = off_diagonal(pairwise_cosines(rows[10 - kept :]))
        assert cosines.max().item() == rankin_bound(kept, 5) == 0
    assert off_diagonal(pairwise_cosines(own_etf(6, 5))).max().item() == pytest.approx(
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
