"""The figures: what they draw, what they say about it, and that names stay text."""

# What is None where a test expects a value fails the test by itself; plotly's and playwright's
# objects have attributes that a type checker cannot know.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false

import math

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from ncscope import plots
from ncscope.errors import DataError, ShapeError
from ncscope.features.bundle import Features
from ncscope.figures import style as palette
from ncscope.figures.distributions import angle_edges, angle_shares
from ncscope.figures.figures import angle_histogram, cosine_heatmap, per_class_bars, simplex
from ncscope.figures.projection import fit_basis
from ncscope.figures.scene import CAMERA
from ncscope.metrics.rows import pairwise_cosines
from tests.made_features import collapsed, named, noisy
from tests.shapes import simplex_etf, unit_rows

NASTY = "<b>x</b><a href='y'>z</a>%{x}"


def renamed(features, name):
    names = (name, *features.classnames[1:])
    return Features(
        image=features.image, label=features.label, text=features.text, classnames=names
    )


def caption(figure):
    return " ".join(words for _, words in figure.layout.meta["caption"])


def form(figure, name):
    return [trace for trace in figure.data if trace.meta == name]


@pytest.mark.parametrize("num_classes", [2, 3, 4, 5, 12, 13])
def test_every_number_of_classes_has_a_simplex_view_in_both_forms(num_classes):
    figure = simplex(noisy(num_classes, each=4))
    assert isinstance(figure, go.Figure)
    assert all(trace.visible for trace in form(figure, "centred"))
    assert not any(trace.visible for trace in form(figure, "raw"))


def test_arrows_lead_from_the_origin_to_the_corners_of_the_frame():
    figure = simplex(collapsed(4, 8))
    arrows = [t for t in form(figure, "centred") if t.mode == "lines+markers"]
    tips = sorted((round(t.x[1], 6), round(t.y[1], 6), round(t.z[1], 6)) for t in arrows)
    frame = next(t for t in form(figure, "centred") if t.name == "ideal simplex")
    corners = {
        (round(x, 6), round(y, 6), round(z, 6))
        for x, y, z in zip(frame.x, frame.y, frame.z, strict=True)
        if x is not None
    }
    assert [(t.x[0], t.y[0], t.z[0]) for t in arrows] == [(0.0, 0.0, 0.0)] * 4
    assert tips == sorted(corners)


def test_one_legend_entry_a_class_stands_for_arrow_mean_and_images():
    traces = [t for t in form(simplex(noisy(4)), "centred") if t.legendgroup == "2"]
    assert {trace.mode for trace in traces} == {"lines+markers", "markers"}
    assert len(traces) == 3
    assert sum(bool(trace.showlegend) for trace in traces) == 1


def test_buttons_switch_the_form_and_its_scale():
    figure = simplex(noisy(4))
    buttons = {b.label: b.args for b in figure.layout.updatemenus[0].buttons}
    for name in ("centred", "raw"):
        shown = [trace.meta == name for trace in figure.data]
        assert buttons[name][0]["visible"] == shown
        assert set(buttons[name][1]) == {f"scene.{axis}axis.range" for axis in "xyz"}


def test_the_raw_form_can_be_shown_first():
    figure = simplex(noisy(4), centred=False)
    assert all(trace.visible for trace in form(figure, "raw"))
    assert figure.layout.updatemenus[0].active == 1


def test_the_caption_says_which_share_is_shown_and_which_images_are_drawn():
    words = caption(simplex(noisy(20, each=30), classes=[0, 5, 9, 12], max_points=40))
    assert "4 of 20 classes." in words
    assert "true lengths and angles): shows 100\u202f% of the text" in words
    assert "40 of 120 images drawn, evenly over classes (seed 0)." in words


def test_all_classes_are_on_principal_axes_and_say_so():
    figure = simplex(noisy(20), classes="all")
    assert "All 20 classes. Centred (principal axes): shows" in caption(figure)
    assert not any(trace.name == "ideal simplex" for trace in figure.data)


def test_many_classes_are_four_evenly_spaced_unless_asked():
    groups = {t.legendgroup for t in simplex(noisy(20)).data} - {None, "frame"}
    assert groups == {"0", "6", "13", "19"}


