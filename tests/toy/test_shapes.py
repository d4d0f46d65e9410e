import numpy as np
import pytest

from ncscope.toy.shapes import BANK, REACH, distance_bank
from ncscope.toy.world import SHAPES

AXIS = (np.arange(BANK) + 0.5) / BANK * 2 * REACH - REACH
X, Y = np.meshgrid(AXIS, -AXIS)


def table(name):
    return distance_bank()[SHAPES.index(name)]


def test_a_circle_is_its_closed_form():
    assert table("circle") == pytest.approx(np.hypot(X, Y) - 0.92, abs=1e-6)


def test_a_square_is_its_closed_form_inside_and_out():
    out = np.hypot(np.maximum(abs(X) - 0.8, 0), np.maximum(abs(Y) - 0.8, 0))
    inside = np.minimum(np.maximum(abs(X), abs(Y)) - 0.8, 0)
    assert table("square") == pytest.approx(out + inside, abs=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_has_an_inside_and_lies_within_its_table(name):
    inside = table(name) < 0
    assert 0.1 < inside.mean() < 0.6
    assert not np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]]).any()


# flower and gear are bent radii: their inside is right, their distances are only roughly so
@pytest.mark.parametrize("name", [name for name in SHAPES if name not in ("flower", "gear")])
def test_distance_grows_no_faster_than_the_way_gone(name):
    step = AXIS[1] - AXIS[0]
    for axis in (0, 1):
        assert abs(np.diff(table(name), axis=axis)).max() <= (1 + 1e-4) * step


def test_no_two_shapes_look_alike():
    inside = (distance_bank() < 0).reshape(len(SHAPES), -1)
    for i in range(len(SHAPES)):
        for j in range(i):
            both, either = (inside[i] & inside[j]).sum(), (inside[i] | inside[j]).sum()
            assert both / either < 0.93, (SHAPES[i], SHAPES[j])


def test_the_first_row_of_a_table_is_the_top():
    inside = table("triangle") < 0
    assert inside[: BANK // 2].sum() < inside[BANK // 2 :].sum()
