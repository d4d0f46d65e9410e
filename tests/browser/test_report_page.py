"""The page in a real browser: silent, offline, and usable with mouse and keyboard."""

# What is None where a test expects a value fails the test by itself; plotly's and playwright's
# objects have attributes that a type checker cannot know.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

import pytest

from ncscope.diagnosis.measure import measure
from ncscope.features.bundle import Features
from ncscope.page.page import write_page
from ncscope.page.report import Report
from tests.browser.driving import draw
from tests.made_features import noisy

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Two runs of six classes, one with a name that would like to be markup."""
    runs = []
    for seed, source in enumerate(("coop", "maple")):
        features = noisy(6, noise=1.5, seed=seed)
        names = (NASTY, "Zebra", "apple", "class 10", "class 9", "<b>bold</b>")
        features = Features(
            image=features.image, label=features.label, text=features.text, classnames=names,
            logit_scale=features.logit_scale, provenance={"source": source, "data": "animals"},
        )  # fmt: skip
        runs.append(measure(features, bootstrap=0))
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(Report(tuple(runs)).runs, path)
    return path.as_uri()


def column(tab, place):
    rows = "[...document.querySelectorAll('.class-table:not([hidden]) tbody tr')]"
    return tab.evaluate(f"{rows}.map(row => row.cells[{place}].textContent)")


def test_opens_from_disk_without_a_complaint_or_a_request(tab, address):
    draw(tab)
    tab.wait_for_timeout(300)
    assert tab.complaints == []
    assert [url for url in tab.asked if not url.startswith(("blob:", "data:"))] == [address]


def test_a_name_that_looks_like_markup_is_shown_as_text(tab):
    draw(tab, "#cosines")
    assert tab.dialogs == []
    assert tab.query_selector_all("img") == []
    assert NASTY in column(tab, 0)
    ticks = tab.evaluate(
        "[...document.querySelectorAll('#cosines .ytick text')].map(t => t.textContent)"
    )
    assert "<img src=x oner…" in ticks
    assert "<b>bold</b>" in ticks
    assert tab.evaluate("document.querySelectorAll('svg b, svg a[href*=x]').length") == 0


def test_injected_scripts_are_refused_even_if_escaping_failed(tab):
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    tab.wait_for_timeout(300)
    assert tab.dialogs == []
    assert any("Content Security Policy" in words for words in tab.complaints)


def test_a_column_sorts_both_ways_by_mouse_and_by_keyboard(tab):
    heads = tab.query_selector_all(".class-table:not([hidden]) thead button")
    place = next(
        i for i, head in enumerate(heads) if (head.text_content() or "").strip() == "accuracy"
    )
    values = sorted(float(v.replace("%", "")) for v in column(tab, place))
    heads[place].click()
    assert [float(v.replace("%", "")) for v in column(tab, place)] == values[::-1]
    heads[place].focus()
    tab.keyboard.press("Enter")
    assert [float(v.replace("%", "")) for v in column(tab, place)] == values
    sorts = tab.evaluate(
        "[...document.querySelectorAll('.class-table:not([hidden]) th[aria-sort]')]"
        ".map(th => th.getAttribute('aria-sort'))"
    )
    assert sorts[place] == "ascending"
    assert set(sorts) == {"ascending", "none"}


def test_names_sort_as_people_do(tab):
    tab.click(".class-table:not([hidden]) thead button")
    names = column(tab, 0)
    assert names.index("apple") < names.index("class 9") < names.index("class 10")
    assert names.index("class 10") < names.index("Zebra")


def test_search_filters_the_classes_and_says_how_many(tab):
    tab.fill(".find", "CLASS")
    shown = tab.query_selector_all(".class-table:not([hidden]) tbody tr:not([hidden])")
    assert len(shown) == 2
    assert tab.inner_text(".found") == "2 of 6 classes"


def test_another_run_can_be_chosen(tab):
    first = column(tab, 2)
    tab.select_option(".run-choice", label="coop")
    assert column(tab, 2) != first


def test_the_theme_follows_the_button_and_repaints_figures(tab):
    draw(tab, "#angles")
    tab.wait_for_timeout(300)
    inks = """() => [getComputedStyle(document.body).backgroundColor,
                    document.querySelector('#angles .plot').layout.font.color]"""
    light = tab.evaluate(inks)
    tab.click("#theme")
    differ = f"light => ({inks})().every((ink, place) => ink !== light[place])"
    tab.wait_for_function(differ, arg=light)
    assert tab.get_attribute("#theme", "aria-label") == "Switch to the light theme"
    tab.click("#theme")
    tab.wait_for_function(f"light => ({inks})().join() === light.join()", arg=light)


def test_the_theme_follows_the_system_until_chosen(tab):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.emulate_media(color_scheme="dark")
    assert tab.evaluate(ground) != light


def test_raw_and_centred_switch_all_figures_of_a_section(tab):
    draw(tab, "#cosines")
    shown = (
        "[...document.querySelectorAll('#cosines figure:not([hidden]) .plot')].map(plot => "
        "plot.data.filter(t => t.visible === true).map(t => t.meta).join())"
    )
    assert set(tab.evaluate(shown)) == {"centred"}
    tab.click("#cosines .forms button[value=raw]")
    tab.wait_for_timeout(200)
    assert set(tab.evaluate(shown)) == {"raw"}
    assert tab.is_visible("#simplex .only-centred")


def test_nothing_but_tables_is_wider_than_the_window(tab):
    draw(tab, "#cosines")
    draw(tab, "#classes")
    fits = """width => [...document.querySelectorAll('.plot .main-svg')].every(
        drawing => drawing.getBoundingClientRect().width <= width)"""
    for width in (1280, 390, 360):
        tab.set_viewport_size({"width": width, "height": 900})
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.wait_for_function(fits, arg=width)


def test_scenes_far_away_are_let_go_of_and_come_back(tab):
    scene, state = tab.query_selector(".scene .plot"), "scene => scene.dataset.state"
    tab.set_viewport_size({"width": 1280, "height": 400})
    scene.scroll_into_view_if_needed()
    tab.wait_for_function(f"{state} === 'drawn'", arg=scene)
    tab.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    tab.wait_for_function(f"{state} === undefined", arg=scene)
    scene.scroll_into_view_if_needed()
    tab.wait_for_function(f"{state} === 'drawn'", arg=scene)
    assert tab.complaints == []
