"""The strip of headline numbers among landmarks, and the table of runs."""

# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false
# pyright: reportOperatorIssue=false

import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from ncscope.diagnosis.against import with_reference
from ncscope.diagnosis.landmarks import MEANING, REAL, landmarks
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.summary import SUMMARY
from ncscope.metrics.geometry import delta_lcd
from ncscope.page.against import runs_table
from ncscope.page.place import place_strip
from tests.made_features import noisy
from tests.shapes import unit_rows


def record(**options):
    return measure(noisy(**options), bootstrap=0).record


def test_every_landmark_is_of_a_headline_measure():
    for values in REAL.values():
        assert set(values) <= set(MEANING) <= set(SUMMARY)


@pytest.mark.parametrize("centred", [False, True])
def test_random_directions_lie_where_their_landmark_is(centred):
    rows = unit_rows(300, 128)
    form = "centred" if centred else "raw"
    told = landmarks(f"delta_lcd.{form}", {"classes": 300, "dim": 128})["random"]
    assert float(delta_lcd(rows, centred=centred)) == pytest.approx(told, rel=0.05)


def test_one_vector_lies_where_its_landmark_is():
    told = landmarks("delta_lcd.raw", {"classes": 7, "dim": 9})["one vector"]
    rows = unit_rows(1, 9).expand(7, -1)
    assert float(delta_lcd(rows)) == pytest.approx(told) == 7 / 6


def test_dots_lie_between_the_landmarks_that_their_values_lie_between():
    run = record()
    source = place_strip([run], ["one"])
    strip = next(
        part for part in source.split('class="place"') if "Δ MID" in part and "raw" in part
    )
    value = run["summary"]["delta_mid"]["raw"]
    marks = {0.0: 0.0, **{v: v for v in landmarks("delta_mid.raw", run).values()}}
    ticks = sorted(float(p) for p in re.findall(r'class="tick" style="left:([\d.]+)%', strip))
    dot = float(re.search(r'class="dot" style="left:([\d.]+)%', strip)[1])
    assert len(ticks) == len(marks)
    assert sum(tick < dot for tick in ticks) == sum(mark < value for mark in marks)


def test_labels_of_a_strip_never_lie_on_one_another():
    source = place_strip([record()], ["one"])
    for strip in source.split('class="place"')[1:]:
        for level in "01":
            labels = re.findall(rf'label l{level}" style="left:([\d.]+)%">([^<]*)<', strip)
            spans = sorted((float(at), 0.72 * len(words) / 2) for at, words in labels)
            for (a, half), (b, other) in pairwise(spans):
                assert a + half < b - other + 1e-6


def test_where_texts_are_one_vector_the_raw_value_comes_first():
    features = noisy()
    same = replace(features, text=features.text[:1] + 1e-4 * features.text)
    for one, first in ((features, "accuracy"), (same, "Δ LCD")):
        source = place_strip([measure(one, bootstrap=0).record], ["one"])
        assert first.lower() in source.split("<h3>")[1].lower()


def test_the_runs_table_has_a_row_a_run_and_differences_only_beside_a_reference():
    runs = [measure(noisy(seed=seed), bootstrap=60) for seed in (0, 1)]
    records = [run.record for run in runs]
    assert "step" not in runs_table(records, ["a", "b"])
    records = [run.record for run in with_reference(runs, ["a", "b"], measure)]
    source = runs_table(records, ["a", "b"])
    first, second = source.split("<tr>")[2:]
    assert 'class="step"' not in first
    assert second.count('class="step"') >= 8
    shown = records[1]["against"]["values"]["modality_gap"]["difference"]
    assert f"{shown:+.3f}".replace("-", "−") in second


def test_nothing_is_said_of_a_run_alone():
    assert runs_table([record()], ["a"]) == ""


def test_a_landmark_is_finite_for_the_smallest_run():
    for path in MEANING:
        assert all(map(math.isfinite, landmarks(path, {"classes": 2, "dim": 1}).values()))
