"""Pairs in blocks: the numbers are those of one block, and of loops over pairs."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ncscope import metrics
from ncscope.errors import ShapeError
from ncscope.metrics import pairs, spectrum
from ncscope.metrics.one_pass import pairs_of
from tests import reference
from tests.shapes import random_rows, simplex_etf

IN_BLOCKS = pytest.mark.usefixtures("small_blocks")
FORMS = pytest.mark.parametrize("centred", [False, True])


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of seven rows, so that 40 classes in 5 dimensions are many."""
    monkeypatch.setattr(pairs, "BLOCK", 7)


def loop_over_pairs(rows: np.ndarray) -> dict[str, float]:
    """What `pair_geometry` says, pair by pair."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    size, width = rows.shape
    both = list(itertools.combinations(range(size), 2))
    cosines = np.array([units[a] @ units[b] for a, b in both])
    lengths = np.array([np.linalg.norm(units[a] - units[b]) for a, b in both])
    gaps, energies = cosines + 1 / (size - 1), lengths ** (2.0 - width)
    return {
        "cosine_mean": cosines.mean(), "cosine_std": cosines.std(), "cosine_min": cosines.min(),
        "cosine_max": cosines.max(), "min_angle": math.acos(cosines.max()),
        "equiangular": cosines.std(), "max_angle": np.abs(gaps).mean(),
        "cosine_p2": (gaps**2).mean(), "cosine_rms": math.sqrt((gaps**2).mean()),
        "orthogonality": (cosines**2).mean(),
        "uniformity": math.log(np.exp(-2 * lengths**2).mean()),
        "nearest_cosine": (units @ units.T - 9 * np.eye(size)).max(axis=1).mean(),
        "gnc2/log": (-np.log(lengths)).mean(), "gnc2/log_variance": np.log(lengths).var(),
        "gnc2/dist": lengths.mean(), "gnc2/dist_variance": lengths.var(),
        "gnc2/riesz_log": math.log(energies.mean()),
        "gnc2/riesz_log_variance": math.log(energies.var()),
    }  # fmt: skip


@FORMS
@pytest.mark.parametrize("size", [3, 7, 8, 40])
@IN_BLOCKS
def test_one_pass_is_the_loop_over_pairs(size, centred):
    rows = random_rows(size, 5) + 0.3
    plain = rows - rows.mean(dim=0) if centred else rows
    found = metrics.pair_geometry(rows, centred=centred)
    expected = loop_over_pairs(plain.numpy())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value, abs=1e-12, rel=1e-11), name


@pytest.mark.parametrize("longest", [1.0, 30.0, 1e5])
@IN_BLOCKS
def test_both_forms_of_one_pass_are_the_loops_whatever_the_lengths(longest):
    """Plain distances serve both where lengths are even, and each form has its own where not."""
    rows = random_rows(24, 5) + 0.3
    rows[3] *= longest
    rows[20] = 2 * rows[8]  # the same direction in another block
    rows[9] = rows[8] + 1e-5
    plain = []
    found = pairs_of(rows, plain=plain.append)
    for centred in (False, True):
        own = (rows - rows.mean(dim=0) if centred else rows).numpy()
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = loop_over_pairs(own)
        for name in ("cosine_std", "max_angle", "uniformity", "nearest_cosine", "gnc2/dist"):
            assert found.numbers[centred][name].item() == pytest.approx(expected[name], rel=1e-9)
        gaps = found.gaps[centred]
        assert gaps.mean().item() == pytest.approx(expected["max_angle"], rel=1e-9)
    assert found.numbers[False]["gnc2/log"].item() == math.inf
    for block in plain:
        exact = torch.cdist(rows[block.rows], rows[block.columns]).square()
        assert_close(block.values, exact, rtol=1e-9, atol=1e-9 * longest**2)
    assert found.neighbours is not None
    assert_close(found.neighbours.cosine, pairs.neighbours_of(rows).cosine)
    assert found.neighbours.which[8] in (9, 20)
    assert found.neighbours.twins == pairs.neighbours_of(rows).twins


@IN_BLOCKS
def test_an_etf_in_blocks_is_exact():
    found = metrics.pair_geometry(simplex_etf(30, 40))
    for name in ("max_angle", "cosine_rms", "equiangular", "gnc2/dist_variance"):
        assert found[name].item() == pytest.approx(0, abs=1e-14), name
    assert found["gnc2/log"].item() == pytest.approx(-math.log(60 / 29) / 2, abs=1e-14)


@IN_BLOCKS
def test_two_equal_rows_in_different_blocks_are_infinitely_near():
    rows = random_rows(20, 5)
    rows[17] = rows[2]
    found = metrics.pair_geometry(rows)
    assert found["gnc2/log"].item() == found["gnc2/riesz_log"].item() == math.inf
    assert found["cosine_max"].item() == 1
    assert found["min_angle"].item() == 0


@IN_BLOCKS
def test_a_row_without_direction_has_no_number():
    rows = random_rows(20, 5)
    rows[11] = 0
    assert all(value.isnan() for value in metrics.pair_geometry(rows).values())


MEASURES = {
    "etf_distance": lambda g, _: metrics.etf_distance(g, centred=True),
    "cross": lambda g, h: metrics.cross_etf_distance(image_means=h, text=g),
    "lcd": lambda g, _: metrics.delta_lcd(g, power=2, centred=True),
    "lcd rms": lambda g, _: metrics.delta_lcd(g, form="cosine_rms"),
    "summary": lambda g, _: torch.stack([*metrics.cosine_summary(g).values()]),
    "nearest": lambda g, _: metrics.nearest_cosine(g),
    "log": lambda g, _: torch.stack(metrics.gnc2(g, kernel="log")),
    "dist": lambda g, _: torch.stack(metrics.gnc2(g, kernel="dist")),
    "riesz": lambda g, _: torch.stack(metrics.gnc2(g, kernel="riesz")),
    "cka": lambda g, h: metrics.cka_distance(h, g),
    "table": lambda g, h: torch.stack(
        [v for row in metrics.cosine_table(image_means=h, text=g).values() for v in row.values()]
    ),
    "hierarchy": lambda g, h: metrics.hierarchy_retention(g, h),
    "orthogonality": lambda g, _: metrics.orthogonality(g),
    "participation": lambda g, _: metrics.participation_ratio(g),
    "cdnv": lambda g, h: metrics.cdnv(
        metrics.ClassMoments(torch.full((len(g),), 9), g, h.square().sum(dim=1))
    ),
}


@pytest.mark.parametrize("name", MEASURES)
def test_blocks_change_neither_value_nor_gradient(monkeypatch, name):
    def value_and_gradient():
        text, means = random_rows(40, 5), random_rows(40, 5, seed=1) + 0.2
        text.requires_grad_()
        found = MEASURES[name](text, means)
        found.sum().backward()
        return found.detach(), text.grad

    whole = value_and_gradient()
    monkeypatch.setattr(pairs, "BLOCK", 7)
    for found, expected in zip(value_and_gradient(), whole, strict=True):
        assert_close(found, expected, atol=1e-11, rtol=1e-10)


@pytest.mark.parametrize("shift", [1e-7, 1e-3, 1.0])
@IN_BLOCKS
def test_near_frames_keep_their_digits_among_many_classes(shift):
    text = random_rows(40, 5)
    means = text + shift * random_rows(40, 5, seed=1)
    left, right = ((x @ x.T) / (x @ x.T).norm() for x in (text, means))
    expected = (left - right).norm().item()
    assert metrics.cka_distance(means, text, centred=False).item() == pytest.approx(
        expected, rel=1e-8
    )


@FORMS
@IN_BLOCKS
def test_etf_distance_of_many_classes_is_the_references(centred):
    rows = random_rows(40, 5) + 0.5
    plain = (rows - rows.mean(dim=0) if centred else rows).numpy()
    expected = reference.gram_distance(plain @ plain.T)
    assert metrics.etf_distance(rows, centred=centred).item() == pytest.approx(expected, abs=1e-13)


@IN_BLOCKS
def test_neighbours_are_the_first_of_the_most_alike():
    rows = random_rows(30, 4)
    rows[25] = 2 * rows[3]
    rows[29] = rows[3]
    rows[9] = 0
    found = pairs.neighbours_of(rows)
    cosines = metrics.pairwise_cosines(rows).nan_to_num(-2).fill_diagonal_(-2)
    assert_close(found.cosine, cosines.amax(dim=1))
    assert found.which[[25, 29]].tolist() == [3, 3]
    assert found.which[3].item() in (25, 29)
    assert found.cosine[9].item() == -2
    assert found.twins == 3
    assert found.first_twins == [(3, 25), (3, 29), (25, 29)]


@IN_BLOCKS
def test_blocks_of_a_symmetric_matrix_draw_as_the_whole():
    rows = random_rows(20, 6)
    draws = torch.stack(list(metrics.resample_classes(20, replicates=9, seed=0)))
    found = metrics.pair_means(pairs.products(rows), draws)
    assert_close(found, metrics.pair_means(rows @ rows.T, draws))


def test_ranks_of_too_many_classes_are_refused(monkeypatch):
    monkeypatch.setattr(spectrum, "MOST_RANKED", 6)
    rows = random_rows(7, 5)
    with pytest.raises(ShapeError, match="all pairs of K = 7 classes are held at once; expected"):
        metrics.hierarchy_retention(rows, rows + 1, spearman=True)
    assert metrics.hierarchy_retention(rows, rows).item() == pytest.approx(1)


@IN_BLOCKS
def test_a_row_s_mean_over_others_is_that_of_a_loop_and_their_mean_is_that_over_pairs():
    rows = random_rows(17, 6).numpy()
    expected = [
        np.mean([abs(float(rows[k] @ rows[j]) + 0.1) for j in range(17) if j != k])
        for k in range(17)
    ]

    def gap(cosines):
        return (cosines + 0.1).abs()

    found = pairs.mean_over_others(pairs.products(torch.from_numpy(rows)), 17, gap)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    whole = pairs.mean_over_pairs(pairs.products(torch.from_numpy(rows)), gap)
    assert float(found.mean()) == pytest.approx(float(whole))
