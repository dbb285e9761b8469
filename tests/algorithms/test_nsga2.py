from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from nas.algorithms.nsga2 import NSGA2, Limits, Solution, survivors
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Status, hypervolume, non_dominated
from nas.space import Architecture
from nas.study import Searcher, Trial
from tests.algorithms.evolution_kit import (
    FAILED,
    NAMES,
    chain,
    numbers_of,
    outcome,
    run,
    steps,
    tangled,
    text_of,
)

ACCURACY, LATENCY, SIZE = (
    Objective("accuracy"),
    Objective("latency", "minimize"),
    Objective("size", "minimize"),
)
SPACE = chain(12)


def make(*objectives: Objective, seed: int = 0, **options) -> NSGA2:
    return NSGA2(SPACE, objectives or (ACCURACY, LATENCY), seed=seed, **options)


def solution(trial: int, *losses: float, violation: float = 0.0) -> Solution:
    names = [NAMES[trial // 5**i % 5] for i in range(12)]
    return Solution(losses, violation, SPACE.parse(text_of(*names)), trial)


def values(**named: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, named, 1.0)


def test_survivors_by_hand():
    """Fronts {0, 1, 2, 3}, {4, 5}, {6}; on the first, ranges 6 and 6, the inner two:

    1: (3 - 0) / 6 + (6 - 2) / 6 = 7/6; 2: (6 - 1) / 6 + (3 - 0) / 6 = 8/6.
    """
    given = [
        solution(0, 0.0, 6.0),
        solution(1, 1.0, 3.0),
        solution(2, 3.0, 2.0),
        solution(3, 6.0, 0.0),
        solution(4, 2.0, 4.0),
        solution(5, 4.0, 3.0),
        solution(6, 5.0, 5.0),
    ]
    kept = survivors(given, 7)
    assert [s.trial for s in kept] == [0, 3, 2, 1, 4, 5, 6]
    assert [s.rank for s in kept] == [0, 0, 0, 0, 1, 1, 2]
    assert [s.crowding for s in kept] == pytest.approx(
        [math.inf, math.inf, 8 / 6, 7 / 6, math.inf, math.inf, 0]
    )
    assert [s.trial for s in survivors(given[::-1], 3)] == [3, 0, 2]  # distances of the front before the cut
    assert survivors([], 3) == []


def test_feasible_solutions_survive_first_then_small_violations():
    given = [
        solution(0, 0.0, 0.0, violation=0.5),
        solution(1, 9.0, 9.0),
        solution(2, 0.0, 0.0, violation=0.1),
        solution(3, 8.0, 8.0),
    ]
    assert [s.trial for s in survivors(given, 4)] == [3, 1, 2, 0]


def test_tournaments_prefer_the_better_front_then_the_lonelier():
    """Of 4 with different ranks, k-th best wins with probability (9 - 2 k) / 16; 4.5 sd of 1600 draws."""
    searcher = make(ACCURACY, population=4, crossover=0.0)
    for number, suggestion in enumerate(searcher.ask(4)):
        searcher.tell(Trial(number, suggestion, evaluation=outcome(float(number))))
    assert [(s.trial, s.rank) for s in searcher.population] == [(3, 0), (2, 1), (1, 2), (0, 3)]
    parents = [suggestion.parent for suggestion in searcher.ask(1600)]
    for place, expected in zip((3, 2, 1, 0), (700, 500, 300, 100), strict=True):
        assert abs(parents.count(place) - expected) < 4.5 * math.sqrt(expected * (1 - expected / 1600))


def test_the_lonelier_of_one_front_has_more_children():
    """Three on one front, the middle one crowded: it wins only against itself, once in nine; 4.5 sd."""
    searcher = make(population=3, crossover=0.0)
    for number, suggestion in enumerate(searcher.ask(3)):
        evaluation = values(accuracy=float(number), latency=float(number))
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
    parents = [suggestion.parent for suggestion in searcher.ask(900)]
    assert abs(parents.count(1) - 100) < 4.5 * math.sqrt(900 / 9 * 8 / 9)


OBJECTIVES = [(ACCURACY,), (LATENCY,), (ACCURACY, LATENCY), (LATENCY, SIZE), (ACCURACY, LATENCY, SIZE)]


@pytest.mark.parametrize("objectives", OBJECTIVES, ids=lambda o: "+".join(each.name for each in o))
@pytest.mark.parametrize("order", range(3))
def test_the_front_of_complete_generations_is_in_the_population(objectives, order):
    """As long as it fits, nothing on it is ever lost; with up to 9 in flight and failures among them."""
    searcher = make(*objectives, population=12)

    def value(architecture: Architecture) -> Evaluation:
        accuracy, latency, size, luck = map(float, numbers_of(architecture, 4, 30))
        return FAILED if luck < 6 else values(accuracy=accuracy // 5, latency=latency // 5, size=size // 5)

    told: list[Trial] = []
    checked = 0
    for trial in tangled(searcher, 120, value, flying=9, order=order):
        told.append(trial)
        if len(told) % 12:
            continue
        latest = {t.architecture.digest(): t for t in told if t.evaluation and t.evaluation.ok}
        done = list(latest.values())
        losses = [[o.loss(t.evaluation.values[o.name]) for o in objectives] for t in done]  # type: ignore[union-attr]
        front = {t.number for t, first in zip(done, non_dominated(losses), strict=True) if first}
        kept = {s.trial for s in searcher.population}
        assert len(kept) == min(12, len(done))
        if len(front) <= 12:
            assert front <= kept
            checked += 1
        else:
            assert kept <= front
    assert len(told) == 120
    assert checked >= 3


def test_first_suggestions_are_random_then_children_of_the_population():
    searcher = make(population=5)
    asked = run(searcher, 5, lambda a: values(accuracy=float(len(a.text)), latency=1.0))
    assert [s.info["origin"] for s in asked] == ["random"] * 5
    members = {s.trial for s in searcher.population}
    children = searcher.ask(100)
    assert {s.parent for s in children} <= members
    crossed = sum(s.info["origin"] == "crossover" for s in children)
    assert 76 <= crossed <= 100  # 0.9 of 100, within 4.5 standard deviations


def test_no_ask_waits_and_failures_are_never_parents():
    searcher = make(population=4)
    suggestions = searcher.ask(30)
    assert [s.info["origin"] for s in suggestions] == ["random"] * 30
    for number, suggestion in enumerate(suggestions):
        searcher.tell(Trial(number, suggestion, evaluation=FAILED))
    assert searcher.ask(1)[0].info == {"origin": "random"}
    searcher.tell(Trial(30, suggestions[0], evaluation=values(accuracy=1.0, latency=2.0)))
    assert {s.parent for s in searcher.ask(10)} == {30}


def test_results_without_an_objective_are_failures():
    searcher = make(population=2)
    for number, suggestion in enumerate(searcher.ask(4)):
        evaluation = values(accuracy=1.0) if number % 2 else values(accuracy=1.0, latency=math.nan)
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
    assert searcher.population == ()


def test_violations_by_hand():
    limits = Limits({"accuracy": 80, "latency": 10.0, "params": 4.0, "excess": 0.0}, (ACCURACY, LATENCY))
    assert limits.violation(values(accuracy=80.0, latency=10.0, params=1.0, excess=-1.0)) == 0.0
    found = limits.violation(values(accuracy=60.0, latency=15.0, params=5.0, excess=2.0))
    assert found == pytest.approx(20 / 80 + 5 / 10 + 1 / 4 + 2)
    assert limits.violation(values(accuracy=90.0, latency=1.0, params=math.nan, excess=0.0)) == math.inf
    assert limits.violation(values(accuracy=90.0, latency=1.0)) == math.inf


def test_within_limits_comes_before_the_objectives():
    """All points trade accuracy for latency; only 0 to 4 are feasible, so only they remain."""
    searcher = make(population=5, limits={"latency": 4.0})
    for number, suggestion in enumerate(searcher.ask(10)):
        evaluation = values(accuracy=float(number), latency=float(number))
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
    assert sorted(s.trial for s in searcher.population) == [0, 1, 2, 3, 4]
    assert all(s.violation == 0 for s in searcher.population)


def test_while_nothing_is_feasible_violations_fall():
    searcher = make(population=3, limits={"params": 1.0})
    for number, suggestion in enumerate(searcher.ask(6)):
        evaluation = values(accuracy=float(number), latency=1.0, params=2.0 + number)
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
    assert [s.trial for s in searcher.population] == [0, 1, 2]
    assert [s.violation for s in searcher.population] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population: expected 2 or more, got 1"),
        ({"crossover": -0.1}, r"crossover: expected 0 to 1, got -0\.1"),
        ({"limits": [3]}, r"limits: expected a mapping such as \{latency: 10\.0\}, got \[3\]"),
        ({"limits": {"latency": "low"}}, r"limits\.latency: expected a finite number, got 'low'"),
        ({"limits": {"latency": math.inf}}, r"limits\.latency: expected a finite number, got inf"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=f'^searcher "nsga2": {message}; leave it out for the default$'):
        make(**options)


def test_a_limit_on_what_is_not_reported_is_an_error_of_the_first_result():
    searcher = make(limits={"latencies": 3.0})
    first, second = searcher.ask(2)
    searcher.tell(Trial(0, first, evaluation=FAILED))
    with pytest.raises(
        ConfigError, match=r"limits: expected values that are reported \(accuracy, latency\), got latencies;"
    ):
        searcher.tell(Trial(1, second, evaluation=values(accuracy=1.0, latency=1.0)))


def leading_and_trailing(architecture: Architecture) -> tuple[int, int]:
    """How many tanh it begins with, how many relu it ends in; the front has 13 points, sums of 12."""
    names = steps(architecture)
    leading = next((i for i, name in enumerate(names) if name != "tanh"), 12)
    trailing = next((i for i, name in enumerate(reversed(names)) if name != "relu"), 12)
    return leading, trailing


def test_it_beats_random_search_in_hypervolume():
    """One-sided rank test over 12 seeds each; fails by chance for one set of fixed seeds in 1000."""

    def volume(searcher: Searcher) -> float:
        def value(architecture: Architecture) -> Evaluation:
            leading, trailing = leading_and_trailing(architecture)
            return values(accuracy=float(leading), latency=-float(trailing))

        found = [leading_and_trailing(s.architecture) for s in run(searcher, 300, value)]
        return hypervolume(-np.array(found, float), [1.0, 1.0])

    evolution = [volume(make(seed=seed)) for seed in range(12)]
    chance = [volume(RandomSearch(SPACE, (ACCURACY, LATENCY), seed=seed)) for seed in range(12)]
    assert mannwhitneyu(evolution, chance, alternative="greater").pvalue < 0.001
