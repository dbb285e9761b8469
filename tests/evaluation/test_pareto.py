import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.evaluation import crowding_distances, non_dominated, non_domination_ranks

few = st.integers(0, 4).map(float)  # so few values that ties and equal points are common
points = st.integers(1, 4).flatmap(
    lambda d: st.lists(st.lists(few, min_size=d, max_size=d), min_size=1, max_size=14)
)


def dominates(one, other, violation=0.0, other_violation=0.0) -> bool:
    """Deb et al. 2002, definition 1, word by word."""
    if violation <= 0 and other_violation > 0:
        return True
    if violation > 0 or other_violation > 0:
        return violation < other_violation
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def peeled(losses, violations) -> list[int]:
    """Front by front: those that none of the rest dominates."""
    ranks = [-1] * len(losses)
    rest, rank = set(range(len(losses))), 0
    while rest:
        front = {
            i
            for i in rest
            if not any(dominates(losses[j], losses[i], violations[j], violations[i]) for j in rest)
        }
        for i in front:
            ranks[i] = rank
        rest, rank = rest - front, rank + 1
    return ranks


@given(points, st.data())
def test_ranks_equal_those_of_the_definition(losses, data):
    assert non_domination_ranks(losses).tolist() == peeled(losses, [0.0] * len(losses))
    violations = data.draw(st.lists(st.integers(-1, 2), min_size=len(losses), max_size=len(losses)))
    assert non_domination_ranks(losses, violations).tolist() == peeled(losses, violations)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_ranks_of_many_points_equal_those_of_the_definition(dimensions):
    losses = np.random.default_rng(dimensions).normal(size=(300, dimensions)).round(1)
    beats = (losses[:, None] <= losses[None]).all(axis=2) & (losses[:, None] < losses[None]).any(axis=2)
    ranks, rank = np.full(len(losses), -1), 0
    while (rest := ranks < 0).any():
        ranks[rest & ~beats[rest].any(axis=0)] = rank
        rank += 1
    assert non_domination_ranks(losses).tolist() == ranks.tolist()
    assert non_dominated(losses).tolist() == (ranks == 0).tolist()


@given(points)
def test_the_front_is_what_nothing_dominates(losses):
    expected = [not any(dominates(other, one) for other in losses) for one in losses]
    assert non_dominated(losses).tolist() == expected


def test_failures_are_worst_and_share_a_front():
    losses = [[9.0, 9.0], [1.0, 1.0], [5.0, 0.0], [math.inf, math.inf], [math.nan, 0.0]]
    violations = [0.0, 3.0, 0.5, math.inf, math.nan]
    assert non_domination_ranks(losses, violations).tolist() == [0, 2, 1, 3, 3]


def test_missing_losses_count_as_infinite():
    losses = [[math.nan, 0.0], [1.0, 0.0], [1.0, math.nan]]
    assert non_domination_ranks(losses).tolist() == [1, 0, 1]
    assert non_dominated(losses).tolist() == [False, True, False]


def test_of_no_points_there_is_nothing():
    for function in (non_domination_ranks, non_dominated, crowding_distances):
        assert function([]).tolist() == []
        assert function(np.empty((0, 3))).tolist() == []


def test_crowding_by_hand():
    """Ranges 4 and 8: (2 - 0) / 4 + (8 - 3) / 8 = 1.125 for (1, 5); (4 - 1) / 4 + (5 - 0) / 8 = 1.375."""
    found = crowding_distances([[2.0, 3.0], [0.0, 8.0], [4.0, 0.0], [1.0, 5.0]])
    assert found.tolist() == [1.375, math.inf, math.inf, 1.125]


def test_a_loss_that_is_equal_for_all_or_infinite_for_some_adds_nothing():
    front = [[0.0, 7.0], [1.0, 7.0], [4.0, 7.0]]
    assert crowding_distances(front).tolist() == [math.inf, 1.0, math.inf]
    front = [[0.0, 7.0], [1.0, math.inf], [4.0, 7.0]]
    assert crowding_distances(front).tolist() == [math.inf, 1.0, math.inf]
    assert crowding_distances([[3.0, 3.0]] * 3).tolist() == [0.0] * 3


@given(points)
def test_crowding_keeps_to_scales_and_shifts(losses):
    """Multiplying a loss by a power of two and shifting all by integers changes nothing."""
    changed = np.array(losses) * 4.0 + 3.0
    assert crowding_distances(changed).tolist() == crowding_distances(losses).tolist()


@pytest.mark.parametrize("function", [non_domination_ranks, non_dominated, crowding_distances])
def test_shapes_are_checked(function):
    with pytest.raises(ValueError, match=r"losses: expected shape \(points, losses\); got \(3,\)"):
        function([1.0, 2.0, 3.0])


def test_violations_are_one_for_each_point():
    with pytest.raises(ValueError, match=r"violations: expected one for each of 2 points; got shape \(3,\)"):
        non_domination_ranks([[1.0], [2.0]], [0.0, 0.0, 0.0])


def test_a_chain_has_as_many_fronts_as_points_in_any_order():
    for order in itertools.permutations(range(5)):
        assert non_domination_ranks([[float(i), float(i)] for i in order]).tolist() == list(order)
