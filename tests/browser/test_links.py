"""One class, one run, one click: linked selection, the choice of the run, tabs and downloads."""

# playwright's and plotly's objects have attributes that a type checker cannot know.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false

import csv
from dataclasses import replace

import pytest

from ncscope.diagnosis.against import with_reference
from ncscope.diagnosis.measure import measure
from ncscope.page.page import write_page
from tests.browser.driving import draw
from tests.made_features import noisy, permuted

NAMES = ("=1+1", "Zebra", "apple", "cat", "<i>cattle</i>", "dog")
ORDER = [4, 2, 0, 5, 1, 3]  # in which the second run lists the classes


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Two runs of the same classes; the second lists them in another order."""
    first = replace(noisy(6, noise=2.5), classnames=NAMES,
                    provenance={"source": "zero-shot", "data": "animals"})  # fmt: skip
    other = replace(noisy(6, noise=2.0), classnames=NAMES,
                    provenance={"source": "coop", "data": "animals"})  # fmt: skip
    runs = [measure(one, bootstrap=0) for one in (first, permuted(other, ORDER))]
    path = tmp_path_factory.mktemp("links") / "report.html"
    write_page(with_reference(runs, ["zero-shot", "coop"], measure), path)
    return path.as_uri()


CHOSEN = "() => [...document.querySelectorAll('tr.chosen')].map(row => row.cells[0].textContent)"
RUN_ROWS = "() => [...document.querySelectorAll('.class-table tbody tr')].map(r => r.textContent)"


def test_a_class_chosen_in_the_table_is_chosen_everywhere(tab):
    draw(tab)
    tab.click('.class-table .pick:text-is("cat")')
    assert tab.inner_text("#card h3") == "cat"
    assert set(tab.evaluate(CHOSEN)) >= {"cat"}
    shapes = """() => Object.fromEntries([...document.querySelectorAll('.plot')]
        .filter(div => div.data && window.ncscope.figures[div.dataset.figure].rows)
        .map(div => [div.dataset.figure, (div.layout.shapes || []).map(s => [s.x0, s.y0])]))"""
    tab.wait_for_function(f"() => Object.values(({shapes})()).every(found => found.length)")
    rings = """() => [...document.querySelectorAll('#simplex .plot')].filter(div => div.data)
        .map(div => div.data.filter(t => t.name === 'chosen').map(t => t.x.length))"""
    counts = [sum(found) for found in tab.evaluate(rings)]
    drawn = "() => Object.values(window.ncscope.figures['simplex-0'].names).includes('cat')"
    assert all(counts) == tab.evaluate(drawn)
    tab.keyboard.press("Escape")
    assert tab.is_hidden("#card")
    assert tab.evaluate(CHOSEN) == []
    assert tab.complaints == []


def test_orders_of_classes_that_differ_mark_the_same_class_in_both_maps(tab):
    draw(tab, "#cosines")
    tab.evaluate("() => window.ncscope.select(window.ncscope.links.classes.indexOf('dog'))")
    named = """() => [...document.querySelectorAll('#cosines figure:not([hidden]) .plot')].map(
        div => div.data[0].y[(div.layout.shapes[0].y0 + 0.5)])"""
    assert tab.evaluate(named) == ["dog", "dog"]
    ticks = """() => [...document.querySelectorAll('#cosines figure:not([hidden]) .plot')]
        .map(div => div.layout.yaxis.ticktext.join())"""
    assert len(set(tab.evaluate(ticks))) == 1


def test_one_class_has_one_colour_in_the_scenes_of_all_runs(tab):
    draw(tab, "#simplex")
    colours = """() => [...document.querySelectorAll('#simplex figure:not([hidden]) .plot')].map(
        div => Object.fromEntries(div.data.filter(t => t.mode === 'lines+markers')
            .map(t => [t.name, t.line.color])))"""
    first, second = tab.evaluate(colours)
    assert first == second
    assert len(first) == 4


def test_a_point_of_the_class_chart_opens_its_card(tab):
    draw(tab, "#classes")
    place = """() => { const div = document.querySelector('#classes .tall .plot');
        const dot = div.querySelectorAll('.scatterlayer .trace .point')[0];
        const box = dot.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2, div.layout.meta.pixels]; }"""
    tab.evaluate("() => document.querySelector('#classes .tall').scrollIntoView()")
    tab.wait_for_timeout(300)
    x, y, _ = tab.evaluate(place)
    tab.mouse.move(x, y)
    tab.mouse.click(x, y)
    tab.wait_for_function("() => !document.getElementById('card').hidden")
    first = "() => document.querySelector('#classes .tall .plot').layout.yaxis.ticktext"
    assert tab.inner_text("#card h3") in [
        words.replace("&lt;", "<").replace("&gt;", ">") for words in tab.evaluate(first)
    ]
    assert "Nearest texts" in tab.inner_text("#card")
    assert tab.dialogs == []


def test_another_run_changes_tables_figures_and_the_card(tab):
    tab.click('.class-table .pick:text-is("Zebra")')
    rows, card = tab.evaluate(RUN_ROWS), tab.inner_text("#card")
    tab.select_option(".run-choice", label="zero-shot")
    assert tab.evaluate(RUN_ROWS) != rows
    assert [words[:4] for words in tab.evaluate(RUN_ROWS)][:2] == ["=1+1", "Zebr"]
    assert tab.inner_text("#card") != card
    assert set(tab.evaluate(CHOSEN)) >= {"Zebra"}
    shown = "() => document.querySelectorAll('#cosines figure:not([hidden])').length"
    assert tab.evaluate(shown) == 1
    tab.click('#cosines .tabs button[value="Text × class means"]')
    assert "Text × class means" in tab.inner_text("#cosines figure:not([hidden]) h3")
    assert tab.complaints == []


def test_names_are_text_on_the_card_too(tab):
    tab.click('.class-table .pick:text-is("<i>cattle</i>")')
    assert tab.inner_text("#card h3") == "<i>cattle</i>"
    assert tab.query_selector("#card i:not(.swatch)") is None


@pytest.mark.parametrize(
    ("button", "name"),
    [("#glance [data-csv]", "runs.csv"), (".tools [data-csv=classes]", "classes-2.csv")],
)
def test_tables_come_as_csv_in_which_no_name_is_a_formula(tab, tmp_path, button, name):
    with tab.expect_download() as found:
        tab.click(button)
    assert found.value.suggested_filename == name
    found.value.save_as(tmp_path / name)
    with (tmp_path / name).open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > 6
    if name.startswith("classes"):
        assert {row[0] for row in rows[1:]} == {*NAMES[1:], "'=1+1"}


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_figures_come_as_svg_and_png(tab, tmp_path, kind, start):
    with tab.expect_download() as found:
        tab.click(f"#classes figure:not([hidden]) [data-as={kind}]")
    assert found.value.suggested_filename == f"Each-class-beside-the-reference.{kind}"
    found.value.save_as(tmp_path / "figure")
    content = (tmp_path / "figure").read_bytes()
    assert content.startswith(start)
    assert len(content) > 5000
    assert tab.complaints == []
