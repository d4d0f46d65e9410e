import pytest
import torch
import torch.nn.functional as F

from ncscope.errors import ShapeError
from ncscope.tuning.evaluate import quick_measures
from ncscope.tuning.running import RunningMeans, Trajectory, class_means

WIDTH = 6


def batch(seed, labels):
    rows = torch.randn(len(labels), WIDTH, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=1), torch.tensor(labels)


def seeing(*batches, counts=None):
    running = RunningMeans(None if counts is None else torch.tensor(counts))
    for rows, labels in batches:
        running.remember(*running.with_batch(rows, labels, 3))
    return running


def test_the_first_batch_is_the_mean_as_it_is():
    rows, labels = batch(0, [0, 0, 2])
    running = seeing((rows, labels))
    torch.testing.assert_close(running.classes[0], rows[:2].mean(dim=0))
    assert running.seen.tolist() == [True, False, True]


def test_later_batches_come_in_by_a_tenth_and_absent_classes_stay():
    first, second = batch(0, [0, 0, 2]), batch(1, [0, 1])
    before, running = seeing(first), seeing(first, second)
    torch.testing.assert_close(running.classes[0], 0.9 * before.classes[0] + 0.1 * second[0][0])
    torch.testing.assert_close(running.classes[1], second[0][1])
    torch.testing.assert_close(running.classes[2], before.classes[2])


def test_of_known_counts_a_batch_weighs_by_the_share_of_the_classes_images_it_shows():
    first, second = batch(0, [0, 0, 0, 0, 1, 2]), batch(1, [0, 2, 2])
    before, running = seeing(first), seeing(first, second, counts=(4, 1, 1))
    rows = second[0]
    torch.testing.assert_close(running.classes[0], 0.75 * before.classes[0] + 0.25 * rows[0])
    torch.testing.assert_close(running.classes[1], before.classes[1])
    torch.testing.assert_close(
        running.classes[2], rows[1:].mean(dim=0)
    )  # shown twice, counted once


def test_of_known_counts_all_images_are_their_means_whatever_was_before():
    labels = [0, 0, 0, 1, 2, 2]
    running = seeing(batch(0, [0, 1]), batch(1, labels), counts=(3, 1, 2))
    wanted, _ = class_means(*batch(1, labels), 3)
    assert torch.equal(running.classes, wanted)


@pytest.mark.parametrize("counts", [None, (2, 1, 0)])
def test_with_batch_has_gradients_to_the_batch_and_remembers_nothing(counts):
    running = seeing(batch(0, [0, 0]), counts=counts)
    rows, labels = batch(1, [0, 1])
    rows.requires_grad_()
    means, seen = running.with_batch(rows, labels, 3)
    assert seen.tolist() == [True, True, False]
    assert running.seen.tolist() == [True, False, False]
    (gradient,) = torch.autograd.grad(means[:, 0].sum(), [rows])
    assert gradient.isfinite().all()
    assert (gradient.norm(dim=1) > 0).all()
    running.remember(means, seen)
    assert not running.classes.requires_grad


def test_a_saved_state_goes_on_as_if_nothing_had_been():
    running, other = seeing(batch(0, [0, 0, 2])), RunningMeans()
    other.load_state_dict({name: value.clone() for name, value in running.state_dict().items()})
    for one in (running, other):
        one.remember(*one.with_batch(*batch(1, [0, 1]), 3))
    for name, value in running.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_other_classes_than_before_are_refused_with_both_sizes():
    running = seeing(batch(0, [0, 0, 2]))
    with pytest.raises(
        ShapeError, match=r"are of \(K, D\) = \(3, 6\); got images of \(4, 6\); take"
    ):
        running.with_batch(*batch(0, [0, 1]), 4)


def test_class_means_are_zero_for_absent_classes():
    rows, labels = batch(0, [2, 2])
    means, counts = class_means(rows, labels, 3)
    assert counts.tolist() == [0, 0, 2]
    assert means[0].tolist() == [0] * WIDTH
    torch.testing.assert_close(means[2], rows.mean(dim=0))


def test_text_of_every_image_is_kept_and_logged_by_its_mean_direction_as_a_report_has_it():
    generator = torch.Generator().manual_seed(3)
    image, text = torch.randn(6, 5, generator=generator), torch.randn(6, 3, 5, generator=generator)
    text = text * torch.linspace(1, 30, 6)[:, None, None]  # lengths that a raw mean would follow
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    mean = F.normalize(F.normalize(text, dim=-1).mean(dim=0), dim=-1)
    trajectory = Trajectory(("a", "b", "c"))
    trajectory.add(0, image, labels, text)
    torch.testing.assert_close(trajectory.tensors()["trajectory.text"][0], mean)
    found, wanted = (
        quick_measures(image, labels, rows, torch.tensor(10.0))["delta_lcd"]
        for rows in (text, mean)
    )
    assert found == pytest.approx(wanted, rel=1e-5)
