from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from nas.report.protocol import MIN_PAIRS, agreement, smallest_p_of_tau
from nas.run.protocol import FEWEST

NAN = math.nan


def test_four_pairs_worked_out_by_hand() -> None:
    """Ranks 1 2 3 4 against 2 1 3 4: five of six pairs agree, so tau = (5 - 1) / 6."""
    found = agreement([1.0, 2.0, 3.0, 4.0], [2.5, 2.0, 3.5, 6.0])
    assert found.n == 4
    assert found.tau == pytest.approx(4 / 6)
    assert found.p == pytest.approx(
        8 / 24
    )  # 1 + 3 permutations have a tau of at least 4 / 6, and as many below
    assert found.shift == 1
    assert found.difference == pytest.approx((1.5 + 0 + 0.5 + 2) / 4)
    assert found.change == pytest.approx(1.0)
    assert found.change_std == pytest.approx(math.sqrt((0.25 + 1 + 0.25 + 1) / 3))
    assert found.largest_change == pytest.approx(2.0)
    assert found.interval[0] < found.difference < found.interval[1]


def test_reversed_ranks_shift_by_all_places_but_one() -> None:
    found = agreement([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
    assert (found.tau, found.shift, found.difference) == (pytest.approx(-1), 4, 0)
    assert found.change == pytest.approx(12 / 5)


def test_ties_share_their_rank() -> None:
    """Ranks 1, 2.5, 2.5 against 3, 1, 2: two pairs disagree, one is tied on a side; the first moves by 2."""
    found = agreement([1.0, 2.0, 2.0], [9.0, 7.0, 8.0])
    assert found.shift == 2
    assert found.tau == pytest.approx(-2 / math.sqrt(2 * 3))


def test_pairs_without_a_value_are_left_out() -> None:
    found = agreement([1, NAN, 2, 3, 4], [1, 5, NAN, 3, 4])
    assert found.n == 3
    assert found.tau == 1
    assert agreement([1, NAN, 2, 3, 4], [1, 5, NAN, 3, 4]) == agreement([1, 3, 4], [1, 3, 4])


@pytest.mark.parametrize("n", range(MIN_PAIRS))
def test_below_three_pairs_there_is_no_correlation(n: int) -> None:
    found = agreement([1.0, 2.0][:n], [2.0, 3.0][:n])
    assert (found.n, math.isnan(found.tau), math.isnan(found.p), math.isnan(found.shift)) == (
        n,
        True,
        True,
        True,
    )
    assert math.isnan(found.difference) is (n == 0)
    assert math.isnan(found.change_std) is (n < 2)


def test_a_constant_side_has_no_correlation() -> None:
    found = agreement([1, 1, 1, 1], [1, 2, 3, 4])
    assert math.isnan(found.tau)
    assert math.isnan(found.p)


@pytest.mark.parametrize("seed", range(5))
def test_tau_and_shift_are_those_of_an_independent_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 12, (2, 15)).astype(float)  # with ties
    found = agreement(a.tolist(), b.tolist())
    expected = stats.kendalltau(a, b)
    assert (found.tau, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.shift == np.abs(stats.rankdata(a) - stats.rankdata(b)).max()
    pairs = [(i, j) for i, j in itertools.combinations(range(15), 2) if a[i] != a[j] and b[i] != b[j]]
    signs = sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs)
    untied = [sum(x[i] != x[j] for i, j in itertools.combinations(range(15), 2)) for x in (a, b)]
    assert found.tau == pytest.approx(signs / math.sqrt(untied[0] * untied[1]))


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_the_smallest_p_is_that_of_equal_ranks(n: int) -> None:
    assert agreement(range(n), range(n)).p == pytest.approx(smallest_p_of_tau(n))


def test_studies_have_as_many_architectures_as_a_correlation_takes() -> None:
    assert FEWEST == MIN_PAIRS
