import numpy as np
import pytest

from ncscope.toy.surfaces import (
    TILE,
    VARIANTS,
    background_bank,
    noise_bank,
    texture_bank,
)
from ncscope.toy.world import BACKGROUNDS, TEXTURES

BY_OUTLINE = ("plain", "hollow", "faded", "ridged")  # no table, or one that paint.py computes


def table(name):
    return texture_bank()[TEXTURES.index(name)]


def test_stripes_repeat_three_times_a_tile_downwards_and_not_sideways():
    assert np.ptp(table("striped"), axis=1).max() < 1e-6
    spectrum = abs(np.fft.rfft(table("striped")[:, 0] - 0.5))
    assert spectrum.argmax() == 3


@pytest.mark.parametrize("name", [name for name in TEXTURES if name not in BY_OUTLINE])
def test_a_texture_shows_both_colours_and_wraps_around(name):
    pattern = table(name)
    assert pattern.min() < 0.1
    assert pattern.max() > 0.9
    for axis in (0, 1):
        inner = abs(np.diff(pattern, axis=axis)).max()
        seam = abs(np.take(pattern, 0, axis) - np.take(pattern, -1, axis)).max()
        assert seam <= inner + 0.05


def test_textures_that_follow_the_outline_have_empty_tables():
    for name in BY_OUTLINE:
        assert not table(name).any()


def test_textures_differ():
    shown = [table(name) for name in TEXTURES if name not in BY_OUTLINE]
    for i, pattern in enumerate(shown):
        for other in shown[:i]:
            assert abs(pattern - other).mean() > 0.15


def test_backgrounds_differ_more_between_kinds_than_their_range_allows_for_chance():
    bank = background_bank()
    assert bank.shape == (len(BACKGROUNDS), VARIANTS, TILE, TILE, 3)
    assert bank.min() >= 0
    assert bank.max() <= 1
    means = bank[1:].mean(axis=(2, 3))  # cloth has a colour of its own each time
    between = means.mean(axis=1).std(axis=0).mean()
    assert between > 3 * means.std(axis=1).mean()


def test_every_background_has_several_pictures():
    for pictures in background_bank():
        assert len({picture.tobytes() for picture in pictures}) == VARIANTS


def test_the_noise_is_standard_normal():
    noise = noise_bank()
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)
