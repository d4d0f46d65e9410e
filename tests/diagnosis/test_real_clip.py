"""The measures of real CLIP features are those that docs/real-clip.md quotes."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ncscope.diagnosis.measure import measure
from ncscope.features.bundle import Features, as_pairs, read_features
from ncscope.page.report import Report

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "clip_features"
PAGE = ROOT / "docs" / "real-clip.md"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="no real CLIP features at hand")


def quoted(first: str) -> list[list[str]]:
    """Label and values of each line of the quoted table that begins with the file `first`."""
    lines = PAGE.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(first))
    table = lines[start + 1 : lines.index("```", start)]
    return [re.split(r"\s{2,}", line) for line in table]


def printed(report: Report) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in report.table().splitlines()[1:]]


def test_imagenet_text_measures_as_quoted():
    with np.load(DATA / "text_vitb16.npz") as stored:
        rows = torch.from_numpy(stored["ImageNet"])
    names = tuple(f"class {k}" for k in range(1000))
    run = measure(Features(image=None, label=None, text=rows, classnames=names), bootstrap=0)
    assert printed(Report((run,))) == quoted("imagenet_text.npz")
    assert run.record["bounds"]["etf_distance"]["text"]["floor"] == pytest.approx(0.7538, abs=1e-4)
    assert any("class 657 and class 744; class 836 and" in w for w in run.record["warnings"])


def test_coco_pairs_measure_as_quoted():
    files = ("coco500_pairs.npz", "coco500_pairs_random.npz")
    runs = (measure(as_pairs(read_features(DATA / name)), bootstrap=0) for name in files)
    assert printed(Report(tuple(runs))) == quoted("coco500_pairs.npz")
