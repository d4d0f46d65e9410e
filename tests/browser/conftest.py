"""One headless browser for all tests of the page; skipped in a line where there is none."""

import pytest

from tests.browser.driving import CHROMIUM, OPTIONS, open_tab


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium found")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


@pytest.fixture
def tab(browser, address):
    """A tab on the page at a file's own `address`."""
    page = open_tab(browser, address)
    yield page
    page.context.close()
