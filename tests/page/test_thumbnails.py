"""Thumbnails: the right picture for each row, within the budget, without a file's metadata."""

import base64
import io
from dataclasses import replace

import pytest
from PIL import Image

from ncscope.diagnosis.measure import measure
from ncscope.errors import DataError
from ncscope.features.bundle import read_features, write_features
from ncscope.page.page import page
from ncscope.page.report import Report
from ncscope.page.thumbnails import SIDE, jpeg, thumbnails_of
from ncscope.text import in_script
from tests.made_features import noisy


def shade(row):
    return Image.new("RGB", (200, 100), (4 * row, 4 * row, 4 * row))


def opened(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture)))


def pictured(seed=0, preview=shade, images=None):
    content = {} if images is None else {"content": {"images": images}}
    features = noisy(3, seed=seed)
    return replace(features, preview=preview, provenance={**features.provenance, **content})


def test_each_row_has_its_own_picture():
    made = thumbnails_of([pictured()], [[3, 20, 35]])
    assert set(made.rows[0]) == {3, 20, 35}
    for row, place in made.rows[0].items():
        picture = opened(made.pictures[place])
        assert picture.size == (SIDE, SIDE // 2)
        red = picture.getchannel("R").getextrema()[0]
        assert red == pytest.approx(4 * row, abs=3)


def test_runs_on_the_same_images_share_pictures_and_reading():
    read = []

    def once(row):
        read.append(row)
        return shade(row)

    runs = [pictured(seed, once, images="abc") for seed in range(2)]
    made = thumbnails_of(runs, [[1, 2], [2, 3]])
    assert sorted(read) == [1, 2, 3]
    assert made.rows[0][2] == made.rows[1][2]


def test_runs_on_unknown_images_do_not_share():
    made = thumbnails_of([pictured(0), pictured(1)], [[1], [1]])
    assert len(made.pictures) == 2


def test_the_budget_of_bytes_and_pictures_holds_and_is_said():
    rows = list(range(36))
    size = len(jpeg(shade(0)))
    made = thumbnails_of([pictured()], [rows], budget=5 * size)
    assert 0 < sum(map(len, made.pictures)) <= 5 * size
    assert f"{len(made.pictures)} of the 36 drawn" in (made.note() or "")
    assert len(thumbnails_of([pictured()], [rows], most=7).pictures) == 7
    assert "shows it (0.0 MB" in (thumbnails_of([pictured()], [rows]).note() or "")


def test_every_run_gets_its_share_of_a_small_budget():
    runs = [pictured(seed) for seed in range(3)]
    made = thumbnails_of(runs, [list(range(36))] * 3, most=9)
    assert [len(rows) for rows in made.rows] == [3, 3, 3]


def test_a_file_that_cannot_be_read_any_more_has_no_picture():
    def gone(row):
        if row == 2:
            raise DataError("gone")
        return shade(row)

    made = thumbnails_of([pictured(preview=gone)], [[1, 2, 3]])
    assert set(made.rows[0]) == {1, 3}


def test_features_without_pictures_have_no_thumbnails_and_no_note():
    made = thumbnails_of([noisy(3)], [[1, 2]])
    assert made.pictures == []
    assert made.note() is None


def test_a_thumbnail_carries_nothing_of_the_file_but_pixels():
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "a secret place"
    shade(9).save(stream, "JPEG", exif=exif, comment=b"a secret note")
    raw = base64.b64decode(jpeg(Image.open(io.BytesIO(stream.getvalue()))))
    assert b"secret" in stream.getvalue()
    assert b"secret" not in raw


def test_the_page_has_pictures_of_drawn_images_and_none_when_asked():
    report = Report((measure(pictured(), bootstrap=0),))
    with_them, without = page(report.runs), page(report.runs, thumbnails=False)
    assert jpeg(shade(7)) in with_them
    assert "Pointing at an image shows it" in with_them
    assert in_script({"rows": [], "pictures": []}) in without
    assert jpeg(shade(7)) not in without


def test_a_feature_file_keeps_no_pictures(tmp_path):
    write_features(pictured(), tmp_path / "f.npz")
    assert read_features(tmp_path / "f.npz").preview is None