def test_compared_runs_have_one_camera_and_one_scale():
    one = simplex(noisy(4, seed=1), limits={"centred": 2.0, "raw": 3.0})
    two = simplex(noisy(4, seed=2), limits={"centred": 2.0, "raw": 3.0})
    assert one.layout.scene == two.layout.scene
    assert one.layout.scene.xaxis.range == (-2.0, 2.0)
    assert one.layout.scene.camera.eye.x == CAMERA["eye"]["x"]


def test_refuses_a_basis_of_another_width_and_unknown_classes():
    basis = fit_basis(unit_rows(4, 9))
    with pytest.raises(ShapeError, match="axes of width 9; the features have D = 16"):
        simplex(noisy(4), basis=basis)
    with pytest.raises(ShapeError, match="\"all\" or None; got 'some'"):
        simplex(noisy(4), classes="some")  # pyright: ignore[reportArgumentType]


def test_a_thousand_classes_and_many_images_stay_light():
    label = torch.arange(1000).repeat(8)
    features = Features(
        image=torch.randn(8000, 32, generator=torch.Generator().manual_seed(0)),
        label=label,
        text=unit_rows(1000, 32).float(),
        classnames=named(1000),
    )
    assert len(simplex(features, classes="all").to_json()) < 900_000
    cosines = pairwise_cosines(unit_rows(1000, 32))
    assert len(cosine_heatmap(cosines, named(1000)).to_json()) < 400_000


@pytest.mark.parametrize("forms", [False, True], ids=["raw", "raw and centred"])
def test_a_heat_map_runs_from_minus_one_to_one(forms):
    cosines = pairwise_cosines(unit_rows(6, 9)).abs()
    figure = cosine_heatmap(cosines, named(6), centred=cosines if forms else None)
    for trace in figure.data:
        assert (trace.zmin, trace.zmax) == (-1, 1)
        np.testing.assert_allclose(trace.z, cosines, atol=1e-3)
    assert len(figure.data) == 1 + forms
    assert "A simplex ETF has −0.2 everywhere off the diagonal." in caption(figure)


def test_classes_of_one_name_keep_their_own_rows():
    figure = cosine_heatmap(pairwise_cosines(unit_rows(4, 9)), ["crane", "crane", "owl", "jay"])
    assert list(figure.data[0].y) == ["crane [0]", "crane [1]", "owl", "jay"]


def test_a_large_matrix_is_drawn_in_blocks_and_says_so():
    figure = cosine_heatmap(pairwise_cosines(unit_rows(30, 9)), named(30), most=10)
    assert figure.data[0].z.shape == (10, 10)
    assert "30 classes in 10 blocks of 3: a cell is the mean" in caption(figure)
    assert figure.data[0].y[0] == "class 0 … class 2 (3 classes)"


def test_a_heat_map_can_put_alike_classes_side_by_side():
    families = unit_rows(2, 9)[torch.tensor([0, 1, 0, 1])]
    figure = cosine_heatmap(
        pairwise_cosines(families + 0.01 * unit_rows(4, 9, seed=1)), list("abcd"), order="cluster"
    )
    assert {frozenset(figure.data[0].y[:2]), frozenset(figure.data[0].y[2:])} == {
        frozenset("ac"), frozenset("bd"),
    }  # fmt: skip


def test_refuses_names_and_orders_that_do_not_fit():
    cosines = pairwise_cosines(unit_rows(4, 9))
    with pytest.raises(ShapeError, match="`names` has 3 entries for a matrix of 4 rows"):
        cosine_heatmap(cosines, named(3))
    with pytest.raises(ShapeError, match="`order` must be indices"):
        cosine_heatmap(cosines, named(4), order="size")  # pyright: ignore[reportArgumentType]


def test_all_angles_of_a_simplex_fall_into_the_bin_that_is_marked():
    cosines = pairwise_cosines(simplex_etf(6, 9))
    ideal = math.degrees(math.acos(-1 / 5))
    edges = angle_edges([cosines], [6])
    shares = angle_shares(cosines, edges)
    assert shares[np.searchsorted(edges, ideal) - 1] == pytest.approx(1)
    figure = angle_histogram({"text": cosines}, 6)
    assert figure.layout.shapes[0].x0 == pytest.approx(ideal)
    assert f"the simplex angle, {ideal:.1f}°" in caption(figure)


