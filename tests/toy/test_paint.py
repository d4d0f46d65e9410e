import colorsys

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.testing import assert_close

from ncscope.toy import paint
from ncscope.toy.paint import CHUNK, PIXELS, render
from ncscope.toy.world import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    SHAPES,
    STYLES,
    TEXTURES,
    draw_scenes,
    stream,
)


def scenes(number, **fixed):
    return draw_scenes(stream("tuning", "paint"), number, fixed=fixed)


def test_a_picture_does_not_depend_on_its_batch():
    drawn = scenes(CHUNK + 20)
    alone = torch.cat([render(drawn.take(slice(i, i + 1))) for i in (0, 3, CHUNK + 5)])
    assert_close(alone.int(), render(drawn)[[0, 3, CHUNK + 5]].int(), atol=1, rtol=0)


def test_pictures_are_the_recorded_ones():
    # loose, because the last bit of a sum may differ between processors
    means = render(scenes(64)).double().mean(dim=(0, 1, 2))
    assert means.tolist() == pytest.approx(RECORDED, abs=0.05)


def test_pictures_are_rgb_bytes():
    pictures = render(scenes(3))
    assert pictures.shape == (3, PIXELS, PIXELS, 3)
    assert pictures.dtype == torch.uint8


@pytest.mark.parametrize("colour", range(len(COLOURS)))
def test_the_middle_of_a_plain_square_has_its_colour(colour):
    square, plain = SHAPES.index("square"), TEXTURES.index("plain")
    cartoon = STYLES.index("cartoon")
    drawn = scenes(32, shape=square, texture=plain, size=2, colour=colour, style=cartoon)
    middle = render(drawn)[:, 18:22, 18:22].double().mean(dim=(0, 1, 2)) / 255
    wanted = torch.tensor(colorsys.hsv_to_rgb(*list(COLOURS.values())[colour])).double()
    grey = wanted.mean()  # the cartoon style strengthens colours
    assert_close(middle, (grey + 1.25 * (wanted - grey)).clamp(0, 1), atol=0.08, rtol=0)


@pytest.mark.parametrize("count", range(len(COUNTS)))
def test_there_are_as_many_objects_as_are_counted(count):
    drawn = scenes(
        20,
        shape=SHAPES.index("diamond"),  # wide shapes may touch
        count=count,
        texture=0,
        colour=list(COLOURS).index("black"),
        background=BACKGROUNDS.index("snow"),
        style=0,
    )
    dark = (render(drawn).float().mean(dim=-1) < 100).numpy()
    found = [ndimage.label(p)[1] for p in dark]  # pyright: ignore[reportIndexIssue]
    assert np.mean(np.array(found) == count + 1) > 0.9


@pytest.mark.parametrize(("place", "axis", "side"), [(1, 1, -1), (2, 1, 1), (3, 0, -1), (4, 0, 1)])
def test_objects_are_where_their_place_says(place, axis, side):
    drawn = scenes(
        10,
        shape=0,
        place=place,
        texture=0,
        colour=list(COLOURS).index("black"),
        background=BACKGROUNDS.index("snow"),
        style=0,
    )
    for picture in (render(drawn).float().mean(dim=-1) < 100).unbind():
        assert side * (picture.nonzero().double().mean(dim=0)[axis].item() - PIXELS / 2) > 3


def test_domains_show_the_same_scene_differently():
    pictures = [render(scenes(6, style=style)).float() for style in range(len(STYLES))]
    for i in range(len(STYLES)):
        for j in range(i):
            assert (pictures[i] - pictures[j]).abs().mean() > 8
    assert pictures[STYLES.index("night")].mean() < 0.6 * pictures[0].mean()


def test_colours_are_converted_as_the_standard_library_does():
    hue, saturation, value = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    rows = zip(hue.tolist(), saturation.tolist(), value.tolist(), strict=True)
    expected = torch.tensor([colorsys.hsv_to_rgb(*row) for row in rows])
    assert_close(paint._rgb(hue, saturation, value), expected)


def test_a_camera_sees_every_batch_once():
    seen = []

    def camera(pictures, batch):
        seen.append(len(batch))
        return torch.zeros_like(pictures)

    assert not render(scenes(CHUNK + 3), camera=camera).any()
    assert seen == [CHUNK, 3]


RECORDED = [124.566, 123.229, 126.983]
