"""The page of `compare` in a real browser: silent, offline, sorted, saved, light and dark."""

# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

import csv
from pathlib import Path

import pytest

from ncscope.comparison.compare import compare
from tests.browser.driving import open_tab
from tests.run_files import of_folder, tuned

NASTY = "<img src=x onerror=alert(1)>"
HEIGHT = {"a": 0.9, "b": 0.2, NASTY: 0.5}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare")
    of_folder(root / "runs", [(name, data, seed, {"nc1/default": value + seed / 100})
                              for name, value in HEIGHT.items() for data in ("dtd", "pets")
                              for seed in (1, 2)])  # fmt: skip
    for name, base in (("maple", 0.5), ("maple+npt", 0.6)):
        tuned(root / "runs", name, "dtd:/d", base=base, new=base)
    path = root / "page.html"
    compare(root / "runs", baseline="maple").save(path)
    return path.as_uri()


@pytest.fixture
def tab(browser, address):
    page = open_tab(browser, address)
    yield page
    assert page.complaints == []
    assert page.dialogs == []
    assert [url for url in page.asked if not url.startswith("blob:")] == [address]
    page.context.close()


def names(tab):
    return tab.locator("#measures .wide").first.locator("tbody th").all_text_contents()


def test_a_column_sorts_by_its_numbers_and_by_keyboard(tab):
    first = tab.locator("#measures .wide").first.locator("thead th").nth(1)
    first.click()
    assert [name for name in names(tab) if name in HEIGHT] == ["a", NASTY, "b"]
    first.press("Enter")
    assert [name for name in names(tab) if name in HEIGHT] == ["b", NASTY, "a"]
    assert first.get_attribute("aria-sort") == "ascending"


def test_a_table_and_a_figure_are_saved(tab):
    with tab.expect_download() as table:
        tab.locator("#measures [data-csv]").first.click()
    assert table.value.suggested_filename == "NC-base-classes-tau-=-1-average-over-2-data-sets.csv"
    rows = list(csv.DictReader(Path(table.value.path()).read_text("utf-8").splitlines()))
    assert {row["row"] for row in rows} >= {"a", "b"}
    with tab.expect_download() as figure:
        tab.locator("#gains figure button").first.click()
    text = Path(figure.value.path()).read_text()
    assert text.startswith("<svg")
    assert "var(--" not in text.partition("style=")[2][:200]


def test_the_theme_is_the_readers(tab):
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    tab.click("#theme")
    assert tab.evaluate(ground) != light
    assert tab.text_content("#theme") == "Light"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
