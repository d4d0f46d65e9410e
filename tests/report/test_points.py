"""Points of the figures: the measures' convention, and samples that leave no class out."""

# What is None where a test expects a tensor fails the test by itself.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportOptionalOperand=false, reportArgumentType=false

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.figures.points import (
    chosen_classes,
    even_quotas,
    points_of,
    spread_classes,
    stratified_rows,
)
from tests.report.cases import named, noisy


def test_means_are_of_unit_rows_and_not_normalised_again():
    features = noisy(5)
    points = points_of(features)
    unit = features.image.double() / features.image.double().norm(dim=1, keepdim=True)
    for k in range(5):
        assert_close(points.means[k], unit[features.label == k].mean(dim=0), atol=1e-6, rtol=0)
    assert_close(points.text.norm(dim=1), torch.ones(5).double())


def test_text_that_depends_on_the_image_is_averaged_over_images():
    features = noisy(3)
    each = features.text.expand(len(features.image), -1, -1).clone()
    varied = each + torch.randn(each.shape, generator=torch.Generator().manual_seed(0))
    found = points_of(
        Features(image=features.image, label=features.label, text=varied, classnames=named(3))
    ).text
    mean = (varied / varied.norm(dim=-1, keepdim=True)).double().mean(dim=0)
    assert_close(found, mean / mean.norm(dim=1, keepdim=True), atol=1e-6, rtol=0)


def test_images_without_labels_have_no_means():
    features = noisy(3)
    bare = Features(image=features.image, label=None, text=features.text, classnames=named(3))
    assert points_of(bare).means is None


def test_refuses_features_with_nothing_to_draw():
    features = noisy(3)
    bare = Features(image=features.image, label=None, text=None, classnames=named(3))
    with pytest.raises(ShapeError, match="no text features, and images of fewer than two classes"):
        points_of(bare)


@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8), total=st.integers(0, 120))
def test_quotas_use_all_there_is_and_are_as_even_as_it_allows(sizes, total):
    quotas = even_quotas(sizes, total)
    assert sum(quotas) == min(total, sum(sizes))
    assert all(quota <= size for quota, size in zip(quotas, sizes, strict=True))
    short = [q for q, size in zip(quotas, sizes, strict=True) if q < size]
    assert not short or max(short) - min(short) <= 1
    whole = [q for q, size in zip(quotas, sizes, strict=True) if q == size]
    assert not short or not whole or max(whole) <= max(short)


def test_a_rare_class_is_drawn_whole_beside_a_frequent_one():
    label = torch.tensor([0] * 500 + [1] * 5 + [-1] * 20)
    rows = stratified_rows(label, [0, 1], max_points=100)
    assert len(rows) == 100
    assert (label[rows] == 1).sum() == 5
    assert (label[rows] >= 0).all()
    assert rows.equal(rows.unique())


def test_the_seed_decides_which_images_are_drawn():
    label = torch.arange(4).repeat(50)
    drawn = [stratified_rows(label, range(4), max_points=40, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])


def test_four_classes_stand_for_many_evenly():
    assert spread_classes(1000, 4) == [0, 333, 666, 999]
    assert spread_classes(5, 4) == [0, 1, 3, 4]
    assert spread_classes(3, 4) == [0, 1, 2]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([0], "at least 2 classes, each once"),
        ([0, 0], "at least 2 classes, each once"),
        ([0, 9], r"must lie in 0..4; got \[9\]"),
        ([0, -1], r"must lie in 0..4; got \[-1\]"),
    ],
)
def test_refuses_classes_that_are_not_there(classes, message):
    with pytest.raises(ShapeError, match=message):
        chosen_classes(points_of(noisy(5)), classes, most=12)


def test_a_class_without_a_vector_is_passed_over_or_refused_by_name():
    features = noisy(4, counts=[5, 0, 5, 5])
    points = points_of(
        Features(image=features.image, label=features.label, text=None, classnames=named(4))
    )
    assert chosen_classes(points, None, most=12) == [0, 2, 3]
    with pytest.raises(ShapeError, match=r"no vector .* for class 1"):
        chosen_classes(points, [0, 1], most=12)
