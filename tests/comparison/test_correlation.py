# What is made here is there, which its type leaves open.
# pyright: reportCallIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportArgumentType=false

import numpy as np
import pytest
from scipy import stats

from ncscope.comparison.correlation import (
    correlate,
    is_constant,
    partial_spearman,
    pearson,
    ranks,
    spearman,
)
from ncscope.comparison.scatter import fitted, standardised
from ncscope.errors import DataError


def ones(values):
    return np.ones((1, len(values)))


def slow_pearson(first, second):
    return np.corrcoef(first, second)[0, 1]


def slow_spearman(first, second):
    return slow_pearson(stats.rankdata(first), stats.rankdata(second))


@pytest.fixture
def runs():
    """30 runs of three data sets: measure, accuracy, base accuracy, data set."""
    generator = np.random.default_rng(0)
    groups = np.repeat(["a", "b", "c"], [8, 10, 12])
    measure = generator.normal(size=30) + np.repeat([0.0, 5.0, 9.0], [8, 10, 12])
    accuracy = -0.1 * measure + generator.normal(size=30) * 0.1 + np.repeat([0, 1, 3], [8, 10, 12])
    return measure, accuracy, generator.normal(size=30), groups


def z_scores(values, groups):
    found = np.empty(len(values))
    for name in set(groups):
        own = values[groups == name]
        found[groups == name] = (own - own.mean()) / own.std()
    return found


def test_ranks_of_repeated_points_are_those_of_the_longer_list():
    values, counts = np.array([3.0, 1.0, 3.0, 2.0]), np.array([[2.0, 1.0, 0.0, 3.0]])
    longer = np.repeat(values, counts[0].astype(int))
    expected = {v: r for v, r in zip(longer, stats.rankdata(longer), strict=True)}
    found = ranks(values, counts)[0]
    assert [found[k] for k in (0, 1, 3)] == [expected[values[k]] for k in (0, 1, 3)]


def test_correlations_are_numpys_of_values_and_of_ranks_with_ties(runs):
    x, y = np.round(runs[0], 0), np.round(runs[1], 1)
    assert pearson(x, y, ones(x))[0] == pytest.approx(slow_pearson(x, y))
    assert spearman(x, y, ones(x))[0] == pytest.approx(slow_spearman(x, y))


def test_a_weighted_correlation_is_that_of_the_repeated_points(runs):
    x, y = runs[0], runs[1]
    counts = np.random.default_rng(1).integers(0, 4, (5, 30))
    for statistic, slow in ((pearson, slow_pearson), (spearman, slow_spearman)):
        found = statistic(x, y, counts.astype(float))
        for value, count in zip(found, counts, strict=True):
            assert value == pytest.approx(slow(np.repeat(x, count), np.repeat(y, count)))


def test_a_partial_correlation_is_that_of_the_residuals_of_ranks(runs):
    x, y, z = (stats.rankdata(column) for column in runs[:3])
    line = np.stack([z, np.ones(30)], axis=1)
    left = [v - line @ np.linalg.lstsq(line, v, rcond=None)[0] for v in (x, y)]
    found = partial_spearman(*runs[:3], ones(x))[0]
    assert found == pytest.approx(slow_pearson(*left))


def test_within_is_the_mean_over_data_sets(runs):
    x, y, z, groups = runs
    found = correlate(x, y, groups, given=z)
    each = [slow_spearman(x[groups == g], y[groups == g]) for g in "abc"]
    assert found.within_spearman.value == pytest.approx(np.mean(each))
    lines = [slow_pearson(x[groups == g], y[groups == g]) for g in "abc"]
    assert found.within_pearson.value == pytest.approx(np.mean(lines))
    assert (found.within_spearman.n, found.within_spearman.groups) == (30, 3)
    left_out = [np.mean(np.delete(each, k)) for k in range(3)]
    assert found.within_spearman.least == pytest.approx(min(left_out))
    assert found.within_spearman.most == pytest.approx(max(left_out))


