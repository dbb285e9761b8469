from __future__ import annotations

import pytest
from scipy.stats import mannwhitneyu

from nas.algorithms.random_search import RandomSearch
from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.errors import ConfigError, SpaceError
from nas.evaluation import Evaluation, Objective, Status, failure
from nas.space import Architecture, SearchSpace
from nas.study import Searcher, Trial

MAXIMIZE, MINIMIZE = Objective("accuracy"), Objective("error", "minimize")
BLOCK = "(relu() | gelu() | silu() | tanh() | sigmoid())"


def chain(length: int = 6) -> SearchSpace:
    return SearchSpace("chain", " >> ".join([BLOCK] * length))


def outcome(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value, "error": value}, 1.0)


def differing(first: Architecture, second: Architecture) -> int:
    pairs = zip(first.decisions, second.decisions, strict=True)
    return sum(one != other for one, other in pairs)


def run(searcher: Searcher, trials: int, value) -> list[Architecture]:
    """One at a time."""
    asked = []
    for number in range(trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture)
        searcher.tell(Trial(number, suggestion, evaluation=value(suggestion.architecture)))
    return asked


def test_first_suggestions_are_random_then_children_of_told_trials():
    searcher = RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, population=5, sample=2)
    suggested = []
    for number in range(30):
        (suggestion,) = searcher.ask(1)
        suggested.append(suggestion)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(float(number))))
    assert [s.info["origin"] for s in suggested] == ["random"] * 5 + ["mutation"] * 25
    for number, suggestion in enumerate(suggested[5:], start=5):
        assert suggestion.parent is not None
        assert number - 5 <= suggestion.parent < number  # the oldest of five has left
        assert differing(suggestion.architecture, suggested[suggestion.parent].architecture) == 1


@pytest.mark.parametrize(("objective", "best"), [(MAXIMIZE, 4), (MINIMIZE, 0)], ids=["maximize", "minimize"])
def test_a_tournament_of_all_takes_the_best_of_the_population(objective, best):
    """With 60 draws out of 5 with replacement the best is missed with probability 0.8^60 = 1.5e-6."""
    searcher = RegularizedEvolution(chain(), (objective,), seed=0, population=60, sample=60)
    suggestions = searcher.ask(60)
    for number, suggestion in enumerate(suggestions[:5]):
        searcher.tell(Trial(number, suggestion, evaluation=outcome(float(number))))
    assert [searcher.ask(1)[0].parent for _ in range(10)] == [best] * 10


def test_the_oldest_result_leaves_even_if_it_is_the_best():
    searcher = RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, population=4, sample=4)
    values = [100.0, 1.0, 2.0, 3.0, 0.0, 0.0]
    for number, value in enumerate(values):
        (suggestion,) = searcher.ask(1)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value)))
    assert [member.trial for member in searcher.population] == [2, 3, 4, 5]
    assert {searcher.ask(1)[0].parent for _ in range(20)} <= {2, 3, 4, 5}


def test_age_follows_the_order_of_results():
    searcher = RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, population=3, sample=1)
    suggestions = searcher.ask(5)
    for number in (4, 0, 3, 1, 2):
        searcher.tell(Trial(number, suggestions[number], evaluation=outcome(1.0)))
    assert [member.trial for member in searcher.population] == [3, 1, 2]


def test_no_ask_waits_for_a_result():
    searcher = RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, population=3, sample=2)
    suggestions = searcher.ask(10)
    assert [s.info["origin"] for s in suggestions] == ["random"] * 10
    searcher.tell(Trial(9, suggestions[9], evaluation=outcome(1.0)))
    assert searcher.ask(1)[0].parent == 9


def test_failures_are_members_that_lose_every_tournament():
    searcher = RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, population=30, sample=30)
    suggestions = searcher.ask(30)
    for number, suggestion in enumerate(suggestions):
        evaluation = outcome(-5.0) if number == 7 else failure(Status.DIVERGED, "nan")
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))
    parents = [searcher.ask(1)[0].parent for _ in range(50)]
    # 30 draws miss one of 30 members with probability 0.36
    assert 15 <= parents.count(7) <= 45
    assert len(searcher.population) == 30


