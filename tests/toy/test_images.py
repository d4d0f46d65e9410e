import pickle

import numpy as np
import pytest

from ncscope.data.classes import select_classes
from ncscope.errors import DataError
from ncscope.toy.images import PER_CLASS, toy_images
from ncscope.toy.tasks import TASKS
from ncscope.toy.world import SPACES


def pixels(images, index):
    return np.asarray(images.load(index))


def test_a_task_is_an_image_set_in_class_order():
    images = toy_images("toy:textures", per_class=3)
    assert images.name == "toy:textures"
    assert images.classnames == TASKS["textures"].classnames
    assert images.labels == tuple(np.repeat(np.arange(12), 3).tolist())
    assert images.items[4] == f"{images.classnames[1]}/0001"
    assert pixels(images, 4).shape == (40, 40, 3)
    assert len(set(images.items)) == len(images)


def test_the_same_seed_gives_the_same_images_and_another_gives_others():
    first, again, other = (toy_images("fish", per_class=2, seed=s) for s in (0, 0, 1))
    assert first.digest == again.digest != other.digest
    assert not np.array_equal(pixels(first, 0), pixels(other, 0))


def test_more_shots_begin_with_the_fewer():
    few, many = (toy_images("colours", part="train", shots=n, seed=3) for n in (2, 5))
    for k in range(len(few.classnames)):
        for j in range(2):
            difference = pixels(few, 2 * k + j).astype(int) - pixels(many, 5 * k + j)
            assert abs(difference).max() <= 1


def test_no_two_parts_or_spaces_share_an_image():
    digests = {
        pixels(toy_images("scenes", per_class=1, part=part, space=space), 0).tobytes()
        for part in PER_CLASS
        for space in SPACES
    }
    assert len(digests) == len(PER_CLASS) * len(SPACES)


def test_domains_show_the_same_scenes_in_another_style():
    photo, cartoon = toy_images("places", per_class=2), toy_images("places@cartoon", per_class=2)
    assert cartoon.name == "toy:places@cartoon"
    assert toy_images("places", domain="cartoon", per_class=2).digest == cartoon.digest
    assert photo.labels == cartoon.labels
    assert photo.digest != cartoon.digest


@pytest.mark.parametrize("tau", [None, 1.0])
def test_without_a_tail_every_class_gets_as_many(tau):
    images = toy_images("textures", part="train", shots=3, tau=tau)
    assert np.bincount(images.labels).tolist() == [3] * 12


def test_a_long_tailed_set_holds_as_many_as_its_profile_says():
    images = toy_images("shapes", part="train", shots=8, tau=0.1)
    counts = np.bincount(images.labels)
    assert counts.tolist() == [max(int(8 * 0.1 ** (k / 25)), 1) for k in range(26)]
    assert counts[0] == 8
    assert counts[-1] == 1


def test_base_and_new_classes_can_be_taken():
    images = toy_images("counts", per_class=1)
    base, new = (select_classes(images, split) for split in ("base", "new"))
    assert base.classnames + new.classnames == images.classnames
    assert np.array_equal(pixels(new, 0), pixels(images, 12))


def test_images_can_be_sent_to_worker_processes():
    images = toy_images("textures", per_class=1)
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(images.load))(3)), pixels(images, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domain": "oil"}, "`domain` is 'oil'.*photo, cartoon, sketch, night"),
        ({"part": "all"}, "`part` is 'all'; expected one of train, val, test"),
        ({"per_class": 0}, "0 images for each of 26 classes"),
        ({"tau": 0.0}, "`tau` is 0.0; expected 0 < tau <= 1"),
        ({"space": "mine"}, "unknown seed space `mine`"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        toy_images("shapes", **settings)


def test_two_different_domains_are_refused():
    with pytest.raises(DataError, match="`domain` is 'night' for 'shapes@sketch'"):
        toy_images("shapes@sketch", domain="night")
