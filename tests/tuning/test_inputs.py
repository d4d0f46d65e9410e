import dataclasses

import pytest
import torch

from ncscope.clip.prompts import ZeroShot
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from ncscope.features.cache import cache_path, keep
from ncscope.features.forward import ImageFeatures, encode_images
from ncscope.tuning import inputs, pixels
from ncscope.tuning.inputs import (
    cached_image_features,
    chosen_views,
    epoch_batches,
    feature_inputs,
)
from ncscope.tuning.pixels import pixel_inputs
from ncscope.tuning.values import parsed_views
from tests.tuning import cases

IMAGES = cases.painted()
ROWS = torch.tensor([6, 0, 3])


def test_one_view_is_the_backbones_feature_of_the_centre_crop(backbone):
    found = feature_inputs(backbone, IMAGES, views=1, seed=1, epochs=3)
    wanted = encode_images(ZeroShot(backbone), IMAGES).rows
    for epoch in (0, 2):
        torch.testing.assert_close(found.batch(ROWS, epoch), wanted[ROWS])
    assert found.labels.tolist() == list(IMAGES.labels)


@pytest.mark.parametrize("views", [1, 3, "online"])
def test_features_and_pixels_show_the_same_view_in_every_epoch(backbone, views):
    features = feature_inputs(backbone, IMAGES, views=views, seed=4, epochs=3)
    source = pixel_inputs(backbone, IMAGES, views=views, seed=4)
    for epoch in range(3):
        shown = source.batch(ROWS, epoch)
        torch.testing.assert_close(features.batch(ROWS, epoch), backbone.encode_image(shown))
        assert torch.equal(source.batch(ROWS, epoch), shown)


def test_online_shows_another_view_every_epoch_and_three_views_come_back(backbone):
    online = pixel_inputs(backbone, IMAGES, views="online", seed=4)
    assert not torch.equal(online.batch(ROWS, 0), online.batch(ROWS, 1))
    assert online.kept == {}
    few = pixel_inputs(backbone, IMAGES, views=3, seed=4)
    for epoch in range(12):
        few.batch(torch.arange(len(IMAGES)), epoch)
    assert set(few.kept) == {(i, v) for i in range(len(IMAGES)) for v in range(3)}


def test_pixels_that_would_not_fit_are_not_kept(backbone, monkeypatch):
    monkeypatch.setattr(pixels, "_KEPT", 1000)
    few = pixel_inputs(backbone, IMAGES, views=3, seed=4)
    few.batch(ROWS, 0)
    assert few.kept == {}


def test_views_are_drawn_by_seed_and_epoch_alone():
    first = chosen_views(4, 50, seed=1, epoch=2)
    assert set(first.tolist()) == {0, 1, 2, 3}
    assert torch.equal(chosen_views(4, 50, seed=1, epoch=2), first)
    assert not torch.equal(chosen_views(4, 50, seed=1, epoch=3), first)
    assert not torch.equal(chosen_views(4, 50, seed=2, epoch=2), first)


def test_features_are_kept_and_found_again(backbone, tmp_path, monkeypatch):
    first = cached_image_features(backbone, IMAGES, cache=tmp_path)
    monkeypatch.setattr(inputs, "encode_images", None)  # must not be needed
    assert torch.equal(cached_image_features(backbone, IMAGES, cache=tmp_path).rows, first.rows)


def test_kept_features_of_only_some_images_are_not_taken_for_all(backbone, tmp_path):
    whole = cached_image_features(backbone, IMAGES)
    path = cache_path(tmp_path, model=backbone.image_digest, images=IMAGES.digest)
    keep(path, ImageFeatures(whole.rows[1:], whole.kept[1:]))  # as left by --skip-bad
    assert torch.equal(cached_image_features(backbone, IMAGES, cache=tmp_path).rows, whole.rows)


