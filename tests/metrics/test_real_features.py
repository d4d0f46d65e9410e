"""The tables measured on features of a real CLIP ViT-B/16, read from beside the repository."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ncscope.metrics import (
    cross_etf_distance,
    delta_lcd,
    delta_mid,
    etf_distance,
    etf_distance_floor,
    modality_gap,
    pairwise_cosines,
    self_duality,
)
from ncscope.metrics.rows import off_diagonal
from tests.shapes import random_rotation

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "clip_features"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no real features beside this checkout")

# Columns of the tables, raw and centred.
MEASURES = {
    "etf text raw": lambda g, _: etf_distance(g),
    "etf text cen": lambda g, _: etf_distance(g, centred=True),
    "lcd raw": lambda g, _: delta_lcd(g),
    "lcd cen": lambda g, _: delta_lcd(g, centred=True),
    "etf cross raw": lambda g, h: cross_etf_distance(image_means=h, text=g),
    "cross image": lambda g, h: cross_etf_distance(image_means=h, text=g, center="image"),
    "cross cen": lambda g, h: cross_etf_distance(image_means=h, text=g, center="both"),
    "self_duality raw": lambda g, h: self_duality(h, g),
    "self_duality cen": lambda g, h: self_duality(h, g, centred=True),
    "mid raw": lambda g, h: delta_mid(h, g),
    "mid cen": lambda g, h: delta_mid(h, g, centred=True),
    "cka cen": lambda g, h: delta_mid(h, g, form="cka", centred=True),
}


def pairs(name="coco500_pairs", *, count=500):
    """Text and image features of `count` pairs, each pair taken as a class."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        sides = [torch.from_numpy(stored[side]).double() for side in ("text", "image")]
    kept = torch.randperm(500, generator=torch.Generator().manual_seed(0))[:count]
    text, image = (side[kept] / side[kept].norm(dim=1, keepdim=True) for side in sides)
    return text, image


def measure(text, image):
    return {name: f(text, image).item() for name, f in MEASURES.items()}


def test_five_hundred_pairs_have_the_values_of_the_table():
    stated = {
        "etf text raw": 1.385, "etf text cen": 1.192, "lcd raw": 0.517, "lcd cen": 0.116,
        "etf cross raw": 1.386, "cross image": 1.304, "cross cen": 1.297,
        "self_duality raw": 1.175, "mid raw": 0.690, "mid cen": 0.685, "cka cen": 0.853,
    }  # fmt: skip
    found = measure(*pairs())
    assert {name: found[name] for name in stated} == pytest.approx(stated, abs=6e-4)
    text, image = pairs()
    assert off_diagonal(pairwise_cosines(text)).mean().item() == pytest.approx(0.515, abs=6e-4)
    assert off_diagonal(pairwise_cosines(image)).mean().item() == pytest.approx(0.531, abs=6e-4)
    assert modality_gap(image, text).item() == pytest.approx(0.85, abs=6e-3)


def test_float32_gives_the_same_table():
    text, image = pairs()
    found = measure(text.float(), image.float())
    assert found == pytest.approx(measure(text, image), rel=2e-5)


@pytest.mark.parametrize(
    ("count", "raw", "centred"),
    [(5, 1.186, 0.302), (10, 1.236, 0.425), (50, 1.322, 0.793), (100, 1.348, 0.935)],
)
def test_frobenius_forms_grow_with_the_number_of_classes(count, raw, centred):
    text, _ = pairs()
    subsets = [
        text[torch.randperm(500, generator=torch.Generator().manual_seed(seed))[:count]]
        for seed in range(20)
    ]
    found = [np.mean([etf_distance(g, centred=c).item() for g in subsets]) for c in (False, True)]
    assert found == pytest.approx([raw, centred], abs=0.02)
    degree = np.mean([delta_lcd(g, centred=True).item() for g in subsets])
    assert degree == pytest.approx(0.116, abs=0.006)


def test_changes_of_one_subset_behave_as_in_the_table():
    text, image = pairs(count=50)
    before = measure(text, image)
    assert before["etf text cen"] == pytest.approx(0.824, abs=0.06)
    gap = image.mean(dim=0) - text.mean(dim=0)
    changed = {
        "rotate text": measure(text @ random_rotation(512), image),
        "shift text": measure(text + 0.5 * gap / gap.norm(), image),
        "close gap": measure(text + gap, image),
        "shuffle": measure(text, image.roll(1, 0)),
    }

    def same(change):
        return {
            name
            for name, value in changed[change].items()
            if value == pytest.approx(before[name], rel=1e-9)
        }

    of_text = {"etf text raw", "etf text cen", "lcd raw", "lcd cen"}
    centred = {name for name in MEASURES if name.endswith("cen")}
    assert same("rotate text") == of_text | {"cka cen"}
    assert same("shift text") == same("close gap") == centred
    assert same("shuffle") == of_text
    close, rotated, shuffled = (changed[n] for n in ("close gap", "rotate text", "shuffle"))
    assert close["etf cross raw"] > before["etf cross raw"] + 0.02  # worse: the trap
    assert close["self_duality raw"] < before["self_duality raw"] - 0.3
    assert close["mid raw"] < before["mid raw"] - 0.3
    for worse in (rotated, shuffled):
        for name in ("etf cross raw", "cross cen", "self_duality cen", "mid raw", "mid cen"):
            assert worse[name] > before[name] + 0.05
    assert shuffled["cka cen"] == pytest.approx(1.075, abs=0.1)


def test_imagenet_text_stays_above_the_floor():
    with np.load(FOLDER / "text_vitb16.npz", allow_pickle=False) as stored:
        text = torch.from_numpy(stored["ImageNet"])
    floor = etf_distance_floor(*text.shape)
    assert floor == pytest.approx(0.754, abs=5e-4)
    assert floor < etf_distance(text, centred=True).item() < etf_distance(text).item()
    assert 1.2 < etf_distance(text).item() < 2**0.5
