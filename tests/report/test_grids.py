"""Layered graphs of chains and their paths: all of them, the longest one, greedy ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nas.errors import DeadEndError
from nas.language import oneof, op
from nas.search_spaces.hypercuboid import Edge, edges
from nas.space import SearchSpace
from nas.supernet.layered import by_length, chosen_path, greedy
from nas.supernet.settings import PATHS
from tests.report.grid_kit import CHAINS, CUBOID, SMALL, grid_of, planted


def all_paths(grid):
    """Every sequence of steps that follow one another, by trying all."""
    numbers = (range(len(stage.steps)) for stage in grid.stages)
    for path in itertools.product(*numbers):
        taken = [stage.steps[number] for stage, number in zip(grid.stages, path, strict=True)]
        if taken[0].into == 0 and all(a.out == b.into for a, b in itertools.pairwise(taken)):
            yield path


def length_of(grid, weights, path):
    pairs = zip(grid.stages, path, strict=True)
    return sum(
        weights[stage.choice_group.number][number]
        for stage, number in pairs
        if stage.choice_group is not None
    )


def drawn(grid, rng, *, coarse=False):
    rows = [
        rng.integers(1, 4, len(group.options)) if coarse else rng.random(len(group.options))
        for group in grid.choice_groups
    ]
    return [row / row.sum() for row in rows]


def test_the_graph_of_the_paper():
    """An edge for each pair of widths and each operation; 4 layers of 2 strides."""
    grid = grid_of(CUBOID())
    assert [len(group.options) for group in grid.choice_groups] == [4 * 4 * 2] * 8
    assert grid.stages[0].choice_group is None  # a stem of each width, unweighted
    assert [len(stage.steps) for stage in grid.stages] == [4, *[32] * 8, 4, 1]


@pytest.mark.parametrize("name", ["hypercuboid", "widths", "integers", "sequences"])
@pytest.mark.parametrize("seed", range(8))
def test_paths_by_length_are_all_paths_sorted(name, seed):
    grid = grid_of(CHAINS[name])
    weights = drawn(grid, np.random.default_rng(seed), coarse=seed % 2 == 0)  # with ties and without
    found = list(by_length(grid, weights))
    assert sorted(found) == sorted(all_paths(grid))
    lengths = [length_of(grid, weights, path) for path in found]
    assert all(one >= other - 1e-12 for one, other in itertools.pairwise(lengths))


@pytest.mark.parametrize("seed", range(5))
def test_the_longest_of_six_thousand_paths(seed):
    """Against the dynamic programme written out: the best length to each width, layer by layer."""
    grid = grid_of(CHAINS["deeper"])
    weights = drawn(grid, np.random.default_rng(seed))
    best = np.zeros(3)
    for row in weights:
        best = (best[:, None, None] + row.reshape(3, 3, 2)).max(axis=(0, 2))
    assert length_of(grid, weights, next(by_length(grid, weights))) == pytest.approx(best.max(), abs=1e-12)


def test_equal_weights_take_no_time_on_the_grid_of_the_paper():
    """67 million paths of one length: the first of them, and no other is looked at to the end."""
    grid = grid_of(CUBOID())
    weights = [np.full(32, 1 / 32)] * 8
    assert next(by_length(grid, weights)) == (0,) * 11
    thirds = [np.full(32, 1 / 3)] * 8  # sums that rounding would tell apart
    assert next(by_length(grid, thirds)) == (0,) * 11


def test_greedy_and_longest_paths_by_hand():
    """The heaviest first step need not be on the longest path, nor the heaviest last one."""
    first = {(0, 0, 0): 0.5, (1, 1, 1): 0.4, (0, 1, 0): 0.1}
    second = {(0, 1, 1): 0.05, (1, 0, 0): 0.35, (1, 1, 0): 0.3, (0, 0, 0): 0.06}
    grid, weights = grid_of(SMALL), planted(first, second)
    conv, pool = "sharp_sep_conv", "resizable_pool"
    expected = {
        "top_down": [Edge(0, 1, 4, 4, conv), Edge(0, 2, 4, 4, conv)],  # 0.5 + 0.06
        "bottom_up": [Edge(0, 1, 6, 6, pool), Edge(0, 2, 6, 4, conv)],  # 0.4 + 0.35
        "longest_path": [Edge(0, 1, 6, 6, pool), Edge(0, 2, 6, 4, conv)],
    }
    for selection, path in expected.items():
        assert edges(chosen_path(SMALL, grid, weights, selection)) == path
    weights = planted({**first, (1, 1, 1): 0.02, (0, 1, 0): 0.021}, {**second, (0, 0, 0): 0.2})
    found = {selection: edges(chosen_path(SMALL, grid, weights, selection)) for selection in PATHS}
    assert found["bottom_up"] == [Edge(0, 1, 4, 6, conv), Edge(0, 2, 6, 4, conv)]
    assert found["longest_path"] == found["top_down"] == expected["top_down"]


@pytest.mark.parametrize("seed", range(5))
def test_greedy_paths_are_paths(seed):
    grid = grid_of(CHAINS["deeper"])
    weights = drawn(grid, np.random.default_rng(seed))
    longest = length_of(grid, weights, next(by_length(grid, weights)))
    for backwards in (False, True):
        path = greedy(grid, weights, backwards=backwards)
        taken = [stage.steps[number] for stage, number in zip(grid.stages, path, strict=True)]
        assert taken[0].into == 0
        assert all(one.out == other.into for one, other in itertools.pairwise(taken))
        assert length_of(grid, weights, path) <= longest + 1e-12
        first = weights[-1 if backwards else 0]
        position = grid.stages.index(
            next(s for s in grid.stages if s.choice_group is grid.choice_groups[-1 if backwards else 0])
        )
        assert path[position] == first.argmax()


def test_constraints_take_the_longest_path_that_they_admit():
    def no_pool(architecture):
        return "pool" if "pool" in architecture.text else None

    space = SearchSpace("mine", SMALL.expression, constraints=(no_pool,))
    grid = grid_of(space)
    weights = planted({(1, 1, 1): 0.5, (0, 1, 0): 0.1}, {(1, 0, 1): 0.5, (1, 0, 0): 0.2})
    for selection in PATHS:
        found = edges(chosen_path(space, grid, weights, selection))
        assert found == [Edge(0, 1, 4, 6, "sharp_sep_conv"), Edge(0, 2, 6, 4, "sharp_sep_conv")]
    never = SearchSpace("never", SMALL.expression, constraints=(lambda _: "no",))
    with pytest.raises(
        DeadEndError, match="expected one of the longest paths to meet the constraints, got none"
    ):
        chosen_path(never, grid, weights, "longest_path")


def test_a_first_choice_that_decides_more_than_the_shape_has_weights():
    assert [len(group.options) for group in grid_of(CHAINS["widths"]).choice_groups] == [4, 4]
    alone = SearchSpace("alone", op.conv(width=oneof(3, 4)) >> op.relu() >> op.head())
    assert [len(group.options) for group in grid_of(alone).choice_groups] == [2]
    merged = SearchSpace(
        "merged", op.stem(width=oneof(3, 4)) >> op.conv(width=2) >> (op.relu() | op.tanh()) >> op.head()
    )
    assert [len(group.options) for group in grid_of(merged).choice_groups] == [2, 2]
