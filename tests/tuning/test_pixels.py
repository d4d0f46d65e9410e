"""Training pixels decoded ahead by processes, kept as bytes: the same as decoded one by one."""

import multiprocessing
import os
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from ncscope.errors import DataError
from ncscope.tuning.augment import PixelSource
from ncscope.tuning.pixels import pixel_inputs
from tests.tuning import cases

IMAGES = cases.painted()
BATCHES = torch.tensor([6, 0, 3, 1, 2, 7, 4, 5]).split(3)


def directly(inputs, rows, epoch):
    """Every image by itself, as float."""
    view = inputs._views(epoch)
    return torch.stack([inputs.source(int(row), int(view[row])) for row in rows])


class Counting(PixelSource):
    """Counts decodings, in this process."""

    seen: ClassVar[list] = []

    def shown(self, row, view):
        self.seen.append((row, view))
        return super().shown(row, view)


def counting(inputs):
    source = inputs.source
    inputs.source = Counting(source.backbone, source.images, source.seed, source.plain)
    Counting.seen = []
    return inputs


@pytest.mark.parametrize("views", [1, 3, "online"])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the loader forks beside threads
def test_pixels_that_are_expected_are_those_decoded_one_by_one(backbone, views, workers):
    inputs = pixel_inputs(backbone, IMAGES, views=views, seed=4, workers=workers)
    for epoch in range(2):
        inputs.expect(BATCHES, epoch)
        for rows in BATCHES:
            assert torch.equal(inputs.batch(rows, epoch), directly(inputs, rows, epoch))
        assert not inputs.order


class Signing:
    """Loads images, and leaves the process that did in a file."""

    def __init__(self, load, path):
        self.load, self.path = load, path

    def __call__(self, index):
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return self.load(index)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_that_decode_start_once_and_end_with_what_there_is_to_decode(backbone, tmp_path):
    signed = replace(IMAGES, load=Signing(IMAGES.load, tmp_path / "by"))
    inputs = pixel_inputs(backbone, signed, views="online", seed=4, workers=2)
    plain = pixel_inputs(backbone, IMAGES, views="online", seed=4, workers=0)
    for epoch in range(4):
        for one in (inputs, plain):
            one.expect(BATCHES, epoch)
        for rows in BATCHES[: 2 if epoch == 1 else None]:  # a pass that is left in the middle
            assert torch.equal(inputs.batch(rows, epoch), plain.batch(rows, epoch))
    processes = {int(line) for line in (tmp_path / "by").read_text().split()}
    assert len(processes) == 2
    assert os.getpid() not in processes
    inputs.expect([], 4)
    assert not {one.pid for one in multiprocessing.active_children()} & processes


def test_a_batch_in_parts_that_is_asked_for_twice_is_decoded_once(backbone):
    inputs = counting(pixel_inputs(backbone, IMAGES, views="online", seed=4))
    inputs.expect(BATCHES, 0)
    for rows in BATCHES:
        for part in (*rows.tensor_split(2), *rows.tensor_split(2)):
            inputs.batch(part, 0)
    assert sorted(Counting.seen) == [(row, 0) for row in range(8)]


@pytest.mark.parametrize("views", [2, "online"])
def test_images_drawn_twice_and_batches_nobody_expected_are_right_all_the_same(backbone, views):
    """As the balanced sampler draws: within a batch, and a whole batch once more."""
    inputs = pixel_inputs(backbone, IMAGES, views=views, seed=4)
    batches = [torch.tensor(rows) for rows in ([1, 1, 2], [2, 1, 1], [3, 2, 3], [7, 0, 1])]
    inputs.expect(batches, 0)
    for rows in (batches[0], batches[1], torch.tensor([5, 1]), batches[2], batches[3]):
        assert torch.equal(inputs.batch(rows, 0), directly(inputs, rows, 0))


def test_kept_pixels_are_bytes_and_no_more_is_decoded_once_all_are_kept(backbone):
    inputs = counting(pixel_inputs(backbone, IMAGES, views=1, seed=4))
    for epoch in range(3):
        inputs.expect(BATCHES, epoch)
        for rows in BATCHES:
            inputs.batch(rows, epoch)
    assert len(Counting.seen) == 8
    assert {(one.dtype, tuple(one.shape)) for one in inputs.kept.values()} == {
        (torch.uint8, (3, backbone.image_size, backbone.image_size))
    }
    kept = sum(one.untyped_storage().nbytes() for one in inputs.kept.values())
    assert 4 * kept == directly(inputs, torch.arange(8), 0).nbytes


def test_a_transform_that_is_none_of_clips_is_taken_as_it_is(backbone):
    other = replace(backbone, preprocess=lambda image: backbone.preprocess(image) + 1)
    found = pixel_inputs(other, IMAGES, views=1, seed=4).batch(torch.tensor([2, 0]), 0)
    assert torch.equal(found, pixel_inputs(backbone, IMAGES, views=1, seed=4).batch(
        torch.tensor([2, 0]), 0) + 1)  # fmt: skip


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_an_unreadable_image_is_named_in_the_batch_that_shows_it(backbone, workers):
    broken = replace(IMAGES, load=cases.Unreadable())
    inputs = pixel_inputs(backbone, broken, views="online", seed=1, workers=workers)
    inputs.expect(BATCHES, 0)
    inputs.batch(BATCHES[0], 0)
    with pytest.raises(DataError, match=r"^2\.png: cannot be read$"):
        inputs.batch(BATCHES[1], 0)
