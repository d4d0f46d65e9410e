# What is made here is there, which its type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from ncscope.comparison.paired import find_baseline, group_weights, paired, versus
from ncscope.comparison.rows import Point
from ncscope.errors import DataError


def draws(count, *, seed=0, mean=0.3):
    return list(np.random.default_rng(seed).normal(mean, 1.0, count))


def test_t_is_students_on_the_differences():
    values = draws(7)
    t = statistics.fmean(values) / (statistics.stdev(values) / math.sqrt(7))
    assert paired(values, ["a"] * 7).t_p == pytest.approx(2 * stats.t.sf(abs(t), 6))


def test_t_over_data_sets_is_students_on_their_means():
    values, groups = draws(9), list("abcabcaab")  # four of a, three of b, two of c
    means = [statistics.fmean(v for v, g in zip(values, groups, strict=True) if g == name)
             for name in "abc"]  # fmt: skip
    t = statistics.fmean(means) / (statistics.stdev(means) / math.sqrt(3))
    assert paired(values, groups).data_p == pytest.approx(2 * stats.t.sf(abs(t), 2))


def test_t_over_data_sets_does_not_fall_with_more_seeds_of_the_same():
    few = paired([0.0, 1.0, 2.0], ["a", "b", "c"])
    many = paired([0.0, 1.0, 2.0] * 50, ["a", "b", "c"] * 50)
    assert many.data_p == pytest.approx(few.data_p)
    assert few.data_p == pytest.approx(few.t_p)


def test_wilcoxon_is_the_share_of_sign_patterns_as_extreme():
    values = draws(8)
    ranks = np.argsort(np.argsort(np.abs(values))) + 1
    total = ranks.sum()
    seen = min(s := sum(r for r, v in zip(ranks, values, strict=True) if v > 0), total - s)
    sums = [sum(r for r, plus in zip(ranks, signs, strict=True) if plus)
            for signs in itertools.product((0, 1), repeat=8)]  # fmt: skip
    share = sum(min(s, total - s) <= seen for s in sums) / len(sums)
    assert paired(values, ["a"] * 8).wilcoxon_p == pytest.approx(share)


@pytest.mark.parametrize(
    "images", [(2, 2, 1, 3, 5), (1, 1, 1, 1, 1), (2, -2), (1, -1, 3, 3, 2, -2, 4, 4)]
)
def test_wilcoxon_of_equal_sizes_is_the_share_of_sign_patterns_too(images):
    ranks = stats.rankdata(np.abs(images))
    total = ranks.sum()
    seen = min(s := sum(r for r, v in zip(ranks, images, strict=True) if v > 0), total - s)
    sums = [sum(r for r, plus in zip(ranks, signs, strict=True) if plus)
            for signs in itertools.product((0, 1), repeat=len(images))]  # fmt: skip
    share = sum(min(s, total - s) <= seen for s in sums) / len(sums)
    found = paired([k / 150 for k in images], ["a"] * len(images))
    assert found.wilcoxon_p == pytest.approx(share)


def test_wilcoxon_of_many_is_scipys():
    values = draws(60, mean=0.1)
    found = paired(values, ["a"] * 60).wilcoxon_p
    assert found == pytest.approx(stats.wilcoxon(values, method="approx").pvalue)
    assert paired(values[:50], ["a"] * 50).wilcoxon_p == pytest.approx(
        stats.wilcoxon(values[:50], method="exact").pvalue
    )


def test_wilcoxon_drops_ties():
    values = draws(8)
    some = paired([*values, 0.0, 0.0, 0.0], ["a"] * 11)
    assert some.wilcoxon_p == paired(values, ["a"] * 8).wilcoxon_p


@pytest.mark.parametrize(("wins", "losses", "ties"), [(5, 0, 0), (6, 1, 2), (2, 2, 1)])
def test_the_sign_test_sums_binomial_tails_without_ties(wins, losses, ties):
    values = [0.1 + k / 100 for k in range(wins)] + [-0.2 - k / 100 for k in range(losses)]
    found = paired(values + [0.0] * ties, ["a"] * (wins + losses + ties))
    n, most = wins + losses, max(wins, losses)
    tail = sum(math.comb(n, k) for k in range(most, n + 1)) / 2**n
    assert found.sign_p == pytest.approx(min(1.0, 2 * tail))
    assert (found.wins, found.ties, found.losses) == (wins, ties, losses)


def test_swapping_the_sides_changes_signs_and_no_p_value():
    values, groups = draws(9), list("aaabbbccc")
    one, other = paired(values, groups), paired([-v for v in values], groups)
    assert one.mean == pytest.approx(-other.mean)
    assert (one.t_p, one.data_p, one.wilcoxon_p, one.sign_p) == pytest.approx(
        (other.t_p, other.data_p, other.wilcoxon_p, other.sign_p)
    )
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_the_interval_over_data_sets_does_not_shrink_with_more_seeds_of_the_same():
    few = paired([0.0, 1.0, 2.0], ["a", "b", "c"])
    many = paired([0.0, 1.0, 2.0] * 50, ["a", "b", "c"] * 50)
    assert (many.low, many.high) == pytest.approx((few.low, few.high))
    assert many.t_p < 1e-9


