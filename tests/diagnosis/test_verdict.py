"""The sentences of a page: right numbers, and only those there are numbers for."""

import pytest

from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.verdict import comparison, verdict
from ncscope.text import page_title, run_names
from tests.made_features import collapsed, noisy


def record_of(source=None, data=None):
    return {"source": source, "data": data}


def summary_of(**values):
    paths = {"accuracy": {"top1": None}, "delta_lcd": {"centred": None}, "nc1": None}
    return {"summary": {**paths, "delta_mid": {"centred": None}, **values}}


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


def test_the_best_run_is_named_with_the_range_of_the_others():
    records = [summary_of(accuracy={"top1": v}, nc1=n) for v, n in ((0.5, 3), (0.75, 1), (0.6, 2))]
    assert comparison(records, ["a", "b", "c"]) == [
        "Highest accuracy: b with 75.0\u202f%, against 50.0\u202f% to 60.0\u202f%.",
        "Lowest NC1: b with 1, against 2 to 3.",
    ]


def test_runs_that_read_alike_are_not_ranked():
    records = [summary_of(delta_lcd={"centred": v}) for v in (0.10001, 0.10002, 0.2)]
    assert comparison(records[:2], ["a", "b"]) == ["Centred Δ LCD: 0.100 for all."]
    assert comparison(records, ["a", "b", "c"]) == [
        "Lowest centred Δ LCD: a, b with 0.100, against 0.200."
    ]


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
