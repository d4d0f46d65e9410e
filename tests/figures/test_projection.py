"""The three-dimensional view: exact where it says so, and honest about what it leaves out."""

# What is None where a test expects a tensor fails the test by itself.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportOptionalOperand=false, reportArgumentType=false

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.figures.points import points_of
from ncscope.figures.projection import (
    fit_basis,
    principal_axes,
    procrustes,
    project,
    regular_simplex,
)
from ncscope.figures.scene import shades_of, shared_basis
from tests.made_features import named, noisy
from tests.shapes import normal, random_rotation, simplex_etf, unit_rows

FORMS = [True, False]


def text_only(rows):
    return points_of(Features(image=None, label=None, text=rows, classnames=named(len(rows))))


def test_shades_of_more_classes_than_have_pairs_follow_the_widest_direction(monkeypatch):
    monkeypatch.setattr("ncscope.figures.scene.MOST_PAIRED", 20)
    steps = torch.tensor([3.0, -1, 7, 2, 9, -5]).repeat(5) + torch.arange(30) / 100
    rows = torch.stack([torch.ones(30), steps, 0.01 * torch.ones(30)], dim=1).double()
    shades = torch.tensor(shades_of(text_only(rows), range(30)))
    along = torch.nn.functional.normalize(rows, dim=1)[:, 1]
    expected = along.argsort().argsort() / 29
    assert min((shades - expected).abs().max(), (1 - shades - expected).abs().max()) < 1e-6


def view_of(points, *, centred=True, classes=None, basis=None):
    classes = range(len(points.names)) if classes is None else classes
    basis = shared_basis([points], list(classes)) if basis is None else basis
    return project(points, basis, classes, centred=centred)


