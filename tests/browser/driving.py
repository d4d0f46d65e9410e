"""How the tests drive a browser: where it is, a tab that remembers complaints, figures drawn."""

import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
OPTIONS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]  # fmt: skip


def open_tab(browser, address, *, width=1200, height=900, scheme="light"):
    """A tab on the page, opened from disk, with what it complained of and asked for."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
    )
    page = context.new_page()
    page.complaints, page.asked, page.dialogs = [], [], []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(address)
    return page


def draw(tab, section=""):
    """Scroll to every figure that a section, or the page, shows and wait until it is drawn.

    Functions, not strings, go to the page: its policy forbids evaluating strings.
    """
    for plot in tab.query_selector_all(f"{section} figure:not([hidden]) .plot"):
        draw_one(tab, plot)


def draw_one(tab, plot):
    plot.scroll_into_view_if_needed()
    tab.wait_for_function("plot => plot.dataset.state === 'drawn' && plot.data", arg=plot)
