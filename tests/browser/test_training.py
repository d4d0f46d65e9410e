"""The slider through a training run, in a real browser."""

from dataclasses import replace

import pytest

from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.training import read_training
from ncscope.page.page import write_page
from ncscope.page.report import Report
from tests.browser.driving import draw, draw_one, open_tab
from tests.made_features import noisy
from tests.run_folders import write_run

NASTY = "<img src=x onerror=alert(1)>"
TIP = "div => div._fullData.find(t => t.mode === 'lines+markers').x[1]"


@pytest.fixture
def tab(browser, tmp_path):
    names = (NASTY, "b", "c", "d")
    training = read_training(write_run(tmp_path / "run", steps=6, names=names, split=NASTY))
    run = replace(measure(noisy(4), bootstrap=0), training=training)
    write_page(Report((run,)).runs, tmp_path / "report.html")
    page = open_tab(browser, (tmp_path / "report.html").as_uri())
    yield page
    page.context.close()


def test_the_slider_moves_the_points_and_says_what_the_step_shows(tab):
    draw(tab, "#training")
    div = tab.query_selector("#training .scene .plot")
    start = tab.evaluate(TIP, div)
    tab.focus(".steps input")
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"([div, start]) => ({TIP})(div) !== start", arg=[div, start])
    assert tab.inner_text("#training .said").startswith("step 50: centred shows 100")
    assert tab.get_attribute(".steps input", "aria-valuetext").startswith("step 50")
    assert tab.dialogs == []
    assert tab.complaints == []


def test_play_goes_to_the_end_and_stops(tab):
    div = tab.query_selector("#training .scene .plot")
    draw_one(tab, div)
    tab.click(".steps .play")
    tab.wait_for_function("() => document.querySelector('.steps input').value === '5'")
    tab.wait_for_function(
        "() => document.querySelector('.play').getAttribute('aria-label') === 'Play'"
    )


def test_a_step_chosen_before_drawing_is_the_one_drawn(tab):
    tab.evaluate(
        "() => { const s = document.querySelector('.steps input'); s.value = 5;"
        "s.dispatchEvent(new Event('input')); }"
    )
    div = tab.query_selector("#training .scene .plot")
    draw_one(tab, div)
    wanted = tab.evaluate(
        "div => { const f = window.ncscope.figures[div.dataset.figure];"
        "const k = f.data.findIndex(t => t.mode === 'lines+markers');"
        "return f.frames[5].data[k].x[1]; }",
        div,
    )
    assert tab.evaluate(TIP, div) == pytest.approx(wanted)


def test_raw_and_centred_switch_the_motion_and_the_curves(tab):
    draw(tab, "#training")
    tab.click("#training .forms button[value=raw]")
    forms = (
        "() => [...document.querySelectorAll('#training .plot')].map(div => [...new Set("
        "div.data.filter(t => t.meta && t.visible === true).map(t => t.meta))].join())"
    )
    tab.wait_for_function(f"() => ({forms})().every(form => form === 'raw')")
