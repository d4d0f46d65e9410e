"""Nearest centres decided by one product, against all distances one by one."""

import pytest
import torch
from torch import Tensor

from ncscope.metrics import SampleAccumulator, class_moments, margins, normalise_rows
from ncscope.metrics import nearest as nearest_centres
from ncscope.metrics.margin import boundary_distances
from ncscope.metrics.nearest import Centres
from ncscope.metrics.variability import whitening_if_any
from tests.shapes import random_rows


def decided(rows: Tensor, own: Tensor, means: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    moments = class_moments(means, torch.arange(len(means)), len(means))
    white = whitening_if_any(moments)
    centres = Centres(means - means.mean(dim=0), white)
    residuals = rows - means[own].to(rows)
    met = residuals @ white.matrix.to(rows) if white.rank < rows.shape[1] else residuals
    found, agree = centres.decide(met, residuals.square().sum(dim=1), own, chosen)
    assert agree is not None
    return found, agree


def by_distances(rows: Tensor, classes: Tensor, means: Tensor) -> Tensor:
    """Whether each row's class is among those whose mean is nearest, one distance at a time."""
    found = []
    for row, place in zip(rows, classes.tolist(), strict=True):
        distances = [float((row - mean).square().sum()) for mean in means]
        found.append(distances[place] <= min(distances) * (1 + 1e-12))
    return torch.tensor(found)


@pytest.mark.parametrize("width", [4, 30])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_decisions_are_those_of_all_distances(width, shift):
    means = random_rows(12, width) + shift
    own, chosen = torch.arange(200) % 12, torch.arange(200) * 7 % 12
    rows = means[own] + 3 * random_rows(200, width, seed=1)
    found, agree = decided(rows, own, means, chosen)
    assert torch.equal(found, by_distances(rows, own, means))
    assert torch.equal(agree, by_distances(rows, chosen, means))
    assert 0 < int(found.sum()) < 200
    assert 0 < int(agree.sum()) < 200


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_centres_are_both_nearest_and_what_is_close_is_looked_at_again(monkeypatch, dtype):
    means = random_rows(9, 20)
    means[4] = means[2]
    means[7] = means[6]
    own = torch.tensor([2, 4, 6, 7]).repeat(5)
    rows = means[own] + 2 * random_rows(20, 20, seed=1)
    twin = torch.tensor([0, 1, 4, 3, 2, 5, 7, 6, 8])
    unsure = []
    exact = nearest_centres.Distances.of

    def counted(self, places, wanted):
        unsure.append(len(places))
        return exact(self, places, wanted)

    monkeypatch.setattr(nearest_centres.Distances, "of", counted)
    found, agree = decided(rows.to(dtype), own, means, twin[own])
    assert torch.equal(found, agree)
    assert torch.equal(found, by_distances(rows, own, means))
    assert 0 < int(found.sum()) < 20
    assert sum(unsure) >= int(found.sum())


def test_the_sweep_gathers_the_margins_of_a_pass_of_their_own():
    text, label = random_rows(15, 8), torch.arange(90) % 14  # a class without images
    image = text[label] + random_rows(90, 8, seed=1)
    label[5] = -1
    sweep = SampleAccumulator(
        class_moments(normalise_rows(image), label, 15), text=text, margins=True
    )
    sweep.update(image[:40], label[:40])
    sweep.update(image[40:], label[40:])
    found = sweep.compute()
    units, rivals = normalise_rows(image), normalise_rows(text)
    ahead, boundary = margins(units, label, rivals), boundary_distances(units, label, rivals)
    columns = (found.margins, found.margin_squares, found.boundaries)
    for column, values in zip(columns, (ahead, ahead.square(), boundary), strict=True):
        assert column is not None
        for place in range(14):
            assert float(column[place]) == pytest.approx(float(values[label == place].mean()))
        assert column[14].isnan()
    plain = SampleAccumulator(class_moments(units, label, 15), text=text)
    plain.update(image, label)
    assert plain.compute().margins is None
