"""Our inference transform against open_clip's, value for value."""

import pickle
from typing import Any

import numpy as np
import open_clip.transform
import pytest
import torch
from PIL import Image

from ncscope.clip.pixels import CLIPS_OWN, InferenceTransform, inference_transform, merged


def theirs(settings) -> Any:
    cfg = open_clip.transform.PreprocessCfg(**settings)
    return open_clip.transform.image_transform_v2(cfg, is_train=False)


def picture(width, height, mode="RGB"):
    values = np.random.default_rng(width + height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("chosen", ["bicubic", "bilinear", "random"])
@pytest.mark.parametrize("size", [(32, 32), (31, 50), (50, 31), (7, 90), (16, 20), (301, 200)])
def test_pixels_are_open_clips_to_the_last_bit(size, chosen, mode):
    settings = {**CLIPS_OWN, "size": [31, 31], "interpolation": chosen, "resize_mode": mode}
    ours = inference_transform(settings)
    assert isinstance(ours, InferenceTransform)
    for kind in ("RGB", "L", "P", "RGBA"):
        image = picture(size[0], size[1], kind)
        assert torch.equal(ours(image), theirs(settings)(image))
    assert torch.equal(pickle.loads(pickle.dumps(ours))(image), ours(image))


def test_a_transform_of_other_settings_is_open_clips_own():
    for change in ({"resize_mode": "longest"}, {"size": [20, 30]}):
        settings = {**CLIPS_OWN, "size": 24, **change}
        ours = inference_transform(settings)
        assert not isinstance(ours, InferenceTransform)
        assert torch.equal(ours(picture(40, 60)), theirs(settings)(picture(40, 60)))
    for wrong in ({"mode": "L"}, {"interpolation": "nearest"}, {"mean": [0.5, 0.5]}):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever open_clip raises
            inference_transform({**CLIPS_OWN, **wrong})(picture(40, 60))


def test_settings_are_clips_own_but_for_what_is_said():
    said = {"mean": [0.5, 0.5, 0.5], "interpolation": None, "url": "https://example.org"}
    default = open_clip.transform.PreprocessCfg()
    assert merged(said) == open_clip.transform.merge_preprocess_dict(default, said)
