import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nas.report import statistics

SMALL = st.lists(st.integers(0, 4), min_size=1, max_size=4)
PAIR = (0.90, 0.92, 0.94), (0.80, 0.85, 0.90)


def test_relative_improvement_is_the_formula_of_yang_et_al():
    assert statistics.relative_improvement([97.0, 97.4], [96.0, 97.0]) == pytest.approx(100 * 0.7 / 96.5)


def test_relative_improvement_of_a_minimised_quantity_is_positive_when_lower():
    assert statistics.relative_improvement([9.0], [10.0], direction="minimize") == pytest.approx(10.0)


def test_relative_improvement_keeps_its_sign_when_the_baseline_is_negative():
    assert statistics.relative_improvement([-1.0], [-2.0]) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("method", "random"), [([], [1.0]), ([1.0], []), ([1.0], [0.0]), ([math.nan], [1.0])]
)
def test_relative_improvement_without_a_meaning_is_nan(method, random):
    assert math.isnan(statistics.relative_improvement(method, random))


def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="maximize"):
        statistics.relative_improvement([1.0], [1.0], direction="up")


def test_bootstrap_interval_is_near_scipys_percentile_interval():
    method, random = PAIR
    expected = stats.bootstrap(
        (method, random),
        lambda a, b, axis: 100 * (a.mean(axis) - b.mean(axis)) / b.mean(axis),
        method="percentile",
        rng=np.random.default_rng(5),
        n_resamples=9999,
    ).confidence_interval
    assert statistics.bootstrap_interval(method, random) == pytest.approx(tuple(expected), abs=0.3)


def test_bootstrap_interval_depends_on_its_seed_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    pair = np.random.default_rng(0).normal(10, 1, size=(2, 8))
    assert statistics.bootstrap_interval(*pair, seed=3) == statistics.bootstrap_interval(*pair, seed=3)
    assert statistics.bootstrap_interval(*pair, seed=3) != statistics.bootstrap_interval(*pair, seed=4)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_bootstrap_interval_mirrors_for_a_minimised_quantity():
    low, high = statistics.bootstrap_interval(*PAIR)
    assert statistics.bootstrap_interval(*PAIR, direction="minimize") == pytest.approx((-high, -low))


def test_bootstrap_interval_without_variance_is_a_point():
    assert statistics.bootstrap_interval([2.0] * 3, [1.0] * 3) == (100.0, 100.0)


@pytest.mark.parametrize(
    ("method", "random"),
    [([1.0], [1.0, 2.0, 3.0]), ([], []), ([1.0, 2.0, 3.0], [-1.0, 1.0, 1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0])],
    ids=str,
)
def test_bootstrap_interval_without_a_meaning_is_nan(method, random):
    assert all(math.isnan(end) for end in statistics.bootstrap_interval(method, random))


@pytest.mark.parametrize(
    ("values", "unclear"),
    [
        ([1.0, 2.0, 3.0], False),
        ([-1.0, -2.0, -3.0], False),
        ([-0.01, 5.0, 5.0, 6.0, 5.0, 5.0, 5.0, 5.0], False),  # one resample in 8**8 is all negative
        ([-1.0, 0.5, 1.0], True),
        ([0.0, 0.0], True),
        ([], False),
    ],
    ids=str,
)
def test_the_sign_of_a_mean_is_unclear_where_resamples_disagree(values, unclear):
    assert statistics.sign_is_unclear(values) is unclear
    result = statistics.compare([7.0, 8.0, 9.0], values)
    assert math.isnan(result.relative_improvement) is (unclear or not values)
    assert all(math.isnan(end) for end in result.interval) is (unclear or not values)


def test_bootstrap_interval_covers_the_truth_about_as_often_as_stated():
    rng = np.random.default_rng(0)
    draws = rng.normal(96, 0.3, size=(300, 2, 8))
    intervals = [statistics.bootstrap_interval(a, b) for a, b in draws]
    assert 0.84 < np.mean([low <= 0 <= high for low, high in intervals]) < 0.96


def test_mean_interval_is_near_scipys_and_needs_three_values():
    values = np.random.default_rng(0).normal(96, 0.3, 8)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert statistics.mean_interval(values) == pytest.approx(tuple(expected.confidence_interval), abs=0.01)
    assert all(math.isnan(end) for end in statistics.mean_interval([1.0, math.nan]))
    assert all(math.isnan(end) for end in statistics.mean_interval([1.0, 2.0, math.nan]))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 3), (4, 7), (8, 8), (30, 40), (2, 300), (5, 100)])
def test_rank_test_without_ties_equals_scipys_exact_test(n, m):
    values = np.random.default_rng(n).permutation(n + m) / 7
    p, smallest = statistics.rank_test(values[:n], values[n:])
    assert p == pytest.approx(stats.mannwhitneyu(values[:n], values[n:], method="exact").pvalue)
    assert smallest == pytest.approx(min(1.0, 2 / math.comb(n + m, n)))


