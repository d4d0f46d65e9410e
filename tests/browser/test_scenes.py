"""The simplex views in a real browser: pictures on hover, class filter, one camera."""

# playwright's and plotly's objects have attributes that a type checker cannot know.
# pyright: reportAttributeAccessIssue=false

import pytest
from PIL import Image

from ncscope.diagnosis.measure import measure
from ncscope.features.bundle import Features
from ncscope.page.page import write_page
from ncscope.page.report import Report
from tests.browser.driving import draw, draw_one
from tests.made_features import noisy

NASTY = "<img src=x onerror=alert(1)>"

# Where a point of a trace lies in the window, from the matrices that plotly draws it with.
PLACE = """([div, trace, point]) => {
    const scene = div._fullLayout.scene._scene;
    const { model, view, projection } = scene.glplot.cameraParams;
    const { x, y, z } = div._fullData[trace];
    let v = [x[point], y[point], z[point]].map((c, i) => c * scene.dataScale[i]).concat(1);
    for (const m of [model, view, projection])
        v = [0, 1, 2, 3].map(row => v.reduce((sum, value, k) => sum + m[4 * k + row] * value, 0));
    const box = scene.glplot.canvas.getBoundingClientRect();
    const right = (1 + v[0] / v[3]) / 2, down = (1 - v[1] / v[3]) / 2;
    return [box.left + box.width * right, box.top + box.height * down];
}"""


def paint(row):
    return Image.new("RGB", (40, 30), (row % 256, 90, 160))


