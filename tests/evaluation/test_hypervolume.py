import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.evaluation import hypervolume


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_hypervolume_of_a_staircase(dimensions):
    """n points (i, .., n - 1 - i) in the first two axes, 0 elsewhere: n (n + 1) / 2 unit cells."""
    n = 5
    points = np.zeros((n, dimensions))
    points[:, 0] = np.arange(n)
    if dimensions > 1:
        points[:, 1] = np.arange(n)[::-1]
    reference = np.ones(dimensions)
    reference[:2] = n
    expected = n if dimensions == 1 else n * (n + 1) / 2
    assert hypervolume(points, reference) == pytest.approx(expected)


@settings(max_examples=60)
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.lists(st.lists(st.integers(0, 5), min_size=d, max_size=d), min_size=1, max_size=6)
    )
)
def test_hypervolume_equals_the_count_of_dominated_unit_cells(points):
    points = np.array(points)
    reference = np.full(points.shape[1], 4)
    cells = np.array(list(itertools.product(range(4), repeat=points.shape[1])))
    dominated = (points[None] <= cells[:, None]).all(axis=2).any(axis=1).sum()
    assert hypervolume(points, reference) == pytest.approx(dominated)


def test_hypervolume_of_nothing_is_zero():
    assert hypervolume([], [1.0, 1.0]) == 0
    assert hypervolume([[2.0, 0.0], [math.nan, 0.0]], [1.0, 1.0]) == 0


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5])
def test_hypervolume_by_inclusion_and_exclusion(dimensions):
    """Boxes between points and reference: volumes of all their intersections, signs alternating."""
    rng = np.random.default_rng(dimensions)
    reference = np.full(dimensions, 1.5)
    for _ in range(10):
        points = rng.random((7, dimensions)) * 2  # some are not better than the reference
        expected = 0.0
        for size in range(1, len(points) + 1):
            for chosen in itertools.combinations(points, size):
                sides = np.maximum(0.0, reference - np.max(chosen, axis=0))
                expected -= (-1) ** size * sides.prod()
        assert hypervolume(points, reference) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("dimensions", "count"), [(1, 50), (2, 400), (3, 150), (4, 40), (5, 20)])
def test_hypervolume_is_the_sum_of_what_each_point_adds_to_later_ones(dimensions, count):
    """While, Bradstreet and Barone 2012, without their reordering."""

    def added(points):
        if not len(points):
            return 0.0
        first, rest = points[0], np.unique(np.maximum(points[1:], points[0]), axis=0)
        worse = (rest[:, None] >= rest[None]).all(axis=2)
        np.fill_diagonal(worse, False)
        return np.prod(reference - first) - volume(rest[~worse.any(axis=1)])

    def volume(points):
        return sum(added(points[i:]) for i in range(len(points)))

    points = np.abs(np.random.default_rng(dimensions).normal(size=(count, dimensions)))
    points /= np.linalg.norm(points, axis=1, keepdims=True)  # on a sphere none dominates another
    points, behind = 1 - points, 1.05 - points[:5]
    reference = np.full(dimensions, 1.1)
    expected = volume(np.unique(points, axis=0)) if dimensions > 1 else 1.1 - points.min()
    assert hypervolume(np.vstack([points, behind]), reference) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_hypervolume_of_a_simplex(dimensions):
    """Integer points with sum n - 1 dominate the unit cells whose lower corner has at least that sum."""
    n = 6
    grid = np.array(list(itertools.product(range(n), repeat=dimensions)))
    front = grid[grid.sum(axis=1) == n - 1]
    below = math.comb(n - 2 + dimensions, dimensions)  # cells with sum at most n - 2
    assert hypervolume(front, np.full(dimensions, n)) == pytest.approx(n**dimensions - below)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_points_that_are_dominated_or_repeated_add_nothing(dimensions):
    rng = np.random.default_rng(dimensions)
    front, reference = rng.random((5, dimensions)), np.full(dimensions, 2.0)
    behind = np.vstack([front, front, front + rng.random((5, dimensions)) / 2])
    assert hypervolume(rng.permutation(behind), reference) == pytest.approx(hypervolume(front, reference))
