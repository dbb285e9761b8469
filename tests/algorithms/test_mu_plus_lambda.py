from __future__ import annotations

import pytest
from scipy.stats import mannwhitneyu

from nas.algorithms.mu_plus_lambda import MuPlusLambda
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError
from nas.evaluation import Objective
from nas.study import Searcher, Trial
from tests.algorithms.evolution_kit import (
    FAILED,
    MAXIMIZE,
    MINIMIZE,
    chain,
    differing,
    numbers_of,
    outcome,
    run,
    tangled,
)


def make(
    objective: Objective = MAXIMIZE,
    *,
    seed: int = 0,
    parents: int = 2,
    children: int = 2,
    crossover: float = 0.5,
) -> MuPlusLambda:
    return MuPlusLambda(
        chain(12), (objective,), seed=seed, parents=parents, children=children, crossover=crossover
    )


def trials(searcher: MuPlusLambda) -> list[int]:
    return [member.trial for member in searcher.parents]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (MAXIMIZE, [[1, 0], [1, 3], [4, 1], [4, 1], [9, 4]]),
        (MINIMIZE, [[0, 1], [0, 2], [5, 0], [5, 7], [5, 7]]),
    ],
    ids=["maximize", "minimize"],
)
def test_generations_by_hand(objective, expected):
    """Two parents, two children: after each two results the best two of all so far."""
    values = [1.0, 5.0, 3.0, 4.0, 9.0, 0.0, 2.0, 0.5, 1.5, 10.0]
    searcher = make(objective)
    suggestions, found = [], []
    for number, value in enumerate(values):
        before = trials(searcher)
        (suggestion,) = searcher.ask(1)
        suggestions.append(suggestion)
        if number < 2:
            assert suggestion.info == {"origin": "random"}
        else:
            assert suggestion.parent in before
            assert suggestion.info.get("mate", suggestion.parent) in before
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value)))
        if number % 2:
            found.append(trials(searcher))
    assert found == expected
    mutations = [s for s in suggestions if s.info["origin"] == "mutation"]
    assert mutations
    for suggestion in mutations:
        assert suggestion.parent is not None
        assert differing(suggestion.architecture, suggestions[suggestion.parent].architecture) == 1


def test_parents_are_drawn_uniformly():
    """Of 4 parents in 400 draws each 100 times, within 4.5 standard deviations of a binomial count."""
    searcher = make(parents=4, crossover=0.0)
    run(searcher, 4, lambda _: outcome(1.0))
    parents = [suggestion.parent for suggestion in searcher.ask(400)]
    assert all(abs(parents.count(number) - 100) < 4.5 * 75**0.5 for number in range(4))


def test_of_equals_the_younger_stays():
    searcher = make(parents=2, children=2)
    run(searcher, 6, lambda _: outcome(1.0))
    assert trials(searcher) == [5, 4]


def test_a_generation_is_the_next_results_whatever_they_belong_to():
    searcher = make()
    suggestions = searcher.ask(7)
    for number, value, expected in (
        (6, 1.0, [6]),
        (2, 3.0, [2, 6]),  # the first generation, though neither was asked for first
        (0, 9.0, [2, 6]),
        (5, 2.0, [0, 2]),
        (1, 4.0, [0, 2]),
        (4, 5.0, [0, 4]),
    ):
        searcher.tell(Trial(number, suggestions[number], evaluation=outcome(value)))
        assert trials(searcher) == expected


def test_no_ask_waits():
    searcher = make()
    assert [s.info["origin"] for s in searcher.ask(50)] == ["random"] * 50


def test_failures_are_never_parents():
    searcher = make()
    asked = run(searcher, 30, lambda _: FAILED)
    assert [s.info["origin"] for s in asked] == ["random"] * 30
    run(searcher, 1, lambda _: outcome(1.0), first=30)
    run(searcher, 9, lambda _: FAILED, first=31)
    assert trials(searcher) == [30]
    assert {s.parent for s in searcher.ask(20)} == {30}


@pytest.mark.parametrize("order", range(5))
def test_with_many_in_flight_the_best_of_complete_generations_are_kept(order):
    """An architecture's value is fixed, one in five fails; checked after every result."""
    searcher = make(parents=3, children=4)

    def value(architecture):
        number, luck = numbers_of(architecture, 2, 2**32)
        return FAILED if luck % 5 == 0 else outcome(float(number))

    told: list[Trial] = []
    for trial in tangled(searcher, 80, value, flying=9, order=order):
        told.append(trial)
        complete = 3 + (len(told) - 3) // 4 * 4
        if len(told) < 3:
            continue
        latest = {t.architecture.digest(): t for t in told[:complete] if t.evaluation and t.evaluation.ok}
        ranking = sorted(latest.values(), key=lambda t: -t.evaluation.values["accuracy"])  # type: ignore[union-attr]
        assert trials(searcher) == [t.number for t in ranking[:3]]
    assert len(told) == 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parents": 0}, "parents: expected 1 or more, got 0"),
        ({"children": 0}, "children: expected 1 or more, got 0"),
        ({"crossover": 1.5}, r"crossover: expected 0 to 1, got 1\.5"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=f'^searcher "mu_plus_lambda": {message}; leave it out'):
        MuPlusLambda(chain(), (MAXIMIZE,), seed=0, **options)


def test_it_beats_random_search():
    """One-sided rank test over 12 seeds each; fails by chance for one set of seeds in 1000, which are fixed.

    Objective: how many of 12 positions hold one given operation, of 5.
    """

    def best(searcher: Searcher) -> float:
        asked = run(searcher, 200, lambda a: outcome(float(a.text.count("tanh"))))
        return max(s.architecture.text.count("tanh") for s in asked)

    evolution = [best(make(seed=seed, parents=10, children=10)) for seed in range(12)]
    chance = [best(RandomSearch(chain(12), (MAXIMIZE,), seed=seed)) for seed in range(12)]
    assert mannwhitneyu(evolution, chance, alternative="greater").pvalue < 0.001
