"""A common scale, however large or small, changes no measure that is free of it."""

import pytest
import torch
from torch.testing import assert_close

import ncscope.metrics as metrics
from ncscope.errors import ShapeError

# What is None where a test expects a tensor fails the test by itself.
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false

FREE = {
    "delta_lcd": metrics.delta_lcd,
    "delta_lcd centred": lambda t: metrics.delta_lcd(t, centred=True),
    "etf_distance": metrics.etf_distance,
    "equinorm": metrics.equinorm,
    "equiangular": metrics.equiangular,
    "gnc2": lambda t: metrics.gnc2(t)[0],
    "participation_ratio": metrics.participation_ratio,
    "effective_rank": metrics.effective_rank,
    "self_duality": lambda t: metrics.self_duality(t.flip(0), t),
    "cka": lambda t: metrics.cka_distance(t.flip(0), t),
    "cross": lambda t: metrics.cross_etf_distance(image_means=t.flip(0), text=t),
    "unc3": lambda t: metrics.unc3(image_means=t.flip(0), text=t),
    "hierarchy": lambda t: metrics.hierarchy_retention(t, t / torch.arange(1.0, 9)),
}


def vectors():
    return torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) + 0.5


@pytest.mark.parametrize("scale", [1e20, 1e-24, 2e37, 1e-36])
@pytest.mark.parametrize("name", FREE)
def test_scale_free_measures_do_not_see_a_scale(name, scale):
    assert_close(FREE[name](vectors() * scale), FREE[name](vectors()), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e20, 1e-24])
def test_scale_free_measures_have_their_gradient_at_any_scale(scale):
    plain, scaled = vectors().requires_grad_(), (vectors() * scale).requires_grad_()
    metrics.delta_lcd(plain, power=2, centred=True).backward()
    metrics.delta_lcd(scaled, power=2, centred=True).backward()
    assert_close(scaled.grad.double() * scale, plain.grad.double(), rtol=1e-4, atol=1e-7)


def test_one_row_of_another_magnitude_keeps_its_direction():
    rows = vectors()
    mixed = rows * torch.tensor([1.0, 1e20, 1e-24, 1.0, 1e-38]).unsqueeze(1)
    assert_close(metrics.normalise_rows(mixed)[:4], metrics.normalise_rows(rows)[:4])
    assert metrics.normalise_rows(torch.zeros(2, 3)).isnan().all()


@pytest.mark.parametrize("scale", [1e20, 1e-24])
def test_sweeps_as_given_see_the_same_shares_at_any_magnitude(scale):
    rows = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    label = torch.arange(30) % 5
    plain, scaled = (metrics.decisions(rows * k, label, vectors() * k) for k in (1.0, scale))
    assert_close(scaled.nc1, plain.nc1, rtol=1e-5, atol=0)
    assert_close(scaled.spreads, plain.spreads * scale**2, rtol=1e-5, atol=0)
    assert torch.equal(scaled.correct, plain.correct)


def test_class_means_that_differ_by_rounding_have_no_nc1():
    noise = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    rows, label = 1 + 1e-7 * noise, torch.arange(40) % 5
    sweep = metrics.MomentsAccumulator(5, 8)
    sweep.update(rows, label)
    with pytest.raises(ShapeError, match="the rounding of"):
        metrics.whitening(sweep.compute())
    second = metrics.SampleAccumulator(sweep.compute(), text=vectors())
    second.update(rows, label)
    found = second.compute()
    assert found.nc1.isnan()
    assert found.nc4.isnan()
    assert found.correct.isfinite().all()
