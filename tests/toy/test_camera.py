import pytest
import torch
from torch.testing import assert_close

from ncscope.toy.images import Camera, _hue_rotation, camera_of
from ncscope.toy.paint import PIXELS
from ncscope.toy.tasks import TASKS
from ncscope.toy.world import JITTER, draw_scenes, stream


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
