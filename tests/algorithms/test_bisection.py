from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from algorithms import SEARCHERS
from algorithms.bisection import Bisection
from algorithms.mcts import MonteCarloTreeSearch
from algorithms.random_search import RandomSearch
from nas.architecture import Architecture
from nas.bisection import bisected
from nas.errors import ConfigError, DeadEndError
from nas.evaluation import Evaluation, Objective, Status
from nas.operators import enumerate_architectures
from nas.searcher import Searcher, Suggestion, Trial
from nas.space import SearchSpace
from search_spaces import SPACES
from tests.contracts import searcher_kit
from tests.contracts.searcher_kit import OBJECTIVES, ONE_SHOT, OPTIONS, drive, refusal

MAXIMIZE = Objective("accuracy")
INSIDE = [name for name in SEARCHERS.names() if name not in ("bisection", *ONE_SHOT)]
REGISTERED = {name: SPACES.get(name)() for name in SPACES.names()}
TEXT = "conv(kernel=oneof(1, 3, 5, 7, 9)) >> repeat(relu() | gelu(), 1, 4)"


def section(name: str) -> dict[str, Any]:
    return {"name": name, **OPTIONS.get(name, {})}


def outcome(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value}, 1.0)


def run(searcher: Searcher, trials: int, value: Any) -> list[Architecture]:
    asked = []
    for number in range(trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value(suggestion.architecture))))
    return asked


def suggested_around(name: str, space: SearchSpace, trials: int, **options: Any) -> list[Suggestion]:
    """What the wrapper around a searcher asks for; nothing where the searcher itself takes no such space."""

    def make() -> Bisection:
        ranged = {"fidelity_range": searcher_kit.FIDELITIES}
        return Bisection(space, OBJECTIVES, seed=3, searcher=section(name), **ranged, **options)

    if refusal(name, space) is not None:
        with pytest.raises(ConfigError, match=f'searcher "{name}"'):
            make()
        return []
    suggested = list(drive(make(), trials=trials))
    assert suggested
    return suggested


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("key", searcher_kit.spaces())
def test_every_searcher_works_inside_on_every_kind_of_space(name, key):
    space = searcher_kit.spaces()[key]
    for suggestion in suggested_around(name, space, 16, all_choices=True, depth=3):
        assert suggestion.architecture.space == space.name
        assert space.check(suggestion.architecture) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("key", REGISTERED)
def test_every_searcher_works_inside_on_every_registered_space(name, key):
    space = REGISTERED[key]
    for suggestion in suggested_around(name, space, 6, all_choices=not bisected(space).halves):
        assert space.check(suggestion.architecture) is None


def test_inside_stands_what_searches_the_bisected_space():
    """Suggestion for suggestion what the searcher itself asks on the bisected space, in other terms."""
    space = SearchSpace("s", TEXT)
    view = bisected(space)
    built = MonteCarloTreeSearch(view, (MAXIMIZE,), seed=5)
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher=MonteCarloTreeSearch(view, (MAXIMIZE,), seed=5))
    value = lambda architecture: float(architecture.text.count("relu"))  # noqa: E731
    inside = run(built, 60, value)
    outside = run(wrapper, 60, value)
    assert [architecture.text for architecture in inside] == [architecture.text for architecture in outside]
    assert [view.restored(a).decisions for a in inside] == [a.decisions for a in outside]


def test_the_tree_is_binary():
    view = bisected(SearchSpace("s", "conv(width=integer(1, 64))"))
    inside = MonteCarloTreeSearch(view, (MAXIMIZE,), seed=0)
    wrapper = Bisection(view.original, (MAXIMIZE,), seed=0, searcher=inside)
    run(wrapper, 300, lambda architecture: 1.0)
    tree = inside.tree()
    assert len(tree) == 2 * 64 - 1
    assert {len(node.children) for node in tree.values()} == {0, 2}
    assert max(map(len, tree)) == 6


def test_random_search_inside_is_uniform_over_halves():
    """Of three values the first has probability 1/2; 3 standard deviations of 900 draws are 45."""
    space = SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher={"name": "random"})
    drawn = [suggestion.architecture.text for suggestion in wrapper.ask(900)]
    assert abs(drawn.count("conv(kernel=1)") - 450) < 45


def test_exhaustive_search_inside_meets_every_architecture_once():
    space = SearchSpace("s", TEXT)
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher={"name": "exhaustive"})
    asked = {suggestion.architecture.text for suggestion in wrapper.ask(1000)}
    assert asked == {architecture.text for architecture in enumerate_architectures(space)}


