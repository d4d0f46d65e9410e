"""Points of the figures: the measures' convention, and samples that leave no class out."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.figures.heat import cells
from ncscope.figures.points import (
    Points,
    chosen_classes,
    cluster_order,
    even_quotas,
    points_of,
    samples_along,
    spread_classes,
    stratified_rows,
)
from ncscope.metrics.rows import pairwise_cosines
from tests.made_features import named, noisy
from tests.shapes import normal, unit_rows

# What is None where a test expects a tensor fails the test by itself.
# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false
# pyright: reportOptionalOperand=false, reportArgumentType=false


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


def labelled(label, image=None):
    """Points that have these labels."""
    return Points((), None, None, torch.zeros(0), image, label)


def test_rows_of_classes_are_found_from_one_sorting():
    label = torch.tensor([2, 0, -1, 2, 0, 5, 2])
    points = labelled(label)
    assert [rows.tolist() for rows in points.rows_of([2, 1, 0, 5])] == [[0, 3, 6], [], [1, 4], [5]]
    assert [rows.tolist() for rows in labelled(None).rows_of([0])] == [[]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_samples_along_axes_are_products_of_unit_rows(dtype):
    """Of all rows, of some, and of one whose squares are out of range."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(5000, 8, generator=generator).to(dtype)
    if dtype == torch.float64:
        image[7] *= 1e-200
    points, columns = labelled(None, image), torch.randn(8, 3, generator=generator).double()
    for rows in (torch.arange(5000), torch.arange(1, 5000, 3), torch.tensor([7])):
        chosen = image[rows].double()
        chosen = chosen / chosen.abs().amax(dim=1, keepdim=True)
        wanted = chosen / chosen.norm(dim=1, keepdim=True) @ columns
        got = samples_along(points, rows, columns)
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


def test_a_rare_class_is_drawn_whole_beside_a_frequent_one():
    label = torch.tensor([0] * 500 + [1] * 5 + [-1] * 20)
    rows = stratified_rows(labelled(label), [0, 1], max_points=100)
    assert len(rows) == 100
    assert (label[rows] == 1).sum() == 5
    assert (label[rows] >= 0).all()
    assert rows.equal(rows.unique())


def test_the_seed_decides_which_images_are_drawn():
    label = torch.arange(4).repeat(50)
    drawn = [
        stratified_rows(labelled(label), range(4), max_points=40, seed=seed) for seed in (0, 0, 1)
    ]
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


def test_alike_classes_become_neighbours():
    families = unit_rows(4, 16)
    member = torch.arange(4).repeat(5)  # 0 1 2 3 0 1 2 3 ...
    order = cluster_order(pairwise_cosines(families[member] + 0.05 * normal(20, 16)))
    found = member[order].tolist()
    assert sum(a != b for a, b in pairwise(found)) == 3


def test_classes_without_vectors_come_last():
    cosines = pairwise_cosines(unit_rows(5, 8))
    cosines[2] = cosines[:, 2] = torch.nan
    order = cluster_order(cosines)
    assert order[-1] == 2
    assert sorted(order) == list(range(5))


def test_few_classes_are_drawn_one_by_one_in_order():
    matrix = normal(4, 4)
    found = cells(matrix, [2, 0, 3, 1], most=4, own_pairs=False)
    assert not found.binned
    assert found.values[0, 1] == matrix[2, 0]
    assert found.groups == [[2], [0], [3], [1]]


@pytest.mark.parametrize("own_pairs", [False, True])
def test_a_block_is_the_mean_over_its_pairs(own_pairs):
    matrix, order = normal(11, 11), [3, 1, 4, 10, 5, 9, 2, 6, 8, 7, 0]
    matrix[3, 4] = torch.nan
    found = cells(matrix, order, most=4, own_pairs=own_pairs)
    assert found.binned
    assert [k for group in found.groups for k in group] == order
    for a, rows in enumerate(found.groups):
        for b, columns in enumerate(found.groups):
            values = [matrix[i, j].item() for i in rows for j in columns if own_pairs or i != j]
            kept = [v for v in values if v == v]
            assert found.values[a, b].item() == pytest.approx(sum(kept) / len(kept))


def test_refuses_an_order_of_other_classes():
    with pytest.raises(ShapeError, match=r"`order` must hold each of 0\.\.3 once"):
        cells(normal(4, 4), [0, 1, 2, 2], most=10, own_pairs=False)
    with pytest.raises(ShapeError, match=r"`matrix` must be \(K, K\); got \(3, 4\)"):
        cells(normal(3, 4), [0, 1, 2], most=10, own_pairs=False)