def test_a_data_set_with_more_seeds_weighs_no_more_than_another():
    found = paired([0.0] * 9 + [1.0], ["a"] * 9 + ["b"])
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_interval_of_one_data_set_is_students_over_its_seeds():
    values = draws(4)
    half = stats.t.ppf(0.975, 3) * statistics.stdev(values) / 2
    found = paired(values, ["a"] * 4)
    assert found.low == pytest.approx(statistics.fmean(values) - half)
    assert found.high == pytest.approx(statistics.fmean(values) + half)


def test_the_interval_of_two_data_sets_is_the_two():
    found = paired([1.0, 3.0], ["a", "b"])  # aa, ab, ba, bb: a quarter at either end
    assert (found.low, found.high) == (1.0, 3.0)


def test_the_interval_is_seeded():
    values, groups = draws(12), list("abcdefghijkl")
    assert paired(values, groups, seed=0) == paired(values, groups, seed=0)
    assert paired(values, groups, seed=0).low != paired(values, groups, seed=1).low


def test_each_replicate_draws_as_many_groups_as_there_are():
    weights = group_weights(5, replicates=2000, seed=0)
    assert weights.shape == (2000, 5)
    assert (weights.sum(axis=1) == 5).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)


@pytest.mark.parametrize(
    ("values", "missing", "reason"),
    [
        ([], "mean t_p data_p wilcoxon_p sign_p low high", "t test: n = 0"),
        ([0.1], "t_p low high", "interval: n = 1"),
        ([0.1, 0.1, 0.1], "t_p low high", "all differences are equal"),
        ([0.0, 0.0, 0.0], "t_p wilcoxon_p sign_p low high", "no difference other than 0"),
        ([0.1, 0.2], "data_p", "t test over data sets: n = 1"),
    ],
)
def test_what_is_undefined_is_none_with_its_reason(values, missing, reason):
    found = paired(values, ["a"] * len(values))
    for name in missing.split():
        assert getattr(found, name) is None, name
    assert any(reason in one for one in found.reasons)


def test_rounding_is_a_tie():
    assert paired([0.3 - (0.1 + 0.2)] * 3, ["a"] * 3).ties == 3


def test_equal_differences_rank_alike_whatever_their_last_digits():
    images = [2, 5, -3, -1, -3, 1, -3, -2, 1, -1, 0, 2]
    right = [40 + 37 * (i % 2) for i in range(12)]  # of 150 images
    differences = [(r + n) / 150 - r / 150 for r, n in zip(right, images, strict=True)]
    assert len(set(differences)) > len(set(images))
    found, whole = (paired(values, ["a"] * 12) for values in (differences, images))
    assert found.wilcoxon_p == pytest.approx(whole.wilcoxon_p)


def test_groups_and_differences_have_one_length():
    with pytest.raises(DataError, match="one group a difference is needed: 1 for 2"):
        paired([0.1, 0.2], ["a"])


def points(label, values, *, data="d", tau=1.0, seeds=True):
    return [Point(label, data, tau if seeds else None, k if seeds else None, {"accuracy": v})
            for k, v in enumerate(values)]  # fmt: skip


def test_pairs_are_of_one_data_set_tau_and_seed():
    both = [*points("a", [0.5, 0.6, 0.7]), *points("b", [0.6, 0.8]),
            *points("a", [0.1], tau=0.05), *points("b", [0.9], data="e")]  # fmt: skip
    table = versus(both, ["accuracy"], "a", title="T")
    ((label, cells),) = table.rows
    assert (label, cells[1].value, cells[3].value) == ("b", pytest.approx(0.15), 2)
    assert table.title == "T against a"


def test_a_side_without_seeds_meets_the_mean_over_seeds_once():
    both = [*points("zero-shot", [0.5], seeds=False), *points("coop", [0.6, 0.8, 1.0])]
    table = versus(both, ["accuracy"], "zero-shot", title="T")
    ((_, cells),) = table.rows
    assert (cells[1].value, cells[3].value) == (pytest.approx(0.3), 1)
    assert any("has no seeds" in note for note in table.notes)


def test_nothing_to_pair_is_said():
    both = [*points("a", [0.5]), *points("b", [0.5], data="e")]
    table = versus(both, ["accuracy"], "a", title="T")
    assert table.rows == ()
    assert table.notes == ("no pair with the baseline: all.",)


def test_a_baseline_is_found_by_its_label_or_the_one_that_starts_with_it():
    labels = ["maple", "maple+npt (lcd 0.1)", "x (a)", "x (b)"]
    assert find_baseline(labels, "maple") == "maple"
    assert find_baseline(labels, "maple+npt") == "maple+npt (lcd 0.1)"
    with pytest.raises(DataError, match=r"'x' is several rows; there are: x \(a\); x \(b\)"):
        find_baseline(labels, "x")
    with pytest.raises(DataError, match=r"'coop' is no row; there are: maple; "):
        find_baseline(labels, "coop")
