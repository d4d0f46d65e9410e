import pytest
from PIL import Image

from ncscope.features.extract import extract


@pytest.fixture
def pictures(tmp_path):
    for name in ("axolotl/1.png", "star/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (40, 40), (200, 80, 0)).save(tmp_path / name)
    return tmp_path


def test_names_that_say_nothing_to_the_toy_are_a_warning_on_the_features(pictures):
    features = extract("zero-shot", data=pictures, backbone="toy", cache="off", workers=0)
    warnings = [warning for warning in features.warnings if "axolotl" in warning]
    assert len(warnings) == 1
    assert "knows no word of 1 of 2 class names (axolotl)" in warnings[0]


def test_the_toys_own_names_are_no_warning():
    features = extract("zero-shot", data="toy:textures", cache="off", workers=0)
    assert not any("knows no word" in warning for warning in features.warnings)
