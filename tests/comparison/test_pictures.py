"""Gains over a baseline and the grid of two weights, as a comparison's page draws them."""

import re

import pytest
from scipy import stats

from ncscope.comparison.compare import compare
from ncscope.comparison.pictures import gains, gains_html, weights_html
from ncscope.comparison.rows import Point
from tests.run_files import tuned


def points(label, *values, data="d"):
    return [Point(label, data, 0.05, k, {"base": v}) for k, v in enumerate(values)]


def test_a_gain_is_the_mean_paired_difference_with_its_t_interval():
    own, other = (0.7, 0.72, 0.8), (0.6, 0.65, 0.65)
    [gain] = gains([*points("a", *other), *points("b", *own)], "a", ("base",))
    wanted = stats.ttest_rel(own, other).confidence_interval(0.95)
    assert (gain.label, gain.n) == ("b", 3)
    assert gain.mean == pytest.approx(0.32 / 3)
    assert (gain.low, gain.high) == pytest.approx((wanted.low, wanted.high))


def test_one_seed_has_no_interval_and_no_pair_no_bar():
    both = [*points("a", 0.6), *points("b", 0.7), *points("b", 0.9, data="elsewhere")]
    [gain] = gains(both, "a", ("base",))
    assert (gain.data, gain.low, gain.high) == ("d", None, None)


@pytest.fixture
def study(tmp_path):
    for seed in (1, 2):
        for k, data in enumerate(("toy:fish", "toy:shapes")):
            for lcd, mid in ((0.0, 0.0), (0.1, 0.0), (0.0, 1.0), (0.1, 1.0)):
                name = "coop+npt" if lcd or mid else "coop"
                height = 0.5 + 0.1 * k + lcd + 0.01 * mid + 0.001 * seed
                tuned(tmp_path / "runs", name, data, seed=seed, tau=0.05, base=height,
                      new=height - 0.1, lcd_weight=lcd, mid_weight=mid)  # fmt: skip
    return tmp_path


def test_the_page_has_a_bar_and_a_line_for_each_gain(study):
    comparison = compare(study / "runs", baseline="coop")
    page = gains_html(comparison.rows, comparison.baseline)
    assert page.count("<figure>") == 3  # rows beside the baseline
    assert page.count("<rect") == 3 * 2 * 2  # by data set, base and new
    assert "toy:fish, base: +11.00 points, n = 2, 95 % +11.00 to +11.00" in page
    assert page in comparison.save(study / "a.html").read_text()


def test_without_a_baseline_there_are_no_gains(study):
    comparison = compare(study / "runs")
    assert gains_html(comparison.rows, comparison.baseline) == ""


def test_the_grid_has_the_mean_of_each_pair_of_weights_and_marks_the_highest(study):
    page = weights_html(compare(study / "runs").rows)
    base = page.split("</figure>")[0]
    cells = re.findall(r"<td( class=.best.)?[^>]*>([\d.]+)</td>", base)
    assert [shown for _, shown in cells] == ["56.15", "66.15", "55.15", "65.15"]  # w2 = 1 on top
    assert [bool(best) for best, _ in cells] == [False, True, False, False]
    assert "coop, tau = 0.05: base, 2 data sets" in base
    assert page.count("<figure>") == 3


def test_runs_that_differ_in_another_setting_are_in_no_grid_of_the_others(study):
    for lcd in (0.0, 0.1):
        tuned(study / "runs", "coop+npt", "toy:fish", seed=1, tau=0.05, base=0.99, new=0.99,
              lcd_weight=lcd, mid_weight=5.0, mid_form="frobenius")  # fmt: skip
    page = weights_html(compare(study / "runs").rows)
    assert page.count("<figure>") == 3
    assert "coop (mid form push_pull), tau = 0.05: base" in page
    assert "99.00" not in page


def test_one_weight_alone_makes_no_grid(tmp_path):
    for lcd in (0.0, 0.1):
        tuned(tmp_path, "coop+npt", "toy:fish", base=0.5, new=0.5, lcd_weight=lcd, mid_weight=1.0)
    assert weights_html(compare(tmp_path).rows) == ""


def test_names_are_text_in_both(tmp_path):
    for name, lcd, mid in (("a<b>", 0.0, 0.0), ("a<b>", 0.1, 1.0), ("<i>", 0.0, 0.0)):
        tuned(tmp_path, name, "d<u>", base=0.5, new=0.6, lcd_weight=lcd, mid_weight=mid)
    rows = compare(tmp_path).rows
    page = gains_html(rows, rows[0].label) + weights_html(rows)
    assert "&lt;b&gt;" in page
    assert not re.search(r"<(b|u|i)>", page)