def test_parents_and_information_come_through():
    space = SearchSpace("s", TEXT)
    inside = {"name": "regularized_evolution", "population": 3, "sample": 2}
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher=inside)
    suggested = list(drive(wrapper, trials=12))
    assert [s.info["origin"] for s in suggested[:3]] == ["random"] * 3
    assert all(s.parent is not None and s.parent < n for n, s in enumerate(suggested) if n > 8)


def test_what_was_evaluated_instead_is_told_inside():
    view = bisected(SearchSpace("s", TEXT))
    inside = MonteCarloTreeSearch(view, (MAXIMIZE,), seed=0)
    wrapper = Bisection(view.original, (MAXIMIZE,), seed=0, searcher=inside)
    run(wrapper, 3, lambda architecture: 1.0)
    before = {path: node.told for path, node in inside.tree().items()}
    (suggestion,) = wrapper.ask(1)
    lower = suggestion.architecture.decisions[0].option < 2  # kernel 1 or 3
    other = view.original.parse(f"conv(kernel={9 if lower else 1}) >> relu()")
    wrapper.tell(Trial(3, Suggestion(other), evaluation=outcome(1.0)))
    after = inside.tree()
    assert after[int(lower),].told == before[int(lower),] + 1
    assert after[int(not lower),].told == before[int(not lower),]
    assert after[()].pending == 0


def test_constraints_that_nothing_meets_are_reported():
    space = SearchSpace("s", TEXT, constraints=(lambda architecture: "never",))
    with pytest.raises(DeadEndError, match=r"s bisected to depth 5: nothing admissible in 1000 draws.*never"):
        Bisection(space, (MAXIMIZE,), seed=0, searcher={"name": "mcts"}).ask(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"searcher": {"name": "mtcs"}}, r'searcher "mtcs" is not registered.*did you mean "mcts"'),
        ({"searcher": {"name": "mcts", "c": 1}}, r'searcher "mcts": has no option "c"'),
        (
            {"searcher": {"name": "mcts", "exploration": -1}},
            r'searcher "mcts": exploration: expected 0 or more',
        ),
        ({"searcher": 3}, r"expected a section with a name"),
        (
            {"searcher": {"name": "mcts"}, "depth": -1},
            r'searcher "bisection": depth: expected 0 to 40; got -1; change it',
        ),
        (
            {"searcher": {"name": "bisection", "searcher": {"name": "mcts"}}},
            r'searcher "bisection": expected a space that is not bisected; got one that is; name it once',
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        Bisection(SearchSpace("s", TEXT), (MAXIMIZE,), seed=0, **options)


def test_a_space_with_nothing_to_halve_is_refused_where_all_choices_helps():
    space = SearchSpace("cells", "(relu() | gelu() | silu()) >> conv(kernel=oneof(1, 3))")
    options = {"seed": 0, "searcher": {"name": "random"}}
    with pytest.raises(
        ConfigError,
        match=r'^searcher "bisection": space cells: expected ordered choices to halve; got none; set all_ch',
    ):
        Bisection(space, (MAXIMIZE,), **options)
    assert Bisection(space, (MAXIMIZE,), all_choices=True, **options).ask(1)
    assert Bisection(SearchSpace("halves", "conv(kernel=oneof(1, 3))"), (MAXIMIZE,), **options).ask(1)


def test_a_searcher_of_the_space_itself_is_refused():
    space = SearchSpace("s", TEXT)
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher=RandomSearch(space, (MAXIMIZE,), seed=0))
    message = 'expected a searcher built on "s bisected to depth 5"; got one of "s"; give its section'
    with pytest.raises(ConfigError, match=message):
        wrapper.ask(1)


def test_bisection_helps_tree_search_on_ordered_values():
    """One-sided rank test at alpha = 0.001 over 12 seeds each, which are fixed; the mean of 64 trials.

    As in DeepArchitect's 64 evaluations: with 64 values of one choice a plain tree search visits each once,
    while halves lead to the better ones.
    """
    space = SearchSpace("ordered", f"conv(width=oneof({', '.join(map(str, range(1, 65)))}))")

    def mean(searcher: Searcher) -> float:
        asked = run(searcher, 64, lambda a: -abs(math.log(int(a.text[11:-1]) / 40)))
        return float(np.mean([-abs(math.log(int(a.text[11:-1]) / 40)) for a in asked]))

    plain = [mean(MonteCarloTreeSearch(space, (MAXIMIZE,), seed=s)) for s in range(12)]
    halves = [mean(Bisection(space, (MAXIMIZE,), seed=s, searcher={"name": "mcts"})) for s in range(12)]
    assert mannwhitneyu(halves, plain, alternative="greater").pvalue < 0.001
