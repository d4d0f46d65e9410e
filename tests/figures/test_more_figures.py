"""Gap, groups, scatter, surface and runs side by side: right numbers, honest captions."""

# plotly's objects have attributes that a type checker cannot know.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false

import math

import numpy as np
import pytest
import torch
from scipy import stats

from ncscope import metrics, plots
from ncscope.diagnosis.measure import measure
from ncscope.errors import DataError, ShapeError
from ncscope.features.bundle import Features
from ncscope.figures.points import points_of
from ncscope.figures.study import regression
from tests.made_features import collapsed, named, noisy

NASTY = "<img src=x onerror=alert(1)>"


def caption(figure):
    return " ".join(words for _, words in figure.layout.meta["caption"])


def test_the_gap_drawn_is_the_measure():
    features = noisy(5, counts=[30, 3, 9, 12, 1])
    points = points_of(features)
    figure = plots.modality_gap(features)
    ends = sorted(shape.x0 for shape in figure.layout.shapes)
    assert ends[0] == 0
    assert ends[1] == pytest.approx(float(metrics.modality_gap(points.means, points.text)))


def test_every_class_counts_once_along_the_gap():
    figure = plots.modality_gap(noisy(4, counts=[100, 2, 2, 2], noise=0.2))
    images = next(trace for trace in figure.data if trace.name == "images")
    x, y = np.array(images.x), np.array(images.y)
    assert y.sum() == pytest.approx(1, abs=1e-4)
    assert (x * y).sum() == pytest.approx(0, abs=0.02)  # the centre of the classes, not of images


def test_no_gap_is_drawn_where_there_is_none_to_see():
    with pytest.raises(ShapeError, match="same centre"):
        plots.modality_gap(collapsed(4, 8))
    text_only = Features(image=None, label=None, text=noisy(3).text, classnames=named(3))
    with pytest.raises(ShapeError, match="one is missing"):
        plots.modality_gap(text_only)


def test_group_bars_have_the_numbers_of_the_record():
    counts = [40, 20, 9, 5, 2]
    record = measure(noisy(5, noise=3, counts=counts), bootstrap=0, train_counts=counts).record
    figure = plots.group_accuracy([record], [NASTY])
    bars = dict(zip(figure.data[0].x, figure.data[0].y, strict=True))
    assert bars == {
        key: pytest.approx(values["accuracy"], abs=1e-5)
        for key, values in record["groups"].items()
        if values
    }
    assert NASTY not in str(figure.to_json())


def test_runs_without_groups_are_refused_in_a_line():
    record = measure(noisy(4), bootstrap=0).record
    with pytest.raises(DataError, match="no run has head, medium and tail"):
        plots.group_accuracy([record])


def test_the_line_and_its_interval_are_those_of_least_squares():
    generator = np.random.default_rng(0)
    x = generator.normal(size=20)
    y = 2 * x + generator.normal(size=20)
    at = np.array([-1.0, 0.0, 2.0])
    middle, half = regression(x, y, at, level=0.95)
    design = np.stack([np.ones(20), x], axis=1)
    beta, residual = np.linalg.lstsq(design, y, rcond=None)[:2]
    covariance = residual[0] / 18 * np.linalg.inv(design.T @ design)
    places = np.stack([np.ones(3), at], axis=1)
    np.testing.assert_allclose(middle, places @ beta)
    expected = stats.t.ppf(0.975, 18) * np.sqrt(
        np.einsum("ij,jk,ik->i", places, covariance, places)
    )
    np.testing.assert_allclose(half, expected)


def test_the_scatter_states_r_as_scipy_does_and_what_is_left_out():
    generator = np.random.default_rng(1)
    rows = [{"m": float(a), "accuracy": float(a + b)} for a, b in generator.normal(size=(15, 2))]
    found = stats.pearsonr([r["m"] for r in rows], [r["accuracy"] for r in rows])
    span = found.confidence_interval(0.95)
    words = caption(plots.measure_scatter([*rows, {"m": None, "accuracy": 1.0}], x="m"))
    assert f"r = {found.statistic:.2f} ({span.low:.2f} … {span.high:.2f})" in words
    assert "15 rows. 1 without both numbers left out." in words


