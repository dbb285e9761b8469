from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import f_oneway

from nas.report.audit import differences, originals, spread


def test_pooled_deviations_by_hand() -> None:
    values = [1.0, 3.0, 10.0, 10.0, 16.0, 5.0]
    found = spread(values, [0, 0, 1, 1, 1, 2], ["a", "b", "c", "c", "d", "e"], permutations=9)
    # squares within classes: 2 and 24, of 1 + 2 degrees of freedom; within "c": 0, of 1
    assert found.within == pytest.approx(math.sqrt(26 / 3))
    assert found.replicate == 0
    assert found.overall == pytest.approx(np.std(values, ddof=1))
    assert (found.median_range, found.largest_range) == (4, 6)
    assert (found.classes, found.replicates, found.members, found.copies) == (2, 1, 6, 0)


def test_f_in_one_class_is_that_of_a_one_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(size=size) for size in (4, 7, 5)]
    values = np.concatenate(groups).tolist()
    labels = [n for n, group in enumerate(groups) for _ in group]
    found = spread(values, [0] * len(values), labels, permutations=1999)
    expected = f_oneway(*groups)
    assert found.f == pytest.approx(expected.statistic)
    assert found.degrees == (2, 13)
    assert found.p == pytest.approx(expected.pvalue, abs=0.04)  # four standard errors of a share of 1,999


def drawn(rng: np.random.Generator, extra: float) -> tuple[list[float], list[int], list[int]]:
    """120 classes of different level and noise, three groups of three in each, that differ by `extra`."""
    values, classes, groups = [], [], []
    for label in range(120):
        level, noise = rng.normal(scale=10), rng.uniform(0.5, 1.5)
        for group in range(3):
            values += (level + extra * rng.normal() + noise * rng.normal(size=3)).tolist()
            classes += [label] * 3
            groups += [group] * 3
    return values, classes, groups


def test_groups_that_differ_are_found_and_their_deviation_is_estimated() -> None:
    found = spread(*drawn(np.random.default_rng(2), extra=1.0), permutations=199)
    assert found.p == pytest.approx(1 / 200)
    assert found.extra == pytest.approx(1.0, abs=0.25)
    assert found.replicate == pytest.approx(1.04, abs=0.1)  # root of the mean of squares of U(0.5, 1.5)


def test_groups_that_do_not_differ_are_rejected_as_often_as_stated() -> None:
    """alpha = 0.1 in 60 draws: 15 or more rejections have probability 0.0007."""
    rng = np.random.default_rng(3)
    p = [spread(*drawn(rng, extra=0.0), permutations=39).p for _ in range(60)]
    assert sum(value <= 0.1 for value in p) < 15
    assert np.mean(p) == pytest.approx(0.5, abs=0.17)  # four and a half standard errors


def test_nothing_to_compare_gives_no_test() -> None:
    found = spread([1.0, 2.0, math.nan], [0, 1, 1], [0, 0, 0])
    assert math.isnan(found.f)
    assert math.isnan(found.p)
    assert math.isnan(found.within)
    assert (found.members, found.classes) == (2, 0)


def test_copies_share_two_results_with_an_earlier_one_of_their_class() -> None:
    results = [(1.0, 2.0, 3.0), (1.0, 2.0, 9.0), (1.0, 5.0, 6.0), (1.0, 2.0, 3.0)]
    assert originals(results, ["a", "a", "a", "b"]) == [0, 2, 3]
    assert originals([(1.0,), (1.0,), (2.0,)], ["a", "a", "a"]) == [0, 2]


def test_differences_are_of_the_first_two_distinct_values_of_a_group() -> None:
    values = [1.0, 1.0, 4.0, 9.0, 2.0, math.nan, 2.5]
    assert differences(values, ["a", "a", "a", "a", "b", "b", "b"]).tolist() == [0.5, 3.0]