def test_pooled_is_over_z_scores_within_data_sets(runs):
    x, y, z, groups = runs
    scores = [z_scores(column, groups) for column in (x, y, z)]
    found = correlate(x, y, groups, given=z)
    assert found.pooled_pearson.value == pytest.approx(slow_pearson(*scores[:2]))
    assert found.pooled_spearman.value == pytest.approx(slow_spearman(*scores[:2]))
    partial = partial_spearman(*scores, ones(x))[0]
    assert found.pooled_partial.value == pytest.approx(partial)
    rest = [slow_spearman(*(s[groups != g] for s in scores[:2])) for g in "abc"]
    assert found.pooled_spearman.least == pytest.approx(min(rest))
    assert found.pooled_spearman.most == pytest.approx(max(rest))


def test_the_scale_and_offset_of_a_data_set_change_nothing(runs):
    x, y, z, groups = runs
    scale, offset = np.repeat([1, 30, 7], [8, 10, 12]), np.repeat([0, 900, -4], [8, 10, 12])
    one, other = correlate(x, y, groups, given=z), correlate(x * scale + offset, y, groups, given=z)
    for name in ("within_spearman", "within_pearson", "pooled_pearson", "pooled_spearman"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first.value, first.low, first.high) == pytest.approx(
            (second.value, second.low, second.high)
        )


def test_data_sets_that_differ_in_level_alone_do_not_make_a_correlation():
    """Simpson's trap: pooled as they are, these runs correlate at 0.99."""
    generator = np.random.default_rng(2)
    groups = np.repeat(list("abcdef"), 20)
    level = np.repeat(np.arange(6.0), 20)
    x, y = (level + 0.1 * generator.normal(size=120) for _ in range(2))
    assert slow_pearson(x, y) > 0.99
    assert abs(correlate(x, y, groups).pooled_pearson.value) < 0.2


def test_a_perfect_relation_is_one_with_an_interval_of_one():
    x = np.arange(12.0)
    found = correlate(x, 5 * x - 3, list("aaabbbcccddd"))
    assert found.within_spearman.value == pytest.approx(1)
    assert (found.pooled_spearman.low, found.pooled_spearman.high) == pytest.approx((1, 1))


def test_a_measure_that_is_accuracy_on_base_says_nothing_more_given_it(runs):
    _, y, z, groups = runs
    found = correlate(z, y, groups, given=z)
    assert found.within_spearman.value is not None
    assert found.pooled_partial.value is None
    assert found.within_partial.value is None


@pytest.mark.parametrize(
    ("x", "groups"),
    [
        ([1.0, 1.0, 1.0, 1.0], "aaaa"),
        ([1.0, 2.0], "aa"),
        ([1.0, 2.0, 1.0, 2.0], "aabb"),
        ([1e-16, 3e-17, 2e-16, 1e-16], "aaaa"),
        ([0.5, 0.5 + 1e-8, 0.5 - 1e-8, 0.5], "aaaa"),
        ([], ""),
    ],
    ids=["constant", "two runs", "two a data set", "rounding about 0", "rounding", "none"],
)
def test_what_has_no_correlation_is_none_with_a_reason(x, groups):
    found = correlate(x, np.arange(float(len(x))), list(groups), given=np.arange(float(len(x))))
    for estimate in vars(found).values():
        assert estimate.value is None
        assert estimate.reason


def test_a_data_set_that_does_not_vary_is_left_out_and_not_counted(runs):
    x, y, _, groups = runs
    longer = correlate([*x, 1.0, 1.0, 1.0], [*y, 1.0, 2.0, 3.0], [*groups, "d", "d", "d"])
    assert longer == correlate(x, y, groups)


