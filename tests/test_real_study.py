"""docs/real-study.md, three of its numbers again by plain numpy, where the data are at hand."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT / "benchmarks"))
PAGE = (ROOT / "docs/real-study.md").read_text(encoding="utf-8").replace("−", "-")

pytestmark = pytest.mark.skipif(not (DATA / "clip_b32").is_dir(), reason="no shared/data")


def cell(row: str, column: int) -> float:
    """The number in the first table row of the page that begins with `row`."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {row} |"))
    found = re.search(r"[-+]?\d+\.\d+", line.split("|")[column + 1])
    assert found is not None
    return float(found[0])


def unit(rows: np.ndarray) -> np.ndarray:
    return rows.astype(float) / np.sqrt((rows.astype(float) ** 2).sum(1))[:, None]


def rho(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, ties at their mean rank, from the definition."""
    ranks = [
        (column[:, None] > column).sum(1) + ((column[:, None] == column).sum(1) - 1) / 2
        for column in (first, second)
    ]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def test_nearest_text_cosine_between_data_sets():
    from real_observe import PUBLISHED

    texts = np.load(DATA / "clip_features/text_vitb16.npz")
    nearest = []
    for name in PUBLISHED:
        cosines = unit(texts[name]) @ unit(texts[name]).T
        np.fill_diagonal(cosines, -1)
        nearest.append(cosines.max(1).mean())
    value = rho(np.array(nearest), np.array(list(PUBLISHED.values())))
    assert value == pytest.approx(cell("nearest text cosine, raw", 1), abs=0.005)


def test_margin_of_a_class_and_its_accuracy_on_other_images():
    images, texts = (np.load(DATA / f"clip_b32/imagenet_{name}.npz") for name in ("7shot", "text"))
    text, image, label = unit(texts["text"]), unit(images["image"]), images["label"]
    four = images["drawn_in"] == 4
    mean = unit(np.stack([image[four & (label == k)].mean(0) for k in range(1000)]))
    cosines = mean @ text.T
    own = cosines.diagonal().copy()
    np.fill_diagonal(cosines, -1)
    right = (image @ text.T).argmax(1) == label
    accuracy = np.array([right[~four & (label == k)].mean() for k in range(1000)])
    expected = cell("its margin over the nearest other text", 1)
    assert rho(own - cosines.max(1), accuracy) == pytest.approx(expected, abs=0.005)


def test_accuracy_of_related_tasks_on_the_images_that_judge():
    from real_tasks import task_classes

    images, texts = (np.load(DATA / f"clip_b32/imagenet_{name}.npz") for name in ("7shot", "text"))
    tasks = task_classes(unit(texts["text_other"]))["related"]
    assert sorted(tasks.ravel()) == list(range(1000))
    scores = []
    for classes in tasks:
        rows = np.isin(images["label"], classes) & (images["drawn_in"] != 4)
        cosines = unit(images["image"][rows]) @ unit(texts["text"][classes]).T
        scores.append((classes[cosines.argmax(1)] == images["label"][rows]).mean())
    stated = re.search(r"related: 20 tasks, accuracy (\d+\.\d)", PAGE)
    assert stated is not None
    assert 100 * np.mean(scores) == pytest.approx(float(stated[1]), abs=0.06)
