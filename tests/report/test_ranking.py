import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nas.report import statistics as ranking

P_VALUES = st.lists(st.floats(0, 1), max_size=8)
SAMPLES = st.lists(st.integers(0, 4), min_size=1, max_size=5)
ROWS = st.integers(3, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 4), min_size=k, max_size=k), min_size=2, max_size=8)
)


def test_ranks_share_the_mean_of_ties():
    found = ranking.ranked([[0.3, 0.1, 0.3, 0.2], [1, 1, 1, 1]])
    np.testing.assert_array_equal(found, [[3.5, 1, 3.5, 2], [2.5, 2.5, 2.5, 2.5]])


@given(ROWS)
def test_ranks_equal_scipys(rows):
    np.testing.assert_array_equal(ranking.ranked(rows), stats.rankdata(rows, axis=1))


def test_the_worked_example_of_demsar():
    """Section 3.2.3: C4.5 in four variants on 14 data sets, mean ranks as printed under table 6."""
    statistic = ranking.friedman_statistic([3.143, 2.000, 2.893, 1.964], 14)
    assert statistic == pytest.approx(9.28, abs=0.005)
    assert ranking.iman_davenport(statistic, 14, 4) == pytest.approx(3.69, abs=0.005)
    assert ranking.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert stats.f.ppf(0.95, 3, 39) == pytest.approx(2.85, abs=0.005)  # so the test rejects, as printed


@pytest.mark.parametrize(
    ("methods", "q"),
    [
        (2, 1.960),
        (3, 2.343),
        (4, 2.569),
        (5, 2.728),
        (6, 2.850),
        (7, 2.949),
        (8, 3.031),
        (9, 3.102),
        (10, 3.164),
    ],
)
def test_critical_values_are_those_of_demsars_table_5(methods, q):
    scale = math.sqrt(methods * (methods + 1) / (6 * 14))
    assert ranking.critical_difference(methods, 14) / scale == pytest.approx(q, abs=0.0011)


def test_the_critical_difference_of_the_table_at_another_level():
    scale = math.sqrt(4 * 5 / (6 * 14))
    assert ranking.critical_difference(4, 14, 0.1) / scale == pytest.approx(2.291, abs=0.001)


@given(ROWS)
def test_friedmans_test_equals_scipys_ties_included(rows):
    found = ranking.friedman(rows)
    if all(len(set(row)) == 1 for row in rows):
        assert math.isnan(found.chi_squared)
        assert (found.p, found.p_chi_squared) == (1.0, 1.0)
        return
    expected = stats.friedmanchisquare(*np.transpose(rows))
    assert found.chi_squared == pytest.approx(expected.statistic, abs=1e-9)
    assert found.p_chi_squared == pytest.approx(expected.pvalue, abs=1e-9)
    assert found.mean_ranks == pytest.approx(stats.rankdata(rows, axis=1).mean(axis=0))


def test_without_ties_the_statistic_is_that_of_the_mean_ranks():
    losses = np.random.default_rng(0).normal(size=(12, 6))
    found = ranking.friedman(losses)
    assert found.chi_squared == pytest.approx(ranking.friedman_statistic(found.mean_ranks, 12))
    assert found.f == pytest.approx(11 * found.chi_squared / (12 * 5 - found.chi_squared))
    assert found.p == stats.f.sf(found.f, 5, 55)


def test_blocks_that_all_agree_are_as_significant_as_can_be():
    found = ranking.friedman([[1, 2, 3]] * 4)
    assert found.chi_squared == pytest.approx(8.0)
    assert found.f == math.inf
    assert found.p == pytest.approx(6 / 6**4, abs=0.003)  # all of 3! orders in 4 blocks; 4 standard errors
    assert found.mean_ranks == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    "rows", [[[1, 2, 3], [1, 3, 2], [1, 2, 3]], [[1, 1, 2], [2, 1, 3], [1, 2, 2]]], ids=str
)
def test_a_small_design_is_tested_by_permutations_within_blocks(rows):
    """The Monte Carlo p-value of 9999 draws is within 0.02, 4 standard errors, of that of all 216."""
    every = [stats.rankdata(order) for row in rows for order in itertools.permutations(row)]
    sums = [sum(orders) for orders in itertools.product(every[:6], every[6:12], every[12:])]
    observed = stats.rankdata(rows, axis=1).sum(axis=0)
    expected = np.mean([(s**2).sum() >= (observed**2).sum() - 1e-9 for s in sums])
    assert ranking.friedman(rows).p == pytest.approx(expected, abs=0.02)


def test_an_infinite_loss_is_the_last_rank():
    assert ranking.friedman([[math.inf, 1.0], [math.inf, 2.0]]).mean_ranks == (2.0, 1.0)


