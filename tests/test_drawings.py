"""The drawings of docs/measures.md have the numbers that ncscope gives for what they draw."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
_spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
assert _spec is not None
assert _spec.loader is not None
pictures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pictures)


NUMBER = re.compile(r"\d+\.\d+")


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_a_drawing_is_as_its_script_makes_it_and_is_shown(name):
    kept = (DOCS / "img" / f"measure-{name}.svg").read_text(encoding="utf-8")
    made = pictures.picture(name)
    assert NUMBER.sub("", kept) == NUMBER.sub("", made)
    ours, theirs = ([float(x) for x in NUMBER.findall(text)] for text in (kept, made))
    assert ours == pytest.approx(theirs, abs=0.11)  # places of a tenth, on any processor
    assert f"img/measure-{name}.svg" in (DOCS / "measures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_the_numbers_below_a_drawing_are_those_of_now(name):
    kept = (DOCS / "img" / f"measure-{name}.svg").read_text(encoding="utf-8")
    ours, theirs = (
        [float(x) for x in re.findall(r" (\d\.\d{3})</text>", text)]
        for text in (kept, pictures.picture(name))
    )
    assert len(ours) >= 6
    assert ours == pytest.approx(theirs, abs=0.0011)