def test_angles_are_those_of_a_loop_over_pairs():
    rows = unit_rows(12, 5)
    counts = np.zeros(60)
    for a in range(12):
        for b in range(a):
            counts[int(math.degrees(math.acos(float(rows[a] @ rows[b]))) // 3)] += 1
    found = angle_shares(pairwise_cosines(rows), np.arange(0, 181, 3))
    np.testing.assert_allclose(found, counts / counts.sum())


@pytest.mark.parametrize("classes", [4, 12, 200])
def test_the_bins_hold_all_angles_and_are_not_too_many(classes):
    cosines = pairwise_cosines(unit_rows(classes, 512))
    edges = angle_edges([cosines], [classes])
    off = cosines[~torch.eye(classes, dtype=torch.bool)].numpy()
    found = np.degrees(np.arccos(off))
    steps = np.diff(edges)
    assert steps == pytest.approx(steps[0])
    assert edges[0] < min(found.min(), math.degrees(math.acos(-1 / (classes - 1))))
    assert edges[-1] > max(found.max(), math.degrees(math.acos(-1 / (classes - 1))))
    assert len(edges) < 60
    assert angle_shares(cosines, edges).sum() == pytest.approx(1)


def record(values, counts=None):
    rows = [{"name": f"class {k}", "accuracy": value} for k, value in enumerate(values)]
    if counts is not None:
        rows = [{**row, "train_count": c} for row, c in zip(rows, counts, strict=True)]
    return {"per_class": rows}


def test_bars_fall_from_the_largest_value():
    figure = per_class_bars(record([0.2, None, 0.9, 0.5]))
    assert list(figure.data[0].y) == [0.9, 0.5, 0.2]
    words = "3 classes, from the largest value to the smallest. 1 class has no value."
    assert words in caption(figure)


def test_bars_run_from_head_to_tail_where_training_counts_differ():
    figure = per_class_bars(record([0.2, 0.4, 0.9], counts=[5, 100, 20]))
    assert [trace.name for trace in figure.data] == ["head", "medium", "tail"]
    assert [trace.y[0] for trace in figure.data] == [0.4, 0.9, 0.2]


def test_refuses_bars_of_nothing():
    with pytest.raises(DataError, match="no class has a value of 'nc4'; there are accuracy"):
        per_class_bars(record([0.5, 0.6]), measure="nc4")


def strings(tree):
    if isinstance(tree, dict):
        return [s for value in tree.values() for s in strings(value)]
    if isinstance(tree, (list, tuple)):
        return [s for value in tree for s in strings(value)]
    return [tree] if isinstance(tree, str) else []


@pytest.mark.parametrize("size", [4, 20], ids=["few", "many"])
def test_no_name_becomes_markup_or_a_template(size):
    features = renamed(noisy(size), NASTY)
    points = {"per_class": [{"name": NASTY, "accuracy": 0.5}]}
    for figure in (
        simplex(features, classes="all"),
        cosine_heatmap(pairwise_cosines(unit_rows(size, 9)), features.classnames),
        angle_histogram({NASTY: pairwise_cosines(unit_rows(5, 9))}, 5, title=NASTY),
        per_class_bars(points, title=NASTY),
    ):
        words = strings(figure.to_plotly_json()["data"]) + strings(
            {k: v for k, v in figure.to_plotly_json()["layout"].items() if k != "meta"}
        )
        assert not any("<b>" in word or "<a" in word for word in words)
        templates = [t.hovertemplate for t in figure.data if t.hovertemplate]
        assert not any("x</" in t or "&lt;" in t for t in templates)


def test_grounds_are_transparent_and_inks_show_on_light_and_dark():
    layout = simplex(noisy(4)).layout
    assert layout.paper_bgcolor == layout.scene.bgcolor == "rgba(0,0,0,0)"
    for colour in (palette.INK, *palette.CLASSES, *(c for _, c in palette.MANY)):
        assert palette.contrast(colour, "#ffffff") > 2
        assert palette.contrast(colour, "#14171b") > 2


def test_the_public_module_has_each_figure():
    assert plots.simplex is simplex
    for name in plots.__all__:
        assert callable(getattr(plots, name))
