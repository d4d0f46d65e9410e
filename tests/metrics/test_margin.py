"""Margins, boundaries, recall, clusters and ranks against loops, closed forms and scikit-learn."""

import math

import pytest
import torch
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    boundary_distances,
    cluster_agreement,
    effective_rank,
    margins,
    recall_at,
    within_ranks,
)
from tests.shapes import normal, random_rotation, simplex_etf, unit_rows


def images(count: int = 30, classes: int = 5, width: int = 7):
    return unit_rows(count, width), torch.arange(count) % classes, unit_rows(classes, width, seed=1)


def test_margins_are_those_of_a_loop():
    rows, labels, text = images()
    for row, label, found in zip(rows, labels.tolist(), margins(rows, labels, text), strict=True):
        others = [float(row @ text[j]) for j in range(5) if j != label]
        assert float(found) == pytest.approx(float(row @ text[label]) - max(others))


def test_a_shift_of_the_boundary_distance_lands_on_the_boundary():
    """Right decisions hold for any shorter shift; the shift towards the rival ends in a tie."""
    rows, labels, text = images()
    for row, label, found in zip(
        rows, labels.tolist(), boundary_distances(rows, labels, text), strict=True
    ):
        ways = [
            (text[label] - text[j]) / (text[label] - text[j]).norm() for j in range(5) if j != label
        ]
        ends = [
            float(margins((row - found * way)[None], torch.tensor([label]), text)) for way in ways
        ]
        if found > 0:
            assert min(map(abs, ends)) < 1e-9
            turned = random_rotation(7)[:, 0] * float(found) * 0.999
            assert float(margins((row + turned)[None], torch.tensor([label]), text)) > 0


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_a_collapsed_simplex_has_the_margins_of_its_angles(classes):
    frame, label = simplex_etf(classes, 12), torch.arange(classes)
    ideal = torch.full((classes,), classes / (classes - 1), dtype=torch.float64)
    assert_close(margins(frame, label, frame), ideal)
    assert_close(boundary_distances(frame, label, frame), (ideal / 2).sqrt())


def test_signs_tell_right_from_wrong_and_twins_have_no_distance():
    rows, labels, text = images()
    right = (rows @ text.T).argmax(dim=1) == labels
    assert torch.equal(margins(rows, labels, text) > 0, right)
    assert torch.equal(boundary_distances(rows, labels, text) > 0, right)
    twins = text.clone()
    twins[1] = twins[0]
    assert float(boundary_distances(twins[:1], labels[:1], twins)) == 0
    assert boundary_distances(rows[:2], torch.tensor([-1, 0]), text).isnan().tolist() == [
        True,
        False,
    ]


def test_blocks_do_not_matter(monkeypatch):
    rows, labels, text = images()
    whole = margins(rows, labels, text), recall_at(rows, unit_rows(30, 7, seed=2), 5)
    monkeypatch.setattr("ncscope.metrics.margin._SCORES", 40)
    assert_close(margins(rows, labels, text), whole[0])
    assert_close(recall_at(rows, unit_rows(30, 7, seed=2), 5), whole[1])


def test_recall_is_that_of_a_sorted_list():
    rows, others = unit_rows(40, 6), unit_rows(40, 6) + 0.8 * unit_rows(40, 6, seed=3)
    for depth in (1, 5, 10):
        ranked = (rows @ others.T).argsort(dim=1, descending=True)[:, :depth]
        hits = sum(i in ranked[i].tolist() for i in range(40))
        assert float(recall_at(rows, others, depth)) == pytest.approx(hits / 40)
    assert float(recall_at(rows, others, 1)) != float(recall_at(others, rows, 1))


def test_texts_all_alike_recall_nothing_and_own_texts_everything():
    rows = unit_rows(20, 6)
    assert float(recall_at(rows, rows[:1].expand(20, -1), 10)) == 0
    assert float(recall_at(rows, rows, 1)) == 1
    with pytest.raises(ShapeError, match="pairs of one shape"):
        recall_at(rows, rows[:5], 1)


def test_clusters_are_the_classes_where_those_are_far_apart_and_not_where_labels_are_chance():
    label = torch.arange(60) % 4
    rows = 20 * simplex_etf(4, 6)[label] + normal(60, 6)
    assert cluster_agreement(rows, label) == (pytest.approx(1), pytest.approx(1))
    permuted = torch.tensor([2, 0, 3, 1])[label]
    assert cluster_agreement(rows, permuted) == (pytest.approx(1), pytest.approx(1))
    _, chance = cluster_agreement(normal(400, 6), torch.arange(400) % 4)
    assert abs(chance) < 0.05
    assert cluster_agreement(rows, label.masked_fill(label == 3, -1))[1] == pytest.approx(1)


def test_clusters_of_equal_images_have_a_number_without_a_warning():
    assert cluster_agreement(torch.ones(6, 3), torch.arange(6) % 2)[1] == 0


def test_ranks_within_are_those_of_each_class_alone():
    rows, label = normal(50, 9), torch.arange(50) % 4
    found = within_ranks(rows, label, 5)
    for k in range(4):
        assert float(found[k]) == pytest.approx(float(effective_rank(rows[label == k])))
    assert found[4].isnan()
    assert_close(within_ranks(rows * 1e-25, label, 5), found, equal_nan=True)


def test_a_class_that_varies_evenly_in_two_directions_has_rank_two():
    turns = 2 * math.pi * torch.arange(12).double() / 12
    rows = torch.stack([turns.cos(), turns.sin(), 3 + 0 * turns], dim=1)
    assert float(within_ranks(rows, torch.zeros(12, dtype=torch.int64), 2)[0]) == pytest.approx(2)
    assert within_ranks(rows[:1].expand(5, -1), torch.zeros(5, dtype=torch.int64), 2).isnan().all()