def test_scatter_points_are_coloured_by_group_and_names_stay_text():
    rows = [{"m": k, "accuracy": k % 3, "g": NASTY if k % 2 else "b", "n": NASTY} for k in range(6)]
    figure = plots.measure_scatter(rows, x="m", group="g", label="n")
    groups = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in groups] == [3, 3]
    assert NASTY not in figure.to_json().replace("\\u003c", "<")


@pytest.mark.parametrize(
    "rows", [[{"m": 1, "accuracy": 2}], [{"m": 1, "accuracy": k} for k in range(5)]]
)
def test_no_line_is_drawn_where_none_is_determined(rows):
    figure = plots.measure_scatter(rows, x="m")
    assert [trace.mode for trace in figure.data] == ["markers"]
    assert "No line" in caption(figure)


def test_a_perfect_line_has_no_interval_for_r():
    rows = [{"m": k, "accuracy": 2 * k} for k in range(5)]
    assert "r = 1.00." in caption(plots.measure_scatter(rows, x="m"))


def test_a_table_without_the_numbers_is_refused():
    with pytest.raises(DataError, match="none of 2 rows has numbers for both 'm' and 'accuracy'"):
        plots.measure_scatter([{"m": "x", "accuracy": 1}, {"m": math.nan, "accuracy": 1}], x="m")
    with pytest.raises(DataError, match="`level` is 95"):
        plots.measure_scatter([{"m": 1, "accuracy": 1}], x="m", level=95)


def test_the_surface_averages_seeds_and_leaves_holes():
    rows = [
        {"lcd_weight": a, "mid_weight": b, "accuracy": a + b + s}
        for a in (0, 0.1, 10)
        for b in (0.5, 1)
        for s in (-0.1, 0.1)
        if (a, b) != (10, 1)
    ]
    figure = plots.sensitivity_surface(rows)
    z = figure.data[0].z
    assert z[0][2] == pytest.approx(10.5)
    assert z[1][2] is None
    assert figure.layout.scene.xaxis.ticktext == ("0", "0.1", "10")
    assert (figure.data[1].x[0], figure.data[1].y[0]) == (2, 0)
    assert "1 combinations were not run" in caption(figure)
    assert "mean of up to 2 rows" in caption(figure)


def test_a_surface_over_one_weight_is_refused():
    rows = [{"lcd_weight": a, "mid_weight": 1, "accuracy": a} for a in (0, 1)]
    with pytest.raises(DataError, match="two values or more of both"):
        plots.sensitivity_surface(rows)


@pytest.mark.parametrize("num_classes", [4, 6])
def test_runs_side_by_side_share_classes_scale_and_camera(num_classes):
    runs = {NASTY: noisy(num_classes, each=4), "maple": noisy(num_classes, each=4, seed=1)}
    figure = plots.simplex_runs(runs)
    first, second = figure.layout.scene, figure.layout.scene2
    assert first.camera == second.camera
    assert first.xaxis.range == second.xaxis.range
    assert first.domain.x[1] < second.domain.x[0]
    assert {trace.scene for trace in figure.data} == {"scene", "scene2"}
    assert not any(trace.showlegend for trace in figure.data if trace.scene == "scene2")
    assert NASTY not in figure.to_json().replace("\\u003c", "<")


def test_runs_side_by_side_must_have_the_same_classes():
    other = noisy(4)
    other = Features(image=None, label=None, text=other.text, classnames=("a", "b", "c", "d"))
    with pytest.raises(ShapeError, match="run 'b' has other classes"):
        plots.simplex_runs({"a": noisy(4), "b": other})
    with pytest.raises(ShapeError, match="`runs` is empty"):
        plots.simplex_runs({})


def test_four_collapsed_classes_are_a_regular_tetrahedron_in_the_figure():
    figure = plots.simplex(collapsed(4, 64))
    arrows = [t for t in figure.data if t.mode == "lines+markers" and t.meta == "centred"]
    tips = torch.tensor([[t.x[1], t.y[1], t.z[1]] for t in arrows]).double()
    gaps = torch.pdist(tips)
    assert float((gaps - math.sqrt(8 / 3)).abs().max()) < 1e-6
