import torch
import torch.nn.functional as F

from ncscope.tuning.running import RunningMeans, class_means

WIDTH = 6


def batch(seed, labels):
    rows = torch.randn(len(labels), WIDTH, generator=torch.Generator().manual_seed(seed))
    return rows, torch.tensor(labels)


def new():
    return RunningMeans(3, WIDTH, torch.device("cpu"))


def test_the_first_batch_is_the_mean_as_it_is():
    running, (rows, labels) = new(), batch(0, [0, 0, 2])
    running.update(rows, labels)
    unit = F.normalize(rows, dim=1)
    torch.testing.assert_close(running.total, unit.mean(dim=0))
    torch.testing.assert_close(running.classes[0], unit[:2].mean(dim=0))
    assert running.seen.tolist() == [True, False, True]


def test_later_batches_come_in_by_a_tenth_and_absent_classes_stay():
    running = new()
    first, second = batch(0, [0, 0, 2]), batch(1, [0, 1])
    running.update(*first)
    before = running.classes.clone()
    running.update(*second)
    unit = F.normalize(second[0], dim=1)
    torch.testing.assert_close(running.classes[0], 0.9 * before[0] + 0.1 * unit[0])
    torch.testing.assert_close(running.classes[1], unit[1])
    torch.testing.assert_close(running.classes[2], before[2])


def test_with_batch_is_what_the_update_will_give_with_gradients_to_the_batch():
    running = new()
    running.update(*batch(0, [0, 0, 2]))
    rows, labels = batch(1, [0, 1])
    rows.requires_grad_()
    means = running.with_batch(rows, labels)
    running.update(rows, labels)
    torch.testing.assert_close(means.detach(), running.classes)
    (gradient,) = torch.autograd.grad(means[:, 0].sum(), [rows])
    assert (gradient.norm(dim=1) > 0).all()
    assert not running.classes.requires_grad


def test_a_saved_state_goes_on_as_if_nothing_had_been():
    running, other = new(), new()
    running.update(*batch(0, [0, 0, 2]))
    other.restore({name: value.clone() for name, value in running.tensors().items()})
    for one in (running, other):
        one.update(*batch(1, [0, 1]))
    for name, value in running.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


def test_class_means_are_zero_for_absent_classes():
    rows, labels = batch(0, [2, 2])
    means, present = class_means(rows, labels, 3)
    assert present.tolist() == [False, False, True]
    assert means[0].tolist() == [0] * WIDTH
    torch.testing.assert_close(means[2], rows.mean(dim=0))
