"""The float64 truths of twelve hard inputs, and what other tools make of them by their formulas.

Samples in 64 dimensions, stored in float32, 200 a class around the unit rows of a simplex ETF of
10 classes, noise 0.1 a coordinate, unless said. The stated numbers come from single draws of the
same distributions, so each has a band: a few standard deviations over draws.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    cdnv,
    class_moments,
    delta_lcd,
    equinorm,
    etf_distance,
    etf_distance_floor,
    nc1,
    under_convention,
    whitening,
)
from ncscope.metrics.rows import off_diagonal, pairwise_cosines
from tests import reference
from tests.shapes import noisy_samples, simplex_etf, unit_rows

ETF = simplex_etf(10, 64)
LONG_TAIL = [2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2]


def replaced(index: int, row: Tensor) -> Tensor:
    rows = ETF.clone()
    rows[index] = row
    return rows


@dataclass(frozen=True)
class Case:
    """A distribution of samples, the stated NC1 of it, and how far one draw may be from that."""

    means: Tensor
    nc1: float
    band: float
    counts: list[int] | int = 200
    noise: float = 0.1
    shift: float = 0.0

    def draw(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        features, labels = noisy_samples(self.means, self.counts, self.noise, seed=seed + 100)
        return (features + self.shift).float(), labels


CASES = {
    "A exact ETF": Case(ETF, 0, 1e-13, noise=0),
    "B ETF with noise": Case(ETF, 0.0810, 0.004),
    "C orthonormal frame": Case(torch.eye(64).double()[:10], 0.0892, 0.005),
    "D shifted by 1000": Case(ETF, 0.0806, 0.004, shift=1000),
    "E long tail": Case(ETF, 0.071, 0.009, counts=LONG_TAIL),
    "F nine of ten classes": Case(ETF[:9], 0.0718, 0.004),
    "G two antipodal classes": Case(simplex_etf(2, 64), 0.004604, 0.001),
    "H one antipodal pair": Case(replaced(1, -ETF[0]), 0.4062, 0.1),
    "I more classes than D": Case(unit_rows(200, 64), 0.2791, 0.02, counts=20),
    "J two equal means": Case(replaced(1, ETF[0]), 2.776, 1.6),
    "K condition 1e6": Case(
        ETF * torch.logspace(0, -3, 10).double().unsqueeze(1), 0.004764, 0.0006, noise=1e-4
    ),
    "L one class of one sample": Case(ETF, 0.0755, 0.006, counts=[200] * 9 + [1]),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def draw(letter: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    return next(case for name, case in CASES.items() if name[0] == letter).draw(seed)


@every_case
@pytest.mark.parametrize("seed", [0, 1])
def test_nc1_is_the_float64_reference_and_in_the_band_of_the_truth(case, seed):
    features, labels = case.draw(seed)
    num_classes = len(case.means)
    found = nc1(features, labels, num_classes).item()
    assert found == pytest.approx(case.nc1, abs=case.band)
    kept = labels < (9 if case is CASES["L one class of one sample"] else num_classes)
    f, y = features.double().numpy(), labels.numpy()
    means = reference.class_means(f, y, num_classes)
    between = reference.between_scatter(means, means.mean(axis=0))
    inverse = np.linalg.pinv(between, rcond=1e-12, hermitian=True)
    shares = np.einsum("nd,de,ne->n", f - means[y], inverse, f - means[y])[kept]
    expected = reference.class_balanced(shares, y[kept]) / num_classes
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-14)


def test_long_tail_averages_to_its_truth_over_draws():
    draws = [draw("E", seed) for seed in range(20)]
    ours = np.mean([nc1(f, y, 10).item() for f, y in draws])
    assert ours == pytest.approx(0.0715, abs=0.002)
    parts = [(f.double().numpy(), y.numpy()) for f, y in draws]
    over_samples = np.mean([reference.nc1(f, y, 10, balanced=False) for f, y in parts])
    assert over_samples == pytest.approx(0.0780, abs=0.001)


def test_a_between_scatter_weighted_by_samples_moves_nc1_thirty_fold():
    # What is stated as the sample-weighted truth of case E. No tool in the table weighs so: they
    # take the sample mean as centre, and still sum over classes, which moves NC1 little.
    features, labels = draw("E")
    f, y = features.double().numpy(), labels.numpy()
    means, weights = reference.class_means(f, y, 10), np.bincount(y) / len(y)
    offsets = means - weights @ means
    within = np.average(reference.covariances(f, y, 10), axis=0, weights=weights)
    between = (offsets * weights[:, None]).T @ offsets
    weighted = np.trace(within @ np.linalg.pinv(between, rcond=1e-10, hermitian=True)) / 10
    assert weighted == pytest.approx(2.405, abs=0.5)
    for name in ("tding1", "nc_loss", "nc-toolbox"):
        found = under_convention(name, features, labels, ETF)
        assert found["nc1"].item() == pytest.approx(0.0716, abs=0.005)


def test_an_empty_class_is_left_out_and_not_a_zero_vector():
    features, labels = draw("F")
    moments = class_moments(features, labels, 10)  # class 9 has no samples
    assert_close(nc1(features, labels, 10), nc1(features, labels, 9))
    geometry = etf_distance(moments.means[moments.present], centred=True).item()
    assert 0.01 < geometry < 0.06  # a zero vector in its place makes it 0.335
    with_zero = torch.nan_to_num(moments.means)
    assert etf_distance(with_zero, centred=True).item() == pytest.approx(0.335, abs=0.02)


def test_two_antipodal_classes_are_an_etf_by_construction():
    features, labels = draw("G")
    means = class_moments(features, labels, 2).means
    for measure in (etf_distance, delta_lcd, equinorm):
        assert measure(means, centred=True).item() == pytest.approx(0, abs=1e-12)


def test_signed_equiangularity_is_blind_where_the_absolute_one_sees():
    features, labels = draw("H")
    signed = under_convention("nc-toolbox", features, labels, CASES["H one antipodal pair"].means)
    absolute = under_convention("papyan", features, labels, CASES["H one antipodal pair"].means)
    assert signed["equiangular"].item() == pytest.approx(0.00037, abs=0.0001)
    assert absolute["equiangular"].item() == pytest.approx(0.0766, abs=0.003)
    means = class_moments(features, labels, 10).means
    assert_close(absolute["equiangular"], delta_lcd(means, centred=True))
    assert etf_distance(means, centred=True).item() == pytest.approx(0.399, abs=0.012)


def test_more_classes_than_dimensions_need_the_floor():
    features, labels = draw("I")
    means = class_moments(features, labels, 200).means
    assert etf_distance(means, centred=True).item() == pytest.approx(1.0, abs=0.02)
    assert etf_distance_floor(200, 64) == pytest.approx(0.931, abs=0.001)
    for variant in ("papyan", "svd"):
        with pytest.raises(ShapeError, match=r"has rank 64 \(at most 64\); 199 directions"):
            nc1(features, labels, 200, variant=variant)
    with pytest.raises(ShapeError, match=r"rank K - 1 = 199 is forced, but D = 64 is smaller"):
        under_convention("papyan", features, labels, unit_rows(200, 64))


def test_two_equal_means_show_in_the_condition_and_in_cdnv():
    features, labels = draw("J")
    assert whitening(class_moments(features, labels, 10)).condition > 30
    separated = draw("B")
    assert cdnv(class_moments(features, labels, 10)) > 5 * cdnv(class_moments(*separated, 10))


def test_a_spread_of_norms_keeps_all_directions():
    features, labels = draw("K")
    white = whitening(class_moments(features, labels, 10))
    assert white.rank == 9
    # A float32 pseudo-inverse cuts at 64 eps of the largest eigenvalue: it returned 0.000875.
    assert 1 / white.condition < 64 * torch.finfo(torch.float32).eps
    svd = nc1(features, labels, 10, variant="svd")
    assert_close(svd, nc1(features, labels, 10))


def test_a_class_of_one_sample_leaves_no_nan():
    features, labels = draw("L")
    assert cdnv(class_moments(features, labels, 10)).isfinite()
    found = under_convention("nc-toolbox", features, labels, ETF)["cdnv"]
    assert found.isnan()  # divides by N_c - 1 = 0


@pytest.mark.parametrize(
    ("letter", "tool", "name", "stated", "band"),
    [
        ("B", "rhubarb", "nc1", 0.0810, 0.003),
        ("B", "kowalski", "nc1", 0.0279, 0.0003),
        ("B", "papyan", "nc1", 0.8096, 0.03),
        ("B", "rhubarb", "nc3", 0.0198, 0.004),
        ("B", "nc-toolbox", "nc3", 0.0524, 0.006),
        ("B", "papyan", "nc3", 0.00275, 0.0006),
        ("C", "papyan", "nc1", 0.892, 0.04),
        ("C", "kowalski", "etf_error", 0.320, 0.001),
        ("C", "tding1", "etf_error", 0.320, 0.001),
        ("C", "nc_loss", "etf_error", 0, 1e-12),
        ("D", "kowalski", "nc1", 0.0279, 0.0003),
        ("E", "kowalski", "nc1", 0.0152, 0.0003),
        ("E", "papyan", "nc1", 0.780, 0.03),
        ("E", "rhubarb", "nc3", 0.099, 0.03),
        ("E", "kowalski", "nc3", 0.493, 0.04),
        ("G", "kowalski", "nc1", 0.1575, 0.001),
        ("G", "nc-toolbox", "nc1", 0.004604, 0.001),
        ("G", "papyan", "nc1", 0.0092, 0.002),
        ("H", "kowalski", "nc1", 0.0282, 0.0003),
        ("I", "kowalski", "nc1", 0.0067, 0.0003),
        ("J", "kowalski", "nc1", 0.0283, 0.0003),
        ("L", "kowalski", "nc1", 0.0314, 0.0003),
    ],
)
def test_formulas_of_the_peers_give_their_numbers(letter, tool, name, stated, band):
    case = next(case for key, case in CASES.items() if key[0] == letter)
    features, labels = case.draw()
    found = under_convention(tool, features, labels, case.means)[name]
    assert found.item() == pytest.approx(stated, abs=band)


def test_total_scatter_falls_with_the_number_of_samples():
    for per_class, stated in ((20, 0.277), (200, 0.0279), (2000, 0.00279)):
        features, labels = noisy_samples(ETF, per_class, 0.1)
        found = under_convention("kowalski", features, labels, ETF)["nc1"].item()
        assert found == pytest.approx(stated, rel=0.01)


def test_cosines_of_the_exact_etf_survive_float32():
    features, labels = draw("A")
    cosines = off_diagonal(pairwise_cosines(class_moments(features, labels, 10).means))
    assert cosines.tolist() == pytest.approx([-1 / 9] * 90, abs=1e-6)