def test_one_data_set_has_a_value_and_no_interval():
    found = correlate([1.0, 2.0, 3.0, 5.0], [2.0, 1.0, 3.0, 4.0], ["a"] * 4)
    assert found.pooled_spearman.value == pytest.approx(0.8)
    assert found.pooled_spearman.low is None
    assert "no interval" in found.pooled_spearman.reason


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(DataError, match=r"columns of one length are needed; got 2, 3 and 2"):
        correlate([1.0, 2.0], [1.0, 2.0, 3.0], ["a", "a"])


def test_small_values_that_differ_are_no_constant():
    assert not is_constant(np.array([1e-3, 1.1e-3, 0.9e-3]))


def test_the_line_is_least_squares(runs):
    x, y, _, groups = runs
    line = fitted(x, y, list(groups))
    slope, offset = np.polyfit(x, y, 1)
    np.testing.assert_allclose(line.middle, slope * line.across + offset)
    assert (line.low <= line.high).all()


def test_points_on_a_line_have_no_band_about_it():
    x = np.arange(9.0)
    line = fitted(x, 2 * x + 1, list("aaabbbccc"))
    np.testing.assert_allclose(line.low, line.high, atol=1e-12)
    assert fitted(x, 2 * x, ["a"] * 9).low is None


def test_no_line_without_three_points_that_differ():
    assert fitted(np.array([1.0, 2.0]), np.array([1.0, 2.0]), ["a", "a"]) is None
    assert fitted(np.ones(5), np.arange(5.0), ["a"] * 5) is None


def test_standardising_leaves_out_what_has_no_spread():
    found = standardised([1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 9.0], list("aaabbbc"))
    assert found[:3] == pytest.approx([-1.224744871, 0, 1.224744871])
    assert np.isnan(found[3:]).all()


def test_a_run_without_base_accuracy_leaves_the_partial_correlation_of_the_others(runs):
    x, y, z, groups = runs
    more = correlate([*x, 0.0], [*y, 0.0], [*groups, "a"], given=[*z, float("nan")])
    fewer = correlate(x, y, groups, given=z)
    assert more.within_partial == fewer.within_partial
    assert more.pooled_partial == fewer.pooled_partial
    assert more.within_spearman.n == fewer.within_spearman.n + 1


def test_domains_of_one_data_set_are_drawn_and_left_out_together(runs):
    x, y, _, groups = runs
    families = {"a": "a", "b": "b", "c": "b"}
    apart, together = correlate(x, y, groups), correlate(x, y, groups, families=families)
    assert together.within_spearman.value == apart.within_spearman.value
    each = {name: slow_spearman(x[groups == name], y[groups == name]) for name in "abc"}
    left = sorted((each["a"], (each["b"] + each["c"]) / 2))
    found = together.within_spearman
    assert (found.least, found.most) == (pytest.approx(left[0]), pytest.approx(left[1]))
    # Of two families drawn twice: aa, bb, or both.
    ends = sorted([each["a"], (each["b"] + each["c"]) / 2])
    assert (found.low, found.high) == (pytest.approx(ends[0]), pytest.approx(ends[1]))
    one = correlate(x, y, groups, families=dict.fromkeys("abc", "a")).pooled_spearman
    assert one.low is None
    assert one.reason == "one data set: no interval"


def test_pooled_ranks_do_not_hang_on_last_digits():
    generator = np.random.default_rng(0)
    groups = np.repeat([str(k) for k in range(10)], 3)
    level, scale = (np.repeat(generator.uniform(0.1, 0.9, 10), 3) for _ in range(2))
    x = np.concatenate([generator.permutation([1.0, 2.0, 3.0]) for _ in range(10)])
    y = np.concatenate([generator.permutation([1.0, 2.0, 3.0]) for _ in range(10)])
    plain = correlate(x, y, groups).pooled_spearman.value
    moved = correlate(level + scale * x, y / 7 + level, groups).pooled_spearman.value
    assert moved == pytest.approx(plain, abs=1e-12)
