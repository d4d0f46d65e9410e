import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ncscope.metrics import alignment, modality_gap, modality_gap_samples, uniformity
from tests import reference
from tests.shapes import noisy_samples, random_rotation, random_rows, unit_rows


def test_gap_is_the_distance_of_the_centres():
    text, means = random_rows(5, 7), random_rows(5, 7, seed=1)
    expected = np.linalg.norm(text.numpy().mean(axis=0) - means.numpy().mean(axis=0))
    assert modality_gap(text, means).item() == pytest.approx(expected)
    assert_close(modality_gap(text, text + 3.0), torch.tensor(3 * math.sqrt(7)).double())
    assert modality_gap(text, text.flip(0)).item() == pytest.approx(0, abs=1e-12)
    rotation = random_rotation(7)
    assert modality_gap(text @ rotation, means @ rotation).item() == pytest.approx(expected)


def test_gap_of_opposite_points_is_two():
    text = unit_rows(1, 4).repeat(3, 1)
    assert modality_gap(text, -text).item() == pytest.approx(2)


def test_only_the_gap_over_samples_is_pulled_to_head_classes():
    means, text = unit_rows(3, 6), unit_rows(3, 6, seed=1)
    features, _ = noisy_samples(means, [90, 9, 1], 0)
    weighted = (90 * means[0] + 9 * means[1] + means[2]) / 100
    expected = (weighted - text.mean(dim=0)).norm()
    assert_close(modality_gap_samples(features, text), expected)
    assert abs(expected - modality_gap(text, means)) > 0.1


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_alignment_is_the_class_balanced_loop(alpha):
    features, labels = noisy_samples(unit_rows(4, 6), [5, 1, 9, 30], 0.3)
    text = unit_rows(4, 6, seed=2)
    distances = np.linalg.norm(features.numpy() - text.numpy()[labels.numpy()], axis=1)
    expected = reference.class_balanced(distances**alpha, labels.numpy())
    assert alignment(features, labels, text, alpha=alpha).item() == pytest.approx(expected)


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_uniformity_is_the_loop_over_pairs(t):
    rows = unit_rows(40, 6)
    expected = reference.uniformity(rows.numpy(), t)
    assert uniformity(rows, t=t).item() == pytest.approx(expected)
    assert -4 * t <= expected <= 0


def test_uniformity_does_not_see_its_blocks():
    rows = unit_rows(3000, 4).float()  # three blocks
    squared = torch.cdist(rows.double(), rows.double()).square()
    total = (-2 * squared).exp().sum() - 3000
    expected = math.log(total.item() / (3000 * 2999))
    assert uniformity(rows).item() == pytest.approx(expected, rel=1e-5)


def test_uniformity_of_equal_rows_is_its_largest_value():
    rows = unit_rows(1, 9).repeat(5, 1)
    assert uniformity(rows).item() == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.cat([rows[:1], -rows[:1]])).item() == pytest.approx(-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    features, labels = noisy_samples(unit_rows(4, 6), 5, 0.3)
    half, text = features.to(dtype), unit_rows(4, 6, seed=2).to(dtype)
    found, expected = (
        [
            uniformity(rows),
            alignment(rows, labels, others),
            modality_gap(rows[:4], others),
            modality_gap_samples(rows, others),
        ]
        for rows, others in ((half, text), (half.float(), text.float()))
    )
    assert all(value.dtype == torch.float32 for value in found)
    assert_close(found, expected, rtol=0, atol=0)


def test_undefined_rows_are_never_read_as_numbers():
    rows = unit_rows(5, 6)
    rows[1, 2] = math.nan
    labels = torch.arange(5)
    assert uniformity(rows).isnan()
    assert modality_gap(rows, unit_rows(5, 6)).isnan()
    assert alignment(rows, labels, unit_rows(5, 6)).isnan()
