"""Tree search on spaces with constraints and with more children than trials."""

from __future__ import annotations

import math

import pytest

from algorithms.mcts import MonteCarloTreeSearch
from nas.architecture import Architecture
from nas.errors import DeadEndError
from nas.space import SearchSpace
from tests.algorithms.mcts_kit import BLOCK, MAXIMIZE, MINIMIZE, ROOT, SMALL, run


def no_relu_first(architecture: Architecture) -> str | None:
    return "relu first" if architecture.text.startswith("relu") else None


def test_a_part_of_the_tree_without_admissible_architectures_is_left():
    space = SearchSpace("small", str(SMALL), constraints=(no_relu_first,))
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0)
    asked = run(searcher, 40, lambda architecture: 1.0)
    assert all(text.startswith("gelu") for text in asked)
    tree = searcher.tree()
    assert tree[ROOT].gone == {0}
    assert set(tree) == {ROOT, (1,), (1, 0), (1, 1)}


def test_a_node_none_of_whose_completions_is_admissible_counts_as_a_failure():
    """Of 5^7 architectures behind relu none is; the other children are preferred like better arms."""
    space = SearchSpace("deep", " >> ".join([BLOCK] * 8), constraints=(no_relu_first,))
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0)
    run(searcher, 60, lambda architecture: 1.0)
    tree = searcher.tree()
    assert 1 <= tree[0,].told <= 6
    assert tree[0,].successes == 0
    assert tree[ROOT].told == 60 + tree[0,].told
    assert sum(path[:1] == (0,) for path in tree) == tree[0,].told


def test_without_any_admissible_architecture_the_reason_is_given():
    space = SearchSpace("none", str(SMALL), constraints=(lambda architecture: "too small",))
    with pytest.raises(
        DeadEndError, match="none: nothing admissible in 1000 draws; the last reason: too small"
    ):
        MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0).ask(1)


def test_rare_admissible_architectures_are_found_and_the_tree_stays_small():
    """Four of six parts in five have to be the same: 1.7 % of the random architectures have that."""
    space = SearchSpace(
        "rare",
        " >> ".join([BLOCK] * 6),
        constraints=(lambda a: None if a.text.count("tanh") >= 4 else "fewer than four tanh",),
    )
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0)
    asked = run(searcher, 60, lambda a: float(a.text.count("gelu")))
    assert all(text.count("tanh") >= 4 for text in asked)
    assert max(text.count("gelu") for text in asked) == 2
    assert len(searcher.tree()) <= 20 * 60


@pytest.mark.parametrize("hole", ["real(0.0, 0.5)", "real(1e-6, 0.5, log=True)"])
def test_real_numbers_get_children_one_by_one(hole):
    space = SearchSpace("numbers", f"dropout(rate={hole})")
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0)
    for number in range(1, 201):
        run(searcher, 1, lambda a: 1.0, number - 1)
        children = len(searcher.tree()) - 1
        assert children == math.ceil(math.sqrt(number - 1))


def test_many_integers_and_counts_get_children_one_by_one_and_few_at_once():
    few = MonteCarloTreeSearch(SearchSpace("few", "conv(width=integer(1, 16))"), (MAXIMIZE,), seed=0)
    many = MonteCarloTreeSearch(SearchSpace("many", "conv(width=integer(1, 1000))"), (MAXIMIZE,), seed=0)
    counts = MonteCarloTreeSearch(SearchSpace("counts", "repeat(relu(), 1, 400)"), (MAXIMIZE,), seed=0)
    for searcher in (few, many, counts):
        run(searcher, 17, lambda a: 1.0)
    assert len(few.tree()) == 17
    assert 3 <= len(many.tree()) <= 5  # at most the root and 4 children; a number may be drawn twice
    assert 3 <= len(counts.tree()) <= 5


def test_numbers_near_the_optimum_are_visited_most():
    space = SearchSpace("numbers", "dropout(rate=real(0.0, 1.0))")
    searcher = MonteCarloTreeSearch(space, (MINIMIZE,), seed=3, exploration=0.2)
    run(searcher, 400, lambda a: (float(a.text[13:-1]) - 0.3) ** 2)
    children = {path[0]: node.told for path, node in searcher.tree().items() if path}
    assert abs(max(children, key=children.__getitem__) - 0.3) < 0.1