@given(SMALL, SMALL)
def test_rank_test_with_ties_equals_the_enumeration_of_all_splits(a, b):
    pooled = np.array(a + b)
    ranks = stats.rankdata(pooled)
    sums = np.array([ranks[list(c)].sum() for c in itertools.combinations(range(len(pooled)), len(a))])
    distance = np.abs(sums - len(a) * (len(pooled) + 1) / 2)
    p, smallest = statistics.rank_test(a, b)
    if min(len(a), len(b)) > 1:
        assert p == pytest.approx((distance >= distance[0]).mean())
    else:
        assert math.isnan(p), "one value on a side is described, not tested"
    assert smallest == pytest.approx((distance == distance.max()).mean())


def test_rank_test_of_large_samples_equals_scipys_approximation():
    a, b = (
        np.random.default_rng(0).normal(0.2, 1, 80).round(1),
        np.random.default_rng(1).normal(0, 1, 60).round(1),
    )
    p, smallest = statistics.rank_test(a, b)
    assert p == pytest.approx(stats.mannwhitneyu(a, b, method="asymptotic").pvalue)
    assert 0 < smallest < 1e-15


def test_rank_test_of_equal_values_finds_nothing_at_any_size():
    assert statistics.rank_test([1.0] * 8, [1.0] * 8) == (1.0, 1.0)
    assert statistics.rank_test([1.0] * 80, [1.0] * 80) == (1.0, 1.0)


@given(SMALL, SMALL)
def test_superiority_counts_the_pairs(a, b):
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert statistics.superiority(a, b) == pytest.approx(np.mean(pairs))
    assert statistics.superiority(a, b, direction="minimize") == pytest.approx(1 - np.mean(pairs))


def test_compare_states_both_samples():
    result = statistics.compare([0.9, 0.91, 0.92, math.nan], [0.8, 0.85, 0.9])
    assert (result.n_method, result.n_random, result.left_out) == (3, 3, 1)
    assert result.mean_method == pytest.approx(0.91)
    assert result.std_random == pytest.approx(0.05)
    assert result.interval[0] < result.relative_improvement < result.interval[1]


def test_verdict_of_a_clear_difference():
    result = statistics.compare(np.arange(8) + 100.0, np.arange(8.0))
    assert result.significant()
    assert result.verdict() == "better than random sampling (p < 0.001, n = 8 and 8)"


def test_verdict_of_a_minimised_quantity_turns():
    result = statistics.compare(np.arange(8) + 100.0, np.arange(1, 9), direction="minimize")
    assert result.verdict() == "worse than random sampling (p < 0.001, n = 8 and 8)"


def test_verdict_says_not_significant_plainly():
    result = statistics.compare([1.0, 3.0, 5.0, 7.0], [2.0, 4.0, 6.0, 8.0])
    assert not result.significant()
    assert result.verdict() == "not significant (p = 0.69, n = 4 and 4)"


def test_verdict_says_when_the_samples_are_too_small_to_ever_reach_significance():
    result = statistics.compare([10.0, 11.0, 12.0], [1.0, 2.0, 3.0])
    assert result.p == pytest.approx(0.1)
    assert result.verdict() == (
        "not significant: with n = 3 and 3 the rank test cannot reach p < 0.05; the smallest p that this "
        "design can reach is 0.10"
    )
    assert result.tested() == "not significant (p = 0.10, at least 0.10)"
    assert not result.can_reach()


@pytest.mark.parametrize(
    ("method", "random", "smallest"),
    [
        ([9.0], [*range(9), 9], "0.091"),
        ([30.0], list(range(20)), "0.095"),
        ([30.0], [0.0] * 10 + [1.0] * 10, "0.048"),  # ties at one end: the p that was printed in bold
        ([30.0], list(range(200)), "0.01"),
        ([1.0, 2.0, 3.0], [0.0], "0.50"),
        ([1.0], [1.0], "1.00"),
    ],
    ids=str,
)
def test_a_single_value_on_a_side_is_described_and_never_tested(method, random, smallest):
    result = statistics.compare(method, random)
    assert result.descriptive
    assert math.isnan(result.p)
    assert not result.significant()
    assert not result.can_reach()
    assert result.verdict() == (
        "described, not tested: a single value on a side says nothing about a method "
        f"(n = {len(method)} and {len(random)}; the smallest p that this design can reach is {smallest})"
    )
    assert result.tested() == f"descriptive (p at least {smallest})"


HUGE = [
    *([1e308, 1.1e308, 1.2e308, 1.7e308], [1.7e308] * 9, [-1.7e308, 1.7e308, 0.0, 1.0]),
    *([1e200, 1.0, -1e200], [5e-324, 1e-323, 0.0, 5e-324], [1e154, 1e160, 3.0], [math.inf, 1.0, 2.0, 1e308]),
    *([math.nan, 1e-300, 1e300, 1.0], [-1.7e308] * 3, [0.0] * 4, [math.inf, -math.inf, math.nan]),
]


