from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from nas.algorithms.mcts import MonteCarloTreeSearch, Tree, uct
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError, DeadEndError
from nas.evaluation import Evaluation, Objective, Status, failure
from nas.space import Architecture, SearchSpace
from nas.study import Searcher, Suggestion, Trial

MAXIMIZE, MINIMIZE = Objective("accuracy"), Objective("error", "minimize")
SMALL = SearchSpace("small", "(relu() | gelu()) >> (silu() | tanh())")
BLOCK = "(relu() | gelu() | silu() | tanh() | sigmoid())"
ROOT: tuple[int, ...] = ()


def outcome(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value, "error": value}, 1.0)


def run(searcher: Searcher, trials: int, value: Callable[[Architecture], float], start: int = 0) -> list[str]:
    """One at a time; the texts asked for."""
    asked = []
    for number in range(start, start + trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture.text)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value(suggestion.architecture))))
    return asked


def visits(searcher: MonteCarloTreeSearch) -> dict[tuple[int | float, ...], int]:
    return {path: node.told for path, node in searcher.tree().items()}


def starts_with_relu(architecture: Architecture) -> float:
    return float(architecture.text.startswith("relu"))


def test_score_is_the_formula():
    """0.5 + 0.5 sqrt(2 ln 10 / 4) = 0.5 + 0.5 * 1.072984; 1 + sqrt(2 ln 3)."""
    assert uct(0.5, 10, 4, 0.5) == pytest.approx(1.036492, abs=1e-6)
    assert uct(1.0, 3, 1, 1.0) == pytest.approx(1 + 1.482304, abs=1e-6)


def test_score_of_a_node_takes_results_failures_and_trials_in_flight():
    """Losses 2 and 10 are rewards 1 and 0, 4 is 0.75; a failure and a trial in flight are 0."""
    tree = Tree(0.5)
    root = tree.grow(None, 0)
    left, right = tree.grow(root, 0), tree.grow(root, 1)
    tree.back_up([root, left], 4.0)
    assert tree.reward(tree.nodes[left]) == 1.0  # the only success so far
    tree.back_up([root, left], 2.0)
    tree.back_up([root, right], 10.0)
    assert tree.reward(tree.nodes[left]) == pytest.approx((0.75 + 1) / 2)
    tree.back_up([root, left], math.inf)
    tree.count_pending([root, left], 1)
    assert tree.reward(tree.nodes[left]) == pytest.approx((0.75 + 1) / 4)
    score = tree.score(tree.nodes[root], tree.nodes[left])
    assert score == pytest.approx(1.75 / 4 + 0.5 * math.sqrt(2 * math.log(5) / 4))
    tree.count_pending([root, left], -1)
    assert tree.reward(tree.nodes[left]) == pytest.approx((0.75 + 1) / 3)


def test_visits_of_a_tree_worked_out_by_hand():
    """c = 0.5; relu first is worth 1, gelu first 0, so that only visits decide.

    Trial 0 ends at the root, trials 1 and 2 visit both children. At N visits of the root relu, with N - 2,
    has 1 + 0.5 sqrt(2 ln N / (N - 2)), gelu, with 1, has 0.5 sqrt(2 ln N): gelu is ahead once
    sqrt(2 ln N) (1 - 1 / sqrt(N - 2)) > 2, which is 1.98 at N = 24 and 2.01 at N = 25. Until then relu's own
    visit and 22 more, shared by its children, which are equally good.
    """
    searcher = MonteCarloTreeSearch(SMALL, (MAXIMIZE,), seed=0, exploration=0.5)
    run(searcher, 1, starts_with_relu)
    assert visits(searcher) == {ROOT: 1}
    run(searcher, 2, starts_with_relu, 1)
    assert visits(searcher) == {ROOT: 3, (0,): 1, (1,): 1}
    asked = run(searcher, 22, starts_with_relu, 3)
    assert visits(searcher) == {ROOT: 25, (0,): 23, (1,): 1, (0, 0): 11, (0, 1): 11}
    assert all(text.startswith("relu") for text in asked)
    (text,) = run(searcher, 1, starts_with_relu, 25)
    assert text.startswith("gelu")
    assert visits(searcher)[1,] == 2


def test_results_enter_the_nodes_that_were_passed_and_not_what_was_drawn_behind():
    chain = SearchSpace("chain", " >> ".join([BLOCK] * 4))
    searcher = MonteCarloTreeSearch(chain, (MAXIMIZE,), seed=0)
    run(searcher, 6, lambda architecture: 1.0)
    found = visits(searcher)
    assert found == {ROOT: 6, **{(option,): 1 for option in range(5)}}
    assert [searcher.ask(1)[0].info["depth"] for _ in range(5)] == [2] * 5


@pytest.mark.parametrize("seed", range(3))
def test_scale_and_direction_of_the_objective_do_not_matter(seed):
    """Powers of two, so that no rounding breaks ties in another way."""
    value = lambda architecture: float(len(architecture.text) % 7)  # noqa: E731
    space = SearchSpace("chain", " >> ".join([BLOCK] * 3))
    plain = run(MonteCarloTreeSearch(space, (MAXIMIZE,), seed=seed), 100, value)
    other = MonteCarloTreeSearch(space, (MINIMIZE,), seed=seed)
    assert run(other, 100, lambda architecture: 512 - 1024 * value(architecture)) == plain


