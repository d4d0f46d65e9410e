"""The table of methods says what the code does."""

import re

import pytest

from ncscope.checkpoint.bare import NOT_LEARNERS
from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.key_table import TABLE
from ncscope.checkpoint.methods import METHODS, ROWS, TUNED_HERE, plain_method
from ncscope.clip.prompts import ZeroShot
from ncscope.errors import CheckpointError
from ncscope.tuning.trainee import PUBLISHED
from ncscope.zoo.learners import LEARNERS, REFUSED, methods_table, recognised_by
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states as states
from tests.new_states import dpc_promptkd, tap_vision
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS

PLAIN = ("written prompt of the data set",)
NO_LOG = ("Tip-Adapter", "Tip-Adapter-F", "CLIP-LoRA", "PEFT-LoRA")  # runs without a log.txt


def test_the_table_has_a_row_for_every_learner_and_no_other():
    assert [method.name for method in METHODS] == list(dict.fromkeys(m.name for m in METHODS))
    assert {method.name for method in METHODS} == LEARNERS.keys()


def test_every_method_that_is_told_apart_is_loaded_or_refused_with_a_reason():
    told = {plain_method(name) for row in TABLE for name in row.methods}
    rows = {row.name for row in ROWS}
    assert told <= rows | NOT_LEARNERS.keys()
    assert LEARNERS.keys() | REFUSED.keys() <= rows
    assert all(REFUSED.values())


def test_every_learner_and_every_refusal_is_in_the_markdown():
    text = methods_table()
    for name in (*LEARNERS, *REFUSED):
        assert text.count(f"| {name} |") + text.count(f"- {name} (") == 1, name
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    column = rows[0].index("tuned here")
    assert {row[0] for row in rows[1:] if row[column] == "yes"} == TUNED_HERE
    assert set(PUBLISHED.values()) == TUNED_HERE


def family(method):
    return "DePT" if method.startswith("DePT") else plain_method(method)


def direction(rows):
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.fixture
def open_run(tmp_path, backbone, deep_backbone):
    """A run of a method, the small CLIP it is of, and its learner."""

    def open_run(method):
        clip = deep_backbone if "TCP" in method else backbone
        run = RUNS[method](tmp_path / "run")
        data = "OxfordPets" if method in NO_LOG else None
        options = LearnerOptions(classnames=case.NAMES, data_name=data)
        return run, clip, load_learner(run, backbone=clip, options=options)

    return open_run


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_row_says_how_a_method_is_recognised_and_what_its_features_are(method, open_run):
    run, clip, learner = open_run(method.name)
    seen = inspect(run)
    assert seen.method is not None
    assert family(seen.method) == method.name
    alone = {family(name) for name in seen.recognition.candidates} == {method.name}
    assert recognised_by(method.name) == ("keys" if alone else "keys and log")

    own, image = clip.encode_image(case.pixels()), learner.image_features(case.pixels())
    same = image.shape == own.shape and case.relative(image, own) < 1e-6
    assert same == (method.image in ("CLIP's", "its base method's"))

    if learner.has_text:
        template = "a photo of a {}, a type of pet."
        plain = direction(ZeroShot(clip, (template,)).text_features(case.NAMES))
        text = direction(learner.text_features(case.NAMES))
        same = text.shape == plain.shape and case.relative(text, plain) < 1e-5
        assert same == (method.text in PLAIN)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_row_says_whether_new_classes_work(method, open_run):
    _, clip, learner = open_run(method.name)
    if not learner.has_text and not method.new_classes.startswith("yes"):
        with pytest.raises(CheckpointError, match="text features are sums with those of written"):
            learner.text_features(case.NEW)
    elif not method.new_classes.startswith("yes"):
        with pytest.raises(CheckpointError, match="no text features for 'sea otter', 'bus'"):
            learner.text_features(case.NEW)
    elif learner.has_text:
        assert learner.text_features(case.NEW).shape == (2, clip.width)
    else:
        assert "--teacher" in method.text


REFUSALS = {
    "TAP": lambda folder: case.save(
        folder, tap_vision(case.SIZES), trainer="TAP", model="vision_prompt_learner"
    ),
    "DPC-PromptSRC": lambda folder: case.save(
        folder, case.whole(states.promptsrc(case.SIZES)), trainer="StackSPLE_PromptSRC"
    ),
    "DPC-PromptKD": lambda folder: case.save(
        folder, dpc_promptkd(case.SIZES), trainer="StackSPLE_PromptKD"
    ),
}


@pytest.mark.parametrize("method", REFUSALS)
def test_a_refusal_says_why(method, tmp_path, backbone):
    REFUSALS[method](tmp_path / "run")
    message = f"{method} is recognised but gives no features: {REFUSED[method][:40]}"
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_learner(tmp_path / "run", backbone=backbone)


def test_every_refusal_is_tested_where_its_files_are_known():
    assert REFUSED.keys() == REFUSALS.keys()
