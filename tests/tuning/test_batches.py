import pytest
import torch

from ncscope.errors import DataError
from ncscope.tuning.inputs import epoch_batches

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
