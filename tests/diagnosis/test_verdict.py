"""The sentences of a page: right numbers, and only those there are numbers for."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalOperand=false, reportOperatorIssue=false, reportOptionalSubscript=false

import dataclasses

import pytest

from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.verdict import alarm, comparison, overview, verdict
from ncscope.text import page_title, run_names
from tests.made_features import collapsed, noisy


def record_of(source=None, data=None):
    return {"source": source, "data": data}


def test_a_collapsed_run_reads_as_one():
    words = " ".join(verdict(measure(collapsed(5, 8), bootstrap=0).record))
    assert "classifies 100\u202f% of the images correctly (chance is 20.0\u202f%)" in words
    assert "a cosine of −0.25 on average, where a simplex has −0.25: Δ LCD is" in words
    assert "agrees with the text on 100\u202f%" in words


def test_a_sentence_without_numbers_is_left_out():
    run = measure(noisy(5), bootstrap=0)
    summary = {**run.record["summary"], "accuracy": {"top1": None, "ece": None}}
    words = " ".join(verdict({**run.record, "summary": summary}))
    assert "classifies" not in words
    assert "Two text features" in words


def against(**values):
    """A record against a reference; a difference and its interval over images by path."""
    found = {
        path.replace("__", "."): {"difference": step, "images": ends, "classes": None}
        for path, (step, ends) in values.items()
    }
    of = {"reference": "zero-shot", "classes": 5, "paired": True, "values": found, "pays": None}
    return {**measure(noisy(5), bootstrap=0).record, "against": of}


def test_a_difference_is_named_only_where_its_interval_leaves_zero_out():
    record = against(
        accuracy__top1=(0.121, [0.103, 0.139]), delta_lcd__centred=(0.08, [0.05, 0.11]),
        delta_mid__centred=(-0.11, [-0.13, -0.09]), nc1=(0.2, [-0.1, 0.5]),
        modality_gap=(0.1, None),
    )  # fmt: skip
    assert comparison([record, measure(noisy(5), bootstrap=0).record], ["coop", "zero-shot"]) == [
        "coop against zero-shot: accuracy +12.1 points [+10.3, +13.9], better; centred Δ LCD "
        "+0.080 [+0.050, +0.110], worse; centred Δ MID −0.110 [−0.130, −0.090], better; no "
        "difference that these data can tell in Modality gap, NC1."
    ]


def test_a_text_side_of_one_vector_is_an_alarm_and_is_compared_raw():
    features = noisy(5)
    text = features.text[:1] + 1e-4 * features.text
    record = measure(dataclasses.replace(features, text=text), bootstrap=0).record
    words = alarm(record)
    assert words is not None
    assert words.startswith("The text side has collapsed to one vector: its 5 features")
    assert "Δ LCD raw is 1.250 of at most 1.250" in words
    assert verdict(record)[0] == words
    both = against(delta_lcd__raw=(0.5, [0.4, 0.6]), delta_lcd__centred=(-0.5, [-0.6, -0.4]))
    [said] = comparison([record | {"against": both["against"]}], ["flat"])
    assert "raw Δ LCD +0.500 [+0.400, +0.600], worse" in said
    assert "centred" not in said
    assert alarm(measure(features, bootstrap=0).record) is None


@pytest.mark.parametrize(
    ("records", "names"),
    [
        ([("zero-shot", "birds"), ("out/coop", "birds")], ["zero-shot", "coop"]),
        ([("out/coop/seed1", "b"), ("out/maple/seed1", "b")], ["coop", "maple"]),
        ([("coop", "toy:birds"), ("coop", "toy:cars")], ["coop on toy:birds", "coop on toy:cars"]),
        ([("coop", "b"), ("coop", "b")], ["coop (1)", "coop (2)"]),
        ([(None, None)], ["features"]),
        ([("C:\\runs\\a.npz", None), ("/runs/b.npz", None)], ["a.npz", "b.npz"]),
    ],
)
def test_runs_are_called_by_what_tells_them_apart(records, names):
    assert run_names([record_of(*one) for one in records]) == names


def test_names_are_different_and_short_whatever_the_paths_are():
    records = [record_of("x" * 90, "d"), record_of("x" * 90 + "y", "d"), record_of("", "")]
    names = run_names(records)
    assert all(0 < len(name) <= 40 for name in names)
    assert len(set(names)) == 3


def test_the_title_names_source_and_data():
    assert page_title([record_of("out/coop", "toy:birds")]) == "coop on toy:birds"
    assert page_title([record_of("a", "d"), record_of("b", "d")]) == "2 runs on d"
    assert page_title([record_of("a", "d"), record_of("b", "e")]) == "2 runs on 2 data sets"


def test_many_runs_are_told_in_four_sentences_that_name_only_what_is_decided():
    def run(step, span, pays=None):
        values = {"accuracy.top1": {"difference": step, "images": span, "classes": None}}
        return {"against": {"reference": "zero-shot", "values": values, "pays": pays}}

    records = [{}, run(0.05, [0.01, 0.09]), run(0.09, [-0.01, 0.2]),
               run(-0.1, [-0.2, -0.05], "most is paid by cat")]  # fmt: skip
    said = overview(records, ["zero", "a", "b", "c"])
    assert len(said) == 2
    assert said[0].startswith("Accuracy: 1 of 3 runs better than the reference, 1 worse, 1 that")
    assert "most in a: +5.0 points [+1.0, +9.0]." in said[0]
    assert said[1] == "In c most is paid by cat."
