import pickle

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ncscope.data.classes import select_classes
from ncscope.errors import DataError
from ncscope.toy.images import PER_CLASS, Camera, _hue_rotation, camera_of, toy_images
from ncscope.toy.paint import PIXELS
from ncscope.toy.tasks import TASKS
from ncscope.toy.world import JITTER, SPACES, draw_scenes, stream


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


def quiet_scenes(count):
    """Scenes without the random square."""
    drawn = draw_scenes(stream("tuning", "camera"), count)
    drawn.jitter[:, JITTER.index("square")] = 0.9
    return drawn


def test_the_hue_rotation_keeps_greys_and_is_a_rotation():
    turn = _hue_rotation(0.7)
    assert_close(torch.full((3,), 0.4) @ turn, torch.full((3,), 0.4))
    assert_close(turn @ turn.T, torch.eye(3))
    assert_close(torch.linalg.det(turn), torch.tensor(1.0))


def test_a_third_of_a_turn_permutes_the_primaries():
    third = _hue_rotation(2 * torch.pi / 3)
    assert sorted((torch.eye(3) @ third).argmax(dim=1).tolist()) == [0, 1, 2]
    assert_close((torch.eye(3) @ third).amax(dim=1), torch.ones(3))


@pytest.mark.parametrize("task", TASKS)
def test_a_camera_of_strength_nought_leaves_only_noise(task):
    pictures = torch.rand(4, PIXELS, PIXELS, 3, generator=torch.Generator().manual_seed(0))
    seen = camera_of(task, 0.0)(pictures.clone(), quiet_scenes(4))
    difference = seen - pictures
    assert difference.abs().mean() < 0.05
    assert_close(difference.mean(), torch.tensor(0.0), atol=2e-3, rtol=0)


def test_the_shift_is_the_same_for_all_pictures_of_a_task_but_differs_between_tasks():
    grey = torch.full((40, PIXELS, PIXELS, 3), 0.5)
    means = {
        task: camera_of(task, 1.0)(grey.clone(), quiet_scenes(40)).mean(dim=(1, 2))
        for task in TASKS
    }
    for rows in means.values():
        assert rows.std(dim=0).max() < 0.01
    centres = torch.stack([rows.mean(dim=0) for rows in means.values()])
    assert torch.pdist(centres).min() > 0.003


def test_strength_moves_pictures_further():
    pictures = torch.rand(8, PIXELS, PIXELS, 3, generator=torch.Generator().manual_seed(0))
    scenes = quiet_scenes(8)
    moved = [
        (camera_of("shapes", s)(pictures.clone(), scenes) - pictures).abs().mean().item()
        for s in (0.0, 0.5, 1.0, 1.5)
    ]
    assert moved == sorted(moved)


def test_blur_is_the_mean_of_nine():
    camera = Camera(torch.eye(3), torch.zeros(3), "none", depth=0.0, blur=1.0)
    picture = torch.zeros(1, PIXELS, PIXELS, 3)
    picture[0, 20, 20] = 9.0
    scenes = quiet_scenes(1)
    scenes.jitter[:, JITTER.index("noise_level")] = -2 / 3  # noise of deviation 0
    seen = camera(picture, scenes)
    assert_close(seen[0, 19:22, 19:22], torch.ones(3, 3, 3))
    assert_close(seen.sum(), torch.tensor(27.0))


def test_a_square_covers_one_picture_in_five():
    scenes = draw_scenes(stream("tuning", "square"), 500)
    camera = Camera(torch.eye(3), torch.zeros(3), "none", depth=0.0, blur=0.0)
    seen = camera(torch.full((500, PIXELS, PIXELS, 3), 5.0), scenes)
    assert (seen < 3).flatten(1).any(dim=1).float().mean().item() == pytest.approx(0.2, abs=0.06)