def run(source, *, classes=6, preview=paint):
    features = noisy(classes, noise=1.5, seed=len(source))
    names = (NASTY, "Zebra", "apple", "cat", "cattle", "dog")[:classes]
    return measure(
        Features(
            image=features.image, label=features.label, text=features.text, classnames=names,
            logit_scale=features.logit_scale, provenance={"source": source, "data": "animals"},
            preview=preview,
        ),
        bootstrap=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "report.html"
    write_page(Report((run("coop"), run("maple"))).runs, path)
    return path.as_uri()


def scene(tab, place=0):
    found = tab.query_selector_all("#simplex .plot")[place]
    if found.is_hidden():
        wanted = tab.evaluate("div => div.closest('figure').dataset.tab", found)
        tab.click(f'#simplex .tabs button[value="{wanted}"]')
    draw_one(tab, found)
    return found


def bring(tab, div):
    tab.evaluate("div => div.scrollIntoView({block: 'center', behavior: 'instant'})", div)
    tab.wait_for_timeout(400)


def point_at(tab, div, trace, point):
    bring(tab, div)
    x, y = tab.evaluate(PLACE, [div, trace, point])
    tab.mouse.move(x - 30, y - 30)
    tab.mouse.move(x, y, steps=4)


def image_trace(tab, div):
    return tab.evaluate(
        "div => div.data.findIndex(t => t.visible && t.customdata && t.customdata[0][1] >= 0)", div
    )


def test_pointing_at_an_image_shows_its_picture_and_its_class(tab):
    div = scene(tab)
    trace = image_trace(tab, div)
    # the outermost image, which no other point lies in front of
    far = tab.evaluate(
        "([div, t]) => { const {x, y, z} = div._fullData[t]; let best = 0, place = 0;"
        "for (let i = 0; i < x.length; i++) { const r = Math.hypot(x[i], y[i], z[i]);"
        "if (r > best) { best = r; place = i; } } return place; }",
        [div, trace],
    )
    point_at(tab, div, trace, far)
    tab.wait_for_function("() => !document.getElementById('look').hidden")
    picture = tab.query_selector("#look img")
    tab.wait_for_function("picture => picture.complete && picture.naturalWidth > 0", arg=picture)
    assert picture.get_attribute("src").startswith("data:image/jpeg;base64,")
    label = tab.evaluate("div => div.querySelector('.hovertext').textContent", div)
    assert label.startswith("image ")
    assert label.split(" of ")[1] == picture.get_attribute("alt").split(" of ")[1]
    assert label.split(" of ")[1] in (NASTY, "Zebra", "apple", "cat", "cattle", "dog")
    assert tab.dialogs == []
    assert tab.complaints == []


def test_words_typed_leave_only_their_classes(tab):
    draw(tab, "#simplex")
    shown = (
        "() => [...document.querySelectorAll('#simplex .plot')].map(div => [...new Set("
        "(div.data || []).flatMap(t => (t.customdata || []).map(c => c[0])))].sort())"
    )
    assert [5 in classes for classes in tab.evaluate(shown)] == [True] * 2 + [False] * 2
    tab.fill("#only", "CAT, zeb")
    tab.wait_for_function("() => document.getElementById('only-found').textContent !== ''")
    assert all(set(classes) <= {1, 3, 4} for classes in tab.evaluate(shown))
    assert tab.inner_text("#only-found") == "3 classes shown"
    overview = scene(tab, 2)
    counts = "div => div._fullData.filter(t => t.visible === true).map(t => t.x.length)"
    few = tab.evaluate(counts, overview)
    tab.fill("#only", "")
    tab.wait_for_function("() => document.getElementById('only-found').textContent === ''")
    assert sum(tab.evaluate(counts, overview)) > sum(few)
    assert tab.complaints == []


def test_the_filter_holds_for_a_view_that_is_drawn_later(tab):
    tab.fill("#only", "dog")
    tab.wait_for_function("() => document.getElementById('only-found').textContent !== ''")
    div = scene(tab)
    drawn = "div => [...new Set(div.data.flatMap(t => (t.customdata || []).map(c => c[0])))]"
    assert tab.evaluate(drawn, div) == [5]


def test_a_legend_entry_hides_its_class(tab):
    div = scene(tab)
    entry = div.query_selector_all(".legendtoggle")[-1]
    before = tab.evaluate("div => div._fullData.filter(t => t.visible === true).length", div)
    entry.click()
    tab.wait_for_function(
        "([div, before]) => div._fullData.filter(t => t.visible === true).length < before",
        arg=[div, before],
    )


def test_views_of_the_same_classes_turn_together(tab):
    first, second = (scene(tab, place) for place in (0, 1))
    other = "() => window.ncscope.figures['simplex-2'].layout.scene.camera.eye.x"
    still = tab.evaluate(other)
    tab.evaluate("div => Plotly.relayout(div, {'scene.camera': {eye: {x: 0.1, y: 1.7, z: 0.2}}})",
                 first)  # fmt: skip
    tab.wait_for_function("div => Math.abs(div.layout.scene.camera.eye.y - 1.7) < 1e-6", arg=second)
    assert tab.evaluate(other) == still
    assert tab.complaints == []


def test_turning_by_mouse_turns_the_other_view(tab):
    first, second = scene(tab, 0), scene(tab, 1)
    bring(tab, first)
    eye = "div => Object.values(div._fullLayout.scene.camera.eye)"
    start = tab.evaluate(eye, second)
    box = first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    for pull in range(10, 100, 10):
        tab.mouse.move(x + pull, y)
        tab.wait_for_timeout(100)  # a view that led the first one back would do it now
    tab.mouse.up()
    tab.wait_for_function(
        "([one, two]) => Object.entries(one._fullLayout.scene.camera.eye).every("
        "([axis, at]) => Math.abs(two._fullLayout.scene.camera.eye[axis] - at) < 1e-9)",
        arg=[first, second],
    )
    assert max(abs(a - b) for a, b in zip(start, tab.evaluate(eye, second), strict=True)) > 0.3
    assert tab.complaints == []


def test_a_click_on_a_point_opens_its_card_and_a_drag_from_it_does_not(tab):
    div = scene(tab)
    trace = tab.evaluate("div => div.data.findIndex(t => t.marker && t.marker.size === 8)", div)
    point_at(tab, div, trace, 0)
    x, y = tab.evaluate(PLACE, [div, trace, 0])
    tab.mouse.down()
    tab.wait_for_timeout(300)
    tab.mouse.move(x + 60, y, steps=3)
    tab.mouse.up()
    assert tab.is_hidden("#card")
    point_at(tab, div, trace, 0)
    tab.mouse.down()
    tab.wait_for_timeout(600)
    tab.mouse.up()
    tab.wait_for_function("() => !document.getElementById('card').hidden")
    assert tab.inner_text("#card h3") in (NASTY, "Zebra", "apple", "cat", "cattle", "dog")
    assert tab.complaints == []


def test_arrow_keys_turn_a_view_and_keep_its_distance(tab):
    first, second = scene(tab, 0), scene(tab, 1)
    eye = "div => div.layout.scene.camera.eye"
    before = tab.evaluate(eye, first)
    first.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowUp")
    tab.wait_for_function("([div, z]) => div.layout.scene.camera.eye.z > z + 0.05",
                          arg=[first, before["z"]])  # fmt: skip
    after = tab.evaluate(eye, first)
    far = [sum(value**2 for value in place.values()) for place in (before, after)]
    assert far[0] == pytest.approx(far[1])
    tab.wait_for_function("([a, b]) => a.layout.scene.camera.eye.z === b.layout.scene.camera.eye.z",
                          arg=[first, second])  # fmt: skip
    assert tab.complaints == []
