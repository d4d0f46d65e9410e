import pickle

import numpy as np
import pytest
from PIL import Image

from ncscope.data.files import FileLoader, inspect_files, read_image
from ncscope.data.images import open_images
from ncscope.errors import DataError


def test_every_mode_becomes_rgb_without_a_warning(tmp_path):
    for mode in ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]:
        suffix = "tif" if mode == "CMYK" else "png"
        Image.new(mode, (4, 3)).save(tmp_path / f"{mode}.{suffix}")
        image = read_image(tmp_path / f"{mode}.{suffix}")
        assert (image.mode, image.size) == ("RGB", (4, 3))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "p.png", transparency=bytes([0, 255]))
    values = np.asarray(read_image(tmp_path / "p.png"))
    np.testing.assert_array_equal(values, [[[255, 0, 0], [0, 255, 0]]])


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path):
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    values = np.asarray(read_image(tmp_path / "deep.png"))
    np.testing.assert_array_equal(values[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(tmp_path, dtype):
    Image.fromarray(np.full((2, 2), 70_000, dtype=dtype)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=r"x\.tif: cannot be read .* whose range is not known"):
        read_image(tmp_path / "x.tif")


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_a_file_cut_short_is_refused_by_the_name_it_was_given(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "x.jpg")
    (tmp_path / "x.jpg").write_bytes((tmp_path / "x.jpg").read_bytes()[:-500])
    with pytest.raises(DataError, match=r"^cat/x\.jpg: cannot be read as an image \(.*truncated"):
        read_image(tmp_path / "x.jpg", item="cat/x.jpg")


def test_formats_that_start_another_program_are_not_opened(tmp_path):
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_image(tmp_path / "x.png")
    assert inspect_files([tmp_path / "x.png"]) == [(False, "")]


def test_a_large_picture_is_read_without_a_warning_and_a_huge_one_refused_for_its_size(
    tmp_path, monkeypatch
):
    Image.new("1", (40, 50)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    assert read_image(tmp_path / "x.png").size == (40, 50)
    assert inspect_files([tmp_path / "x.png"])[0][0]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(DataError, match=r"x\.png: more than 178 million pixels; make it smaller"):
        read_image(tmp_path / "x.png")
    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "x.png").rename(tmp_path / "set/cat/x.png")
    with pytest.raises(DataError, match=r"cat/x\.png \(more than 178 million pixels\); remove"):
        open_images(tmp_path / "set")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png: cannot be read as an image \(.*No such file"):
        read_image(tmp_path / "gone.png")
    assert inspect_files([tmp_path / "gone.png"]) == [(False, "")]


def test_the_loader_survives_pickling(tmp_path):
    Image.new("RGB", (3, 3), "red").save(tmp_path / "x.png")
    load = pickle.loads(pickle.dumps(FileLoader((str(tmp_path / "x.png"),), ("x",))))
    assert load(0).getpixel((1, 1)) == (255, 0, 0)
