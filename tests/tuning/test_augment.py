import numpy as np
import pytest
import torch
from PIL import Image

from ncscope.tuning.augment import Augment, PixelSource, augment_for, crop_box
from tests.tuning import cases

IMAGE = cases.Painted()(0)


def boxes(width, height, count=1500):
    draw = np.random.default_rng(0)
    return np.array([crop_box(width, height, draw) for _ in range(count)])


def test_crops_have_8_to_100_percent_of_the_area_and_sides_of_3_4_to_4_3():
    found = boxes(320, 240)
    w, h = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    area, ratio = w * h / (320 * 240), w / h
    assert 0.07 < area.min() < 0.12
    assert 0.95 < area.max() <= 1
    assert ratio.min() >= 0.73  # 3/4 less the rounding of sides to whole pixels
    assert ratio.max() <= 1.36
    assert found.min() >= 0
    assert found[:, 2].max() <= 320
    assert found[:, 3].max() <= 240


def test_a_square_crops_areas_are_uniform_and_its_ratios_log_uniform():
    found = boxes(600, 600, 3000)
    w, h = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    small = w * h < 0.5 * 600 * 600  # larger ones are drawn again more often
    share = (w * h / 360000)[small]
    assert np.mean(share) == pytest.approx((0.08 + 0.5) / 2, abs=0.01)
    assert np.mean(np.log(w / h)) == pytest.approx(0, abs=0.01)
    assert np.std(np.log(w / h)[small]) == pytest.approx(np.log(4 / 3) / np.sqrt(3), abs=0.01)


@pytest.mark.parametrize(("width", "height", "crop"), [(500, 20, (27, 20)), (20, 500, (20, 27))])
def test_an_image_too_long_for_any_crop_gives_the_largest_in_the_middle(width, height, crop):
    left, top, right, bottom = boxes(width, height, 1)[0]
    assert (right - left, bottom - top) == crop
    assert abs(left + right - width) <= 1
    assert abs(top + bottom - height) <= 1


def test_the_same_seed_gives_the_same_view_whatever_was_drawn_before(backbone):
    change = augment_for(backbone)
    first = change(IMAGE, (1, 0, 5))
    assert first.shape == (3, backbone.image_size, backbone.image_size)
    np.random.seed(0)
    torch.manual_seed(0)
    assert torch.equal(change(IMAGE, (1, 0, 5)), first)
    for other in ((2, 0, 5), (1, 1, 5), (1, 0, 6)):
        assert not torch.equal(change(IMAGE, other), first)


def test_half_of_the_views_are_flipped_and_values_are_normalised(backbone):
    ramp = cases.Painted()(0).resize((64, 64))
    ramp.putdata([(x * 4, x * 4, x * 4) for _ in range(64) for x in range(64)])
    views = torch.stack([augment_for(backbone)(ramp, (0, 0, i)) for i in range(200)])
    rising = (views[:, 0, 0, -1] > views[:, 0, 0, 0]).double().mean()
    assert float(rising) == pytest.approx(0.5, abs=0.1)
    white = ramp.resize((64, 64))
    white.putdata([(255, 255, 255)] * 64 * 64)
    said = backbone.description["preprocess"]
    wanted = [(1 - m) / s for m, s in zip(said["mean"], said["std"], strict=True)]
    got = augment_for(backbone)(white, (0, 0, 0)).mean(dim=(1, 2))
    assert got.tolist() == pytest.approx(wanted, rel=1e-5)


def test_a_plain_source_is_the_backbones_own_preprocessing(backbone):
    images = cases.painted()
    source = PixelSource(backbone, images, seed=1, plain=True)
    assert torch.equal(source(3, 7), backbone.preprocess(images.load(3)))


def test_pixels_beside_the_crop_have_no_part_in_it():
    """torchvision cuts out first and resizes then: beside the box anything may lie."""
    draw = np.random.default_rng(0)
    inside = draw.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    box = crop_box(80, 60, np.random.default_rng((1, 2, 3)))
    left, top, right, bottom = (int(side) for side in box)
    outside = np.zeros_like(inside)
    outside[top:bottom, left:right] = inside[top:bottom, left:right]
    augment = Augment(32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    one, two = (augment(Image.fromarray(pixels), (1, 2, 3)) for pixels in (inside, outside))
    assert (right - left, bottom - top) != (80, 60)
    assert torch.equal(one, two)