@pytest.mark.parametrize("losses", [[[1, 2]], [[1], [2]], [1, 2], [[1, math.nan], [1, 2]]], ids=str)
def test_friedman_refuses_what_it_cannot_rank(losses):
    with pytest.raises(ValueError, match="expected at least 2 blocks of 2 methods without NaN"):
        ranking.friedman(losses)


def test_cliques_are_the_largest_groups_within_the_distance():
    assert ranking.cliques([1.0, 1.5, 2.2, 4.0], 1.0) == [(1.0, 1.5), (1.5, 2.2)]
    assert ranking.cliques([3.0, 1.0, 2.0], 5.0) == [(1.0, 3.0)]
    assert ranking.cliques([1.0, 3.0], 1.0) == []


@given(st.lists(st.floats(1, 9), min_size=1, max_size=8), st.floats(0, 4))
def test_cliques_join_exactly_the_pairs_within_the_distance(ranks, distance):
    bars = ranking.cliques(ranks, distance)
    for a, b in itertools.combinations(sorted(set(ranks)), 2):
        assert any(low <= a and b <= high for low, high in bars) == (b - a <= distance)


def test_holms_correction_by_hand():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never below the one before."""
    assert ranking.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert ranking.holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert ranking.holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert ranking.holm([]).size == 0


@given(P_VALUES, st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values, alpha):
    """Holm (1979), section 3: go on while the smallest left is below alpha over the number left."""
    rejected, left = set(), sorted(range(len(p_values)), key=lambda i: p_values[i])
    while left and p_values[left[0]] * len(left) < alpha:
        rejected.add(left.pop(0))
    found = ranking.holm(p_values)
    assert {i for i, p in enumerate(found) if p < alpha} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, found, strict=True))


@given(SAMPLES, SAMPLES)
def test_a12_counts_the_pairs_in_which_the_first_loses_less(a, b):
    (pair,) = ranking.pairwise({"a": a, "b": b})
    wins = [(x < y) + 0.5 * (x == y) for x, y in itertools.product(a, b)]
    assert pair.a12 == pytest.approx(np.mean(wins))
    assert pair.seen_from("b").a12 == pytest.approx(1 - np.mean(wins))
    assert pair.p_holm == pytest.approx(pair.p, abs=0, nan_ok=True)  # NaN of a single value on a side


def test_pairs_are_corrected_together():
    rng = np.random.default_rng(1)
    losses = {name: rng.normal(shift, 1, 12) for name, shift in (("a", 0), ("b", 0.5), ("c", 3))}
    pairs = ranking.pairwise(losses)
    expected = [
        stats.mannwhitneyu(losses[x], losses[y], method="exact").pvalue
        for x, y in itertools.combinations("abc", 2)
    ]
    assert [(pair.method, pair.other) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.p for pair in pairs] == pytest.approx(expected)
    assert [pair.p_holm for pair in pairs] == pytest.approx(list(ranking.holm(expected)))
    assert [pair.significant for pair in pairs] == [False, True, True]


def test_a_run_without_a_result_loses_to_every_other_and_one_that_is_missing_counts_for_nothing():
    (pair,) = ranking.pairwise({"a": [1.0, 2.0, math.nan], "b": [math.inf, -5.0, math.inf]})
    assert (pair.n, pair.n_other) == (2, 3)
    assert pair.a12 == pytest.approx(4 / 6)


def test_finite_losses_keep_the_order():
    a, b = ranking.finite_losses([[3.0, math.inf, math.nan], [-math.inf, 7.0]])
    assert b[0] < a[0] < b[1] < a[1] < math.inf
    huge, _ = ranking.finite_losses([[1e308, math.inf, -1e308, 1e308], [1.7e308]])
    assert huge[2] < huge[0] == huge[3] < huge[1] < math.inf
    assert [each.size for each in ranking.finite_losses([[], [math.inf]])] == [0, 1]


@pytest.mark.parametrize("pairs", [1, 3, 10, 78])
def test_so_many_seeds_are_needed_to_tell_methods_apart(pairs):
    n = ranking.seeds_needed(pairs)
    smallest = [ranking.rank_test(range(m), range(100, 100 + m))[0] for m in (n - 1, n)]
    assert smallest[0] * pairs >= ranking.ALPHA > smallest[1] * pairs


def test_all_pairs_together_err_no_more_often_than_stated():
    """Of 400 comparisons of 4 equal methods at most 5 % may find a difference: 33 or more have p < 0.005."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(400, 4, 10))
    found = sum(any(pair.significant for pair in ranking.pairwise(dict(enumerate(d)))) for d in draws)
    assert stats.binom.sf(32, 400, 0.05) < 0.005
    assert found <= 32