def test_plays_of_worse_arms_stay_below_the_bound_of_ucb1():
    """Auer et al. 2002 (https://doi.org/10.1023/A:1013689704352), Theorem 1.

    With c = 1 and rewards in [0, 1] an arm that is worse by d is expected to be played at most
    8 ln n / d^2 + 1 + pi^2 / 3 times of n.
    """
    arms = {"relu()": 0.2, "gelu()": 0.4, "silu()": 0.5, "tanh()": 0.8}
    plays = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        space = SearchSpace("arms", " | ".join(arms))
        searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=seed, exploration=1.0)
        run(searcher, 2000, lambda a, rng=rng: float(rng.random() < arms[a.text]))
        plays.append([visits(searcher)[arm,] for arm in range(4)])
    means = np.mean(plays, axis=0)
    for mean, worth in zip(means[:3], list(arms.values())[:3], strict=True):
        assert mean <= 8 * math.log(2000) / (0.8 - worth) ** 2 + 1 + math.pi**2 / 3
    assert means[3] > 1600


def test_the_share_of_the_best_arm_grows_towards_one():
    space = SearchSpace("arms", BLOCK)
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=1)
    value = lambda a: {"tanh()": 0.9, "silu()": 0.8}.get(a.text, 0.0)  # noqa: E731
    shares = []
    for start, stop in ((0, 50), (50, 200), (200, 1000), (1000, 4000)):
        shares.append(run(searcher, stop - start, value, start).count("tanh()") / (stop - start))
    assert shares == sorted(shares)
    assert shares[-1] > 0.95


def test_trials_in_flight_each_have_a_leaf_of_their_own():
    space = SearchSpace("chain", " >> ".join([BLOCK] * 3))
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0)
    given = searcher.ask(31)  # root, 5 children, 25 children of those
    tree = searcher.tree()
    assert len(tree) == 31
    assert all(node.told == 0 for node in tree.values())
    assert tree[ROOT].pending == 31
    assert [tree[option,].pending for option in range(5)] == [6] * 5
    for number, suggestion in enumerate(given):
        searcher.tell(Trial(number, suggestion, evaluation=outcome(1.0)))
    assert all(node.pending == 0 for node in searcher.tree().values())
    assert visits(searcher)[ROOT] == 31


def test_trials_in_flight_spread_out_where_everything_is_known():
    """All four architectures are equally good and equally often visited; one in flight looks worse."""
    searcher = MonteCarloTreeSearch(SMALL, (MAXIMIZE,), seed=0)
    run(searcher, 7 + 8, lambda architecture: 1.0)
    found = visits(searcher)
    assert len(found) == 7
    assert {found[a, b] for a in range(2) for b in range(2)} == {3}
    assert len({suggestion.architecture.text for suggestion in searcher.ask(4)}) == 4


def test_failures_are_worth_as_little_as_the_worst():
    searcher = MonteCarloTreeSearch(SearchSpace("arms", BLOCK), (MINIMIZE,), seed=0)
    for number in range(300):
        (suggestion,) = searcher.ask(1)
        text = suggestion.architecture.text
        evaluation = failure(Status.DIVERGED, "nan") if text == "relu()" else outcome(float(len(text)))
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
    found = visits(searcher)
    assert found[0,] < 20  # relu fails
    assert abs(found[0,] - found[4,]) <= 3  # sigmoid is the longest name: the worst success
    assert min(found[1,], found[2,], found[3,]) > 80  # four letters each, the best


def test_infinite_values_are_failures():
    searcher = MonteCarloTreeSearch(SMALL, (MINIMIZE,), seed=0)
    run(searcher, 30, lambda a: -math.inf if a.text.startswith("gelu") else float(len(a.text)))
    assert visits(searcher)[0,] > visits(searcher)[1,]


def test_what_was_evaluated_instead_is_what_counts():
    searcher = MonteCarloTreeSearch(SMALL, (MAXIMIZE,), seed=0)
    run(searcher, 3, starts_with_relu)
    (suggestion,) = searcher.ask(1)
    assert suggestion.architecture.text.startswith("relu")
    searcher.tell(Trial(3, Suggestion(SMALL.parse("gelu() >> tanh()")), evaluation=outcome(0.0)))
    found = visits(searcher)
    assert (found[ROOT], found[0,], found[1,]) == (4, 1, 2)
    assert all(node.pending == 0 for node in searcher.tree().values())


def test_one_node_a_trial():
    space = SearchSpace("chain", " >> ".join([BLOCK] * 30))
    searcher = MonteCarloTreeSearch(space, (MAXIMIZE,), seed=0)
    run(searcher, 200, lambda a: float(a.text.count("tanh")))
    assert len(searcher.tree()) == 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exploration": -0.1}, "exploration: expected 0 or more, got -0.1"),
        ({"exploration": math.nan}, "exploration: expected 0 or more, got nan"),
        ({"branching": 0}, "branching: expected 1 or more, got 0"),
        ({"widening": 0.0}, "widening: expected above 0, got 0;"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=f'searcher "mcts": {message}'):
        MonteCarloTreeSearch(SMALL, (MAXIMIZE,), seed=0, **options)


def test_tree_search_beats_random_search():
    """One-sided rank test at alpha = 0.001 over 12 seeds each, which are fixed; best of 300 trials."""
    space = SearchSpace("chain", " >> ".join([BLOCK] * 12))

    def best(searcher: Searcher) -> int:
        return max(text.count("tanh") for text in run(searcher, 300, lambda a: float(a.text.count("tanh"))))

    tree = [best(MonteCarloTreeSearch(space, (MAXIMIZE,), seed=s)) for s in range(12)]
    chance = [best(RandomSearch(space, (MAXIMIZE,), seed=s)) for s in range(12)]
    assert mannwhitneyu(tree, chance, alternative="greater").pvalue < 0.001


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
