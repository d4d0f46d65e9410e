"""The curves of moves are the accuracies of the record."""

# A figure's traces are of many kinds to their type.
# pyright: reportAttributeAccessIssue=false

import pytest

from ncscope import analyze
from ncscope.diagnosis.interventions import STEPS
from ncscope.diagnosis.moves import MOVES
from ncscope.errors import DataError
from ncscope.figures.figures import move_curves
from ncscope.page.page import page
from tests.made_features import noisy


@pytest.fixture(scope="module")
def report():
    return analyze(noisy(noise=1.2), intervene=True, bootstrap=0)


def test_each_move_is_a_curve_over_its_steps(report):
    figure = move_curves(report.records[0])
    assert [trace.name for trace in figure.data] == [move.title for move in MOVES.values()]
    for trace, name in zip(figure.data, MOVES, strict=True):
        rows = [row for row in report.records[0]["interventions"] if row["move"] == name]
        assert list(trace.x) == list(STEPS)
        assert list(trace.y) == pytest.approx([row["accuracy"] for row in rows], abs=1e-5)
        high = [row["change"]["high"] - row["change"]["value"] for row in rows]
        assert list(trace.error_y.array) == pytest.approx(high)


def test_a_run_that_was_not_moved_has_no_curves():
    with pytest.raises(DataError, match="measure it with --intervene"):
        move_curves(analyze(noisy(), bootstrap=0).records[0])


def test_the_page_shows_them_with_their_sentences_and_hides_the_section_without(report):
    shown = page(report.runs)
    assert '<section id="moves" >' in shown
    assert "Closing the modality gap (Modality gap" in shown
    assert 'data-figure="moves-0"' in shown
    assert '<section id="moves" hidden>' in page(analyze(noisy(), bootstrap=0).runs)


def test_a_report_shows_itself_in_one_line_and_in_a_notebook(report):
    assert repr(report) == "<Report: 1 run, noisy>"
    assert "\n" not in repr(report)
    assert report._repr_html_().startswith("<iframe srcdoc=")
