"""Every case: features are those of the plain pass to 1e-5; and the table of cases in the docs."""

import os
from pathlib import Path

import pytest

from ncscope.checkpoint.methods import METHODS, plain_method
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.parity import (
    adapters,
    attributes,
    classes,
    context,
    deep,
    mixed,
    several,
    tokens,
    weights,
)
from tests.parity.kit import VARIATIONS, Case
from tests.zoo.learners import case

MODULES = (adapters, attributes, classes, context, deep, mixed, several, tokens, weights)
CASES: list[Case] = [each for module in MODULES for each in module.CASES]
TABLE = Path(__file__).parents[2] / "docs" / "parity.md"
START, END = "<!-- the table is made by tests/parity -->", "<!-- end of the table -->"


@pytest.mark.parametrize("each", CASES, ids=lambda each: each.label)
def test_features_are_those_of_the_plain_pass(each, tmp_path, towers):
    wanted = each.make(tmp_path)
    clip = towers(wanted.backbone)
    learner = load_learner(wanted.run, backbone=clip, options=LearnerOptions(**wanted.options))
    assert learner.description["method"].startswith(each.method)
    for names in (case.NAMES, case.NEW) if each.new else (case.NAMES,):
        if wanted.text is not None:
            rows = text_of(learner, names, wanted.feature)
            assert case.relative(rows, wanted.text(names)) < 1e-5
    if wanted.image is not None:
        assert case.relative(learner.image_features(case.pixels()), wanted.image) < 1e-5


def text_of(learner, names, feature):
    if feature is None:
        return learner.text_features(names)
    return learner.by_feature(list(names), feature[None])[0]


def table() -> str:
    """Methods by variations; in a cell, how many cases there are."""
    lines = [f"| method | {' | '.join(VARIATIONS)} |", f"|---|{'---|' * len(VARIATIONS)}"]
    for method in sorted({each.method for each in CASES}, key=str.casefold):
        own = [each for each in CASES if each.method == method]
        counts = {name: sum(each.variation == name for each in own) for name in VARIATIONS}
        counts["base to new"] = sum(each.new for each in own)
        cells = [str(counts[name] or "–") for name in VARIATIONS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_table_in_the_docs_is_that_of_the_cases():
    """`UPDATE_PARITY=1 pytest tests/parity` writes it."""
    text = TABLE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    made = f"{before}{START}\n\n{table()}\n\n{END}{after}"
    if os.environ.get("UPDATE_PARITY"):
        TABLE.write_text(made, encoding="utf-8")
    assert text == made or os.environ.get("UPDATE_PARITY"), (
        "run UPDATE_PARITY=1 pytest tests/parity"
    )


def test_every_case_is_of_a_known_variation_and_stands_once():
    assert {each.variation for each in CASES} <= set(VARIATIONS)
    labels = [each.label for each in CASES]
    assert len(labels) == len(set(labels))


def test_every_method_that_gives_features_has_a_case():
    named = {"DePT" if e.method.startswith("DePT") else plain_method(e.method) for e in CASES}
    assert named == {row.name for row in METHODS}