def test_crossover_joins_the_winners_of_two_tournaments():
    """Of 2 members, tournaments of 1: each is parent or mate half of the time; 400 children, 4.5 sd."""
    texts = [" >> ".join(["relu()"] * 6), " >> ".join(["tanh()"] * 6)]
    searcher = RegularizedEvolution(
        chain(), (MAXIMIZE,), seed=0, population=2, sample=1, initial=texts, crossover=0.5
    )
    for number, suggestion in enumerate(searcher.ask(2)):
        searcher.tell(Trial(number, suggestion, evaluation=outcome(1.0)))
    children = searcher.ask(400)
    crossed = [child for child in children if child.info["origin"] == "crossover"]
    assert abs(len(crossed) - 200) < 4.5 * 10
    for role in ([c.parent for c in children], [c.info["mate"] for c in crossed]):
        assert abs(role.count(0) - len(role) / 2) < 4.5 * (len(role) / 4) ** 0.5
    for child in children:
        words = child.architecture.text.split(" >> ")
        foreign = sum(word not in ("relu()", "tanh()") for word in words)
        assert foreign <= 1  # the mutation
        if child.info.get("mate", child.parent) == child.parent:
            own = texts[child.parent or 0].split(" >> ")[0]
            assert sum(word != own for word in words) == 1
    mixed = [child for child in crossed if child.info["mate"] != child.parent]
    assert any({"relu()", "tanh()"} <= set(child.architecture.text.split(" >> ")) for child in mixed)


def test_initial_architectures_come_first():
    text = " >> ".join(["tanh()"] * 6)
    searcher = RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, population=4, sample=2, initial=[text])
    first, second = searcher.ask(2)
    assert (first.architecture.text, first.info["origin"]) == (text, "initial")
    assert second.info["origin"] == "random"


def test_parents_without_a_child_are_replaced_by_random_architectures():
    def alternating(architecture: Architecture) -> str | None:
        return None if architecture.text in ("relu() >> gelu()", "gelu() >> relu()") else "must alternate"

    part = "(relu() | gelu())"
    space = SearchSpace("pairs", f"{part} >> {part}", constraints=(alternating,))
    searcher = RegularizedEvolution(space, (MAXIMIZE,), seed=0, population=2, sample=1)
    run(searcher, 3, lambda architecture: outcome(1.0))
    assert searcher.ask(1)[0].info["origin"] == "random"


def test_where_nothing_can_be_mutated_architectures_are_random():
    searcher = RegularizedEvolution(SearchSpace("one", "relu()"), (MAXIMIZE,), seed=0, population=2, sample=1)
    run(searcher, 5, lambda architecture: outcome(1.0))
    assert searcher.ask(1)[0].info["origin"] == "random"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population: expected 2 or more, got 1"),
        ({"sample": 0}, "sample: expected 1 to 100 members of the population, got 0"),
        ({"population": 5, "sample": 6}, "sample: expected 1 to 5 members of the population, got 6"),
        ({"crossover": 2.0}, "crossover: expected 0 to 1, got 2"),
        (
            {"population": 2, "sample": 1, "initial": ["a"] * 3},
            "initial: expected 0 to 2 architectures, the population, got 3",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=f'searcher "regularized_evolution": {message}'):
        RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, **options)


def test_initial_architectures_must_be_in_the_space():
    with pytest.raises(SpaceError, match="chain"):
        RegularizedEvolution(chain(), (MAXIMIZE,), seed=0, initial=["relu()"])


def test_evolution_beats_random_search():
    """One-sided rank test over 12 seeds each; fails by chance for one set of seeds in 1000, which are fixed.

    Objective: how many of 12 positions hold one given operation, of 5.
    """
    space = chain(12)

    def best(searcher: Searcher) -> float:
        asked = run(searcher, 300, lambda a: outcome(float(a.text.count("tanh"))))
        return max(a.text.count("tanh") for a in asked)

    evolution = [
        best(RegularizedEvolution(space, (MAXIMIZE,), seed=s, population=20, sample=5)) for s in range(12)
    ]
    chance = [best(RandomSearch(space, (MAXIMIZE,), seed=s)) for s in range(12)]
    assert mannwhitneyu(evolution, chance, alternative="greater").pvalue < 0.001