@pytest.mark.parametrize("centred", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_classes", "width"), [(4, 3), (4, 512), (3, 2), (3, 64), (2, 2)])
def test_an_exact_simplex_is_drawn_as_the_regular_simplex(num_classes, width, dtype, centred):
    rows = 7 * simplex_etf(num_classes, width, seed=3)
    view = view_of(text_only(rows.to(dtype)), centred=centred)
    edges = torch.pdist(view.text)
    side = math.sqrt(2 * num_classes / (num_classes - 1))
    assert_close(edges, torch.full_like(edges, side), atol=1e-6, rtol=0)
    assert_close(view.text, view.frame, atol=1e-6, rtol=0)
    assert view.shares["text"] == pytest.approx(1)


@pytest.mark.parametrize("num_classes", [2, 3, 4])
def test_up_to_four_centred_vectors_keep_all_lengths_and_angles(num_classes):
    rows = unit_rows(num_classes, 40, seed=1)
    view = view_of(text_only(rows))
    centred = rows - rows.mean(dim=0)
    assert_close(view.text @ view.text.T, centred @ centred.T)


def test_what_lies_in_the_span_keeps_all_distances():
    basis = fit_basis(unit_rows(4, 30, seed=2))
    inside = normal(20, 3) @ torch.linalg.pinv(basis.centred)
    assert_close(torch.pdist(inside @ basis.centred), torch.pdist(inside))


def test_three_classes_lie_in_a_plane_and_two_on_a_line():
    assert view_of(text_only(unit_rows(3, 9))).text[:, 2].abs().max() < 1e-12
    assert view_of(text_only(unit_rows(2, 9))).text[:, 1:].abs().max() < 1e-12


@pytest.mark.parametrize(("count", "axes"), [(4, 3), (3, 2), (2, 1)])
def test_procrustes_only_turns_or_reflects(count, axes):
    turn = procrustes(normal(count, axes), regular_simplex(count))
    assert_close(turn @ turn.T, torch.eye(axes).double())


@given(seed=st.integers(0, 10_000))
def test_procrustes_finds_the_turn_that_was_made(seed):
    target = regular_simplex(4)
    turn = random_rotation(3, seed=seed)
    assert_close(procrustes(target @ turn.T, target), turn)


def test_no_other_turn_brings_the_vectors_nearer_to_the_simplex():
    coordinates, target = normal(4, 3), regular_simplex(4)
    best = (coordinates @ procrustes(coordinates, target) - target).norm()
    for seed in range(200):
        assert best <= (coordinates @ random_rotation(3, seed=seed) - target).norm()


@pytest.mark.parametrize("shape", [(40, 30), (20, 60)])
def test_principal_axes_are_the_leading_singular_vectors(shape):
    rows = normal(*shape)
    axes = principal_axes(rows)
    _, _, right = np.linalg.svd(rows.numpy(), full_matrices=False)
    expected = torch.from_numpy(right[:3].T)
    assert_close((axes.T @ expected).abs(), torch.eye(3).double(), atol=1e-9, rtol=0)
    assert ((rows @ axes).max(dim=0).values > -(rows @ axes).min(dim=0).values).all()


@pytest.mark.parametrize("centred", FORMS)
@pytest.mark.parametrize("num_classes", [4, 7, 20])
def test_shares_are_those_of_numpy(num_classes, centred):
    features = noisy(num_classes, 24, counts=[3 + k % 5 for k in range(num_classes)])
    points = points_of(features)
    basis = shared_basis([points], range(num_classes))
    shares = project(points, basis, range(num_classes), centred=centred).shares
    axes = (basis.centred if centred else basis.raw).numpy()

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    text, image = unit(features.text.double().numpy()), unit(features.image.double().numpy())
    label = features.label.numpy()
    means = np.stack([image[label == k].mean(axis=0) for k in range(num_classes)])
    middle = [side.mean(axis=0) if centred else 0 for side in (text, means)]

    def ratio(groups):
        shown = np.mean([np.mean(np.sum((g @ axes) ** 2, axis=1)) for g in groups])
        return shown / np.mean([np.mean(np.sum(g**2, axis=1)) for g in groups])

    assert shares["text"] == pytest.approx(ratio([text - middle[0]]))
    assert shares["means"] == pytest.approx(ratio([means - middle[1]]))
    classes = [image[label == k] - middle[1] for k in range(num_classes)]
    assert shares["images"] == pytest.approx(ratio(classes))


def test_only_the_raw_view_shows_the_gap_between_modalities():
    shape, gap = simplex_etf(4, 32, seed=5), 3 * unit_rows(1, 32, seed=6)
    label = torch.arange(4).repeat_interleave(3)
    offset = shape + gap
    features = Features(image=offset[label], label=label, text=shape - gap, classnames=named(4))
    points = points_of(features)
    centred, raw = view_of(points), view_of(points, centred=False)
    assert (centred.means.mean(dim=0) - centred.text.mean(dim=0)).norm() < 1e-9
    assert (raw.means.mean(dim=0) - raw.text.mean(dim=0)).norm() > 1.5


def test_the_cone_stands_upright_in_the_raw_view():
    rows = unit_rows(6, 32, seed=1) + 3 * unit_rows(1, 32, seed=2)
    text = view_of(text_only(rows), centred=False).text
    assert (text[:, 2] > 0.9).all()


def test_more_than_four_classes_have_no_frame():
    assert view_of(text_only(unit_rows(5, 9))).frame is None


def test_the_frame_has_the_mean_squared_length_of_the_vectors():
    rows = unit_rows(4, 12)
    frame = view_of(text_only(rows)).frame
    expected = (rows - rows.mean(dim=0)).square().sum(dim=1).mean()
    assert_close(frame.square().sum(dim=1), expected.expand(4))


@pytest.mark.parametrize("centred", FORMS)
def test_the_same_features_are_drawn_the_same_twice(centred):
    first, second = (view_of(points_of(noisy(7)), centred=centred) for _ in range(2))
    assert_close(first.text, second.text, rtol=0, atol=0)
    assert_close(first.samples, second.samples, rtol=0, atol=0)


def test_a_basis_of_one_run_draws_another_in_the_same_space():
    first, second = points_of(noisy(8, seed=1)), points_of(noisy(8, seed=2))
    basis = shared_basis([first], range(8))
    view = view_of(second, basis=basis)
    assert_close(view.text, (second.text - second.text.mean(dim=0)) @ basis.centred)


def test_axes_shared_by_runs_are_not_spent_on_the_offset_between_them():
    one = unit_rows(6, 20)
    runs = [text_only(one), text_only(one + 2 * unit_rows(1, 20, seed=9))]
    shares = [view_of(run, basis=shared_basis(runs, range(6))).shares["text"] for run in runs]
    own = view_of(runs[0]).shares["text"]
    assert min(shares) > 0.9 * own


def test_images_stand_in_where_there_is_no_text():
    features = noisy(4)
    alone = Features(image=features.image, label=features.label, text=None, classnames=named(4))
    view = view_of(points_of(alone))
    assert view.text is None
    assert view.frame is not None
    assert view.shares["means"] == pytest.approx(1)


def test_a_class_without_images_has_no_mean_in_the_picture():
    view = view_of(points_of(noisy(4, counts=[5, 0, 5, 5])))
    assert view.means[1].isnan().all()
    assert view.means[[0, 2, 3]].isfinite().all()
    assert view.text.isfinite().all()
    assert math.isfinite(view.shares["images"])


def test_equal_vectors_are_drawn_at_the_origin():
    view = view_of(text_only(torch.ones(3, 8).double()))
    assert view.text.abs().max() < 1e-12


def test_refuses_one_vector():
    with pytest.raises(ShapeError, match=r"`vectors` must be a floating \(K, D\) tensor"):
        fit_basis(torch.ones(1, 4))