@pytest.mark.parametrize("values", HUGE, ids=str)
@pytest.mark.parametrize("others", HUGE, ids=str)
def test_arithmetic_survives_every_float(values, others):
    """Exact where a float holds the answer; neither a warning, which is an error here, nor an exception."""
    finite = [Fraction(value) for value in values if math.isfinite(value)]
    if finite:
        scale = max(map(abs, finite)) or Fraction(1)
        middle = sum(finite) / len(finite)
        assert abs(Fraction(statistics.mean(values)) - middle) <= scale / 10**14 + Fraction(5e-324)
    if len(finite) > 1:
        exact = math.sqrt(sum(((value - middle) / scale) ** 2 for value in finite) / (len(finite) - 1))
        found = statistics.deviation(values)
        holds = Fraction(exact) * scale < Fraction(1.79e308)
        error = scale / 10**14 + Fraction(5e-324)
        assert abs(Fraction(found) - Fraction(exact) * scale) <= error if holds else found == math.inf
    for direction in ("maximize", "minimize"):
        result = statistics.compare(values, others, direction=direction)
        low, high = result.interval
        assert math.isnan(low) or low <= high
        assert result.verdict()
    statistics.mean_interval(values)
    statistics.sign_is_unclear(values)
    statistics.expected_best(values)


def test_scaling_changes_no_ordinary_number():
    values = np.random.default_rng(0).normal(90, 3, 11)
    assert statistics.mean(values) == values.mean()
    assert statistics.deviation(values) == values.std(ddof=1)


def test_two_values_of_opposite_sign_have_a_relative_improvement():
    result = statistics.compare([1.7e308] * 3, [-1.7e308] * 3)
    assert result.relative_improvement == 200.0
    assert result.interval == (200.0, 200.0)


def test_verdict_names_a_contradiction_between_ranks_and_means():
    result = statistics.compare([2.0] * 7 + [-1000.0], [1.0] * 8)
    assert result.relative_improvement < 0
    assert result.verdict().startswith("better than random sampling (")
    assert result.verdict().endswith("by ranks; the means say the opposite)")


@pytest.mark.parametrize(("method", "random"), [([], []), ([1.0], []), ([], [1.0, 2.0])], ids=str)
def test_compare_without_values_has_no_test(method, random):
    result = statistics.compare(method, random)
    assert not result.significant()
    assert result.verdict() == f"not compared (n = {len(method)} and {len(random)})"


@pytest.mark.parametrize(
    ("p", "text"), [(0.00012, "p < 0.001"), (0.0312, "p = 0.031"), (0.32, "p = 0.32"), (1.0, "p = 1.00")]
)
def test_p_values_are_printed_as_in_papers(p, text):
    assert statistics.format_p(p) == text


def test_kendall_tau_of_one_swap():
    assert statistics.kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)
    assert math.isnan(statistics.kendall_tau([1, 1], [1, 2]))
    assert math.isnan(statistics.kendall_tau([1], [1]))


def test_largest_rank_shift_shares_the_ranks_of_ties():
    assert statistics.largest_rank_shift([1, 2, 3, 4], [4, 2, 3, 1]) == 3
    assert statistics.largest_rank_shift([1, 2, 3], [5, 5, 0]) == 2
    assert math.isnan(statistics.largest_rank_shift([], []))


def test_best_so_far_skips_failures():
    values = [math.nan, 1.0, 0.5, math.nan, 2.0]
    np.testing.assert_equal(statistics.best_so_far(values), [math.nan, 1, 1, 1, 2])
    np.testing.assert_equal(
        statistics.best_so_far(values, direction="minimize"), [math.nan, 1, 0.5, 0.5, 0.5]
    )
    assert statistics.best_so_far([]).size == 0


@given(SMALL)
def test_expected_best_equals_the_mean_over_all_draws(values):
    draws = [list(itertools.combinations(values, k)) for k in range(1, len(values) + 1)]
    assert statistics.expected_best(values) == pytest.approx([np.mean([max(d) for d in k]) for k in draws])
    assert statistics.expected_best(values, direction="minimize") == pytest.approx(
        [np.mean([min(d) for d in k]) for k in draws]
    )


def test_expected_best_of_nothing_is_empty():
    assert statistics.expected_best([math.nan]).size == 0


def test_equal_values_have_no_deviation_whatever_their_sum_rounds_to():
    for value in (0.1, 94.1, 1 / 3, -7.7e-5):
        for n in (2, 3, 6, 7, 10):
            assert statistics.mean([value] * n) == value
            assert statistics.deviation([value] * n) == 0.0
    assert statistics.mean_interval([94.1] * 6) == (94.1, 94.1)
