import re
from pathlib import Path

import pytest
from PIL import Image

from ncscope.toy.model import provenance
from ncscope.toy.tasks import TASKS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def page():
    return (DOCS / "toy.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", TASKS)
def test_the_page_shows_the_recorded_evaluation_and_room(page, task):
    line = re.search(rf"^\| {task} \|(.*)\|$", page, re.MULTILINE)
    assert line is not None
    cells = [cell.strip() for cell in line[1].split("|")]
    found = provenance()["evaluation"]["tasks"][task]
    assert int(cells[0]) == found["classes"]
    assert cells[3] == f"{found['zero_shot']:.1f}"
    assert cells[4] == f"{found['base']:.1f} / {found['new']:.1f}"
    names = ("text_cosine", "gap", "delta_lcd", "delta_mid")
    assert cells[5:-1] == [f"{found[name]:.2f}" for name in names]
    tuned = provenance()["headroom"]["tau 1"]["tasks"][task]
    gains = (tuned[f"tuned_{part}"] - tuned[part] for part in ("base", "new"))
    assert cells[-1] == " / ".join(f"{gain:+.1f}" for gain in gains)


def test_the_page_says_that_the_geometry_is_installed_and_makes_no_claim(page):
    assert "installed" in page
    assert "nothing measured on it is a claim about CLIP" in page


def test_the_pictures_of_the_page_are_there_and_small(page):
    names = re.findall(r"\]\((img/[^)]+)\)", page)
    assert len(names) == 2
    for name in names:
        assert (DOCS / name).stat().st_size < 300_000
        with Image.open(DOCS / name) as picture:
            assert picture.width > 800