@pytest.mark.parametrize("bad", [0, -1, "many", 1.5, 10_000])
def test_a_number_of_views_is_within_reason_or_online(bad):
    with pytest.raises(DataError, match=f"`views` is {bad!r}; expected a number of 1 to 9999"):
        parsed_views(bad)
    assert (parsed_views("3"), parsed_views("online")) == (3, "online")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the loader forks beside threads
def test_an_unreadable_training_image_is_named_in_one_line(backbone, workers):
    broken: ImageSet = dataclasses.replace(IMAGES, load=cases.Unreadable())
    with pytest.raises(DataError, match=r"^2\.png: cannot be read$"):
        feature_inputs(backbone, broken, views=2, seed=1, epochs=1, workers=workers)
    with pytest.raises(DataError, match=r"2\.png"):
        feature_inputs(backbone, broken, views=1, seed=1, epochs=1)
    with pytest.raises(DataError, match=r"2\.png"):
        pixel_inputs(backbone, broken, views=2, seed=1).batch(torch.tensor([2]), 0)


LABELS = torch.tensor([0] * 16 + [1] * 4 + [2])


def test_plain_batches_hold_every_image_once():
    batches = epoch_batches(LABELS, batch_size=4, seed=1, epoch=0)
    assert [len(rows) for rows in batches] == [4, 4, 4, 4, 4, 1]
    assert sorted(torch.cat(batches).tolist()) == list(range(21))


@pytest.mark.parametrize("sampler", ["plain", "balanced"])
def test_batches_follow_from_seed_and_epoch_alone(sampler):
    def order(seed, epoch):
        found = epoch_batches(LABELS, batch_size=4, seed=seed, epoch=epoch, sampler=sampler)
        return torch.cat(found).tolist()

    torch.manual_seed(0)
    first = order(1, 3)
    torch.manual_seed(99)
    assert order(1, 3) == first
    assert order(1, 4) != first
    assert order(2, 3) != first


@pytest.mark.parametrize("batch_size", [0, 21])
def test_all_at_once_keeps_the_order(batch_size):
    (rows,) = epoch_batches(LABELS, batch_size=batch_size, seed=1, epoch=0)
    assert rows.tolist() == list(range(21))


def test_balanced_batches_show_every_class_equally_often():
    drawn = [
        LABELS[rows]
        for epoch in range(300)
        for rows in epoch_batches(LABELS, batch_size=5, seed=1, epoch=epoch, sampler="balanced")
    ]
    counts = torch.bincount(torch.cat(drawn)).double()
    assert counts.sum() == 300 * 21
    # standard deviation of a share: sqrt(2/9 / 6300) = 0.006
    assert (counts / counts.sum()).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_an_unknown_sampler_lists_the_known_ones():
    with pytest.raises(DataError, match=r"`sampler` is 'fair'; expected one of plain, balanced"):
        epoch_batches(LABELS, batch_size=4, seed=1, epoch=0, sampler="fair")


def test_dassls_drop_last_leaves_out_what_fills_no_batch_where_there_are_enough():
    def sizes(count, batch_size):
        labels = torch.zeros(count, dtype=torch.int64)
        options = {"batch_size": batch_size, "seed": 1, "epoch": 0, "drop_last": True}
        return [len(rows) for rows in epoch_batches(labels, **options)]

    assert sizes(10, 4) == [4, 4]
    assert sizes(8, 4) == [4, 4]
    assert sizes(3, 4) == [3]  # fewer than one batch: one step with all
    assert sizes(4, 4) == [4]
    assert sizes(5, 0) == [5]
    # other images are left out in every epoch
    labels = torch.zeros(9, dtype=torch.int64)
    seen = [
        set(
            torch.cat(epoch_batches(labels, batch_size=4, seed=1, epoch=e, drop_last=True)).tolist()
        )
        for e in range(6)
    ]
    assert all(len(rows) == 8 for rows in seen)
    assert len(set.union(*seen)) == 9
