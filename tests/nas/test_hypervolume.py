import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.hypervolume import hypervolume


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
