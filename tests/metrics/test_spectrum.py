import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.testing import assert_close

from ncscope.metrics import (
    effective_rank,
    etf_distance,
    hierarchy_retention,
    participation_ratio,
)
from tests import reference
from tests.shapes import ETF_SIZES, normal, random_rows, simplex_etf, tight_frame, unit_rows

seeds = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize(("num_classes", "width"), ETF_SIZES)
def test_simplex_etf_has_the_largest_rank(num_classes, width):
    frame = simplex_etf(num_classes, width)
    for measure in (participation_ratio, effective_rank):
        assert measure(frame).item() == pytest.approx(num_classes - 1, rel=1e-9)


@given(seeds, st.integers(2, 9), st.integers(1, 7), st.booleans())
def test_both_ranks_are_those_of_the_singular_values(seed, num_classes, width, centred):
    rows = random_rows(num_classes, width, seed=seed)
    same = reference.centred(rows.numpy()) if centred else rows.numpy()
    for measure in (participation_ratio, effective_rank):
        expected = getattr(reference, measure.__name__)(same)
        assert measure(rows, centred=centred).item() == pytest.approx(expected)


@given(seeds, st.integers(2, 9), st.integers(1, 7))
def test_ranks_stay_in_their_range(seed, num_classes, width):
    rows = random_rows(num_classes, width, seed=seed)
    for measure in (participation_ratio, effective_rank):
        assert 1 - 1e-9 <= measure(rows).item() <= min(num_classes - 1, width) + 1e-9


@given(seeds, st.integers(3, 12), st.integers(2, 9))
def test_centred_etf_distance_is_a_deficiency_of_rank(seed, num_classes, width):
    rows = random_rows(num_classes, width, seed=seed)
    share = participation_ratio(rows) / (num_classes - 1)
    assert_close(etf_distance(rows, centred=True).square(), 2 - 2 * share.sqrt())


def test_tight_frame_fills_its_dimensions():
    assert participation_ratio(tight_frame(20, 6)).item() == pytest.approx(6)
    assert effective_rank(tight_frame(20, 6)).item() == pytest.approx(6)


@pytest.mark.parametrize("measure", [participation_ratio, effective_rank])
def test_equal_rows_have_no_rank(measure):
    assert measure(torch.ones(4, 3)).isnan()


@pytest.mark.parametrize("seed", range(8))
def test_gradient_of_effective_rank_is_finite_though_centred_rows_have_a_null_direction(seed):
    rows = random_rows(6, 8, seed=seed).requires_grad_()
    effective_rank(rows).backward()
    assert rows.grad is not None
    assert rows.grad.isfinite().all()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("spearman", [False, True])
def test_hierarchy_retention_is_scipys_correlation(spearman, centred):
    rows, frozen = unit_rows(12, 5), unit_rows(12, 5, seed=1)
    rows = rows + frozen
    entries = []
    for side in (rows.numpy(), frozen.numpy()):
        side = reference.centred(side) if centred else side
        entries.append([side[a] @ side[b] for a, b in reference.pairs(12)])
    correlation = stats.spearmanr if spearman else stats.pearsonr
    expected: float = correlation(entries[0], entries[1])[0]  # pyright: ignore
    found = hierarchy_retention(rows, frozen, spearman=spearman, centred=centred)
    assert found.item() == pytest.approx(expected)


def test_spearman_averages_the_ranks_of_ties():
    rows = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1], [1, 1]]).double()
    frozen = random_rows(5, 2)
    entries = [[float(side[a] @ side[b]) for a, b in reference.pairs(5)] for side in (rows, frozen)]
    expected: float = stats.spearmanr(entries[0], entries[1])[0]  # pyright: ignore
    assert hierarchy_retention(rows, frozen, spearman=True).item() == pytest.approx(expected)


@pytest.mark.parametrize("spearman", [False, True])
def test_hierarchy_kept_turned_and_reversed(spearman):
    rows = unit_rows(10, 20)
    assert hierarchy_retention(rows, rows, spearman=spearman).item() == pytest.approx(1)
    turned = rows @ torch.linalg.qr(normal(20, 20, seed=4)).Q
    assert hierarchy_retention(turned, rows, spearman=spearman).item() == pytest.approx(1)
    gram = rows @ rows.T
    against = torch.nn.functional.pad(
        torch.linalg.cholesky(4 * torch.eye(10).double() - gram), (0, 10)
    )
    lowest = hierarchy_retention(against, rows, spearman=spearman)
    assert lowest.item() == pytest.approx(-1)


@pytest.mark.parametrize("spearman", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_classes", "width"), [(10, 16), (50, 512)])
def test_an_exact_etf_has_no_hierarchy(num_classes, width, dtype, spearman):
    frame = simplex_etf(num_classes, width).to(dtype)
    frozen = unit_rows(num_classes, width).to(dtype)
    assert hierarchy_retention(frame, frozen, spearman=spearman).isnan()
    assert hierarchy_retention(frozen, 1e3 * frame, spearman=spearman).isnan()


def test_hierarchy_retention_does_not_see_scale():
    rows, frozen = random_rows(6, 8).float(), random_rows(6, 8, seed=1).float()
    expected = hierarchy_retention(rows, frozen)
    for scale in (1e-4, 1e4):
        assert_close(hierarchy_retention(scale * rows, frozen), expected)


@pytest.mark.parametrize("spearman", [False, True])
def test_half_a_million_pairs_keep_five_digits_in_float32(spearman):
    frozen = unit_rows(1000, 64)
    rows = frozen + 0.1 * normal(1000, 64, seed=1)
    expected = hierarchy_retention(rows, frozen, spearman=spearman)
    found = hierarchy_retention(rows.float(), frozen.float(), spearman=spearman)
    assert found.item() == pytest.approx(expected.item(), rel=2e-5)


def test_a_pair_of_classes_has_no_hierarchy():
    assert hierarchy_retention(random_rows(2, 4), random_rows(2, 4, seed=1)).isnan()
