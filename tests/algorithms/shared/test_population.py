from __future__ import annotations

import math
from operator import attrgetter

import numpy as np
import pytest

from nas.algorithms.shared.population import Breeder, Generations, Member
from nas.space import Architecture, SearchSpace
from tests.algorithms.evolution_kit import chain, differing, steps, text_of

SPACE = chain()
RELU = Member(0.0, SPACE.parse(text_of(*["relu"] * 6)), 3)
TANH = Member(0.0, SPACE.parse(text_of(*["tanh"] * 6)), 8)


def in_turn(*members: Member):
    """Draws them one after the other, again and again."""
    waiting: list[Member] = []

    def pick() -> Member:
        if not waiting:
            waiting.extend(members)
        return waiting.pop(0)

    return pick


def test_a_mutation_differs_from_its_parent_in_one_decision():
    breeder = Breeder(SPACE, np.random.default_rng(0), 0.0)
    for _ in range(50):
        child = breeder.child(in_turn(RELU))
        assert (child.parent, child.info) == (3, {"origin": "mutation"})
        assert differing(child.architecture, RELU.architecture) == 1


def test_a_crossover_takes_each_decision_from_either_parent_and_is_mutated_once():
    """Of 6 decisions 5 are inherited, each from either with probability 1/2: 2500 in all, within 4.5 sd."""
    breeder = Breeder(SPACE, np.random.default_rng(0), 1.0)
    pick = in_turn(RELU, TANH)
    children = [breeder.child(pick) for _ in range(500)]
    assert {child.parent for child in children} == {3}
    assert all(child.info == {"origin": "crossover", "mate": 8} for child in children)
    words = [steps(child.architecture) for child in children]
    # a mutated decision is of another name with probability 3/4, else it is the other parent's
    strange = [sum(word not in ("relu", "tanh") for word in each) for each in words]
    assert set(strange) == {0, 1}
    assert abs(sum(strange) - 375) < 4.5 * math.sqrt(500 * 3 / 16)
    for place in range(6):
        relus = sum(each[place] == "relu" for each in words)
        tanhs = sum(each[place] == "tanh" for each in words)
        assert abs(relus - tanhs) < 4.5 * math.sqrt(relus + tanhs)


@pytest.mark.parametrize("probability", [0.2, 0.9])
def test_crossovers_are_as_frequent_as_asked_for(probability):
    """Binomial over 1000 children, within 4.5 standard deviations: fails by chance 7 times in a million."""
    breeder = Breeder(SPACE, np.random.default_rng(1), probability)
    origins = [breeder.child(in_turn(RELU, TANH)).info["origin"] for _ in range(1000)]
    deviation = math.sqrt(1000 * probability * (1 - probability))
    assert abs(origins.count("crossover") - 1000 * probability) < 4.5 * deviation


def one_of(*texts: str):
    def constraint(architecture: Architecture) -> str | None:
        return None if architecture.text in texts else "not listed"

    return constraint


def test_parents_without_a_common_child_are_mutated(monkeypatch):
    from nas.algorithms.shared import population
    from nas.errors import DeadEndError

    def dead_end(*_: object) -> Architecture:
        raise DeadEndError("none")

    monkeypatch.setattr(population, "cross", dead_end)
    child = Breeder(SPACE, np.random.default_rng(0), 1.0).child(in_turn(RELU, TANH))
    assert (child.parent, child.info) == (3, {"origin": "mutation"})
    assert differing(child.architecture, RELU.architecture) == 1


@pytest.mark.parametrize("crossover", [0.0, 1.0])
def test_parents_without_a_child_are_replaced_by_a_random_architecture(crossover):
    """Two architectures, two decisions apart: a mutation of either is against the constraint."""
    texts = [text_of("relu", "gelu"), text_of("gelu", "relu")]
    part = "(relu() | gelu())"
    space = SearchSpace("pairs", f"{part} >> {part}", constraints=(one_of(*texts),))
    parents = [Member(0.0, space.parse(text), number) for number, text in enumerate(texts)]
    child = Breeder(space, np.random.default_rng(0), crossover).child(in_turn(*parents))
    assert (child.parent, child.info) == (None, {"origin": "random"})
    assert child.architecture.text in texts


def best(members: list[Member], size: int) -> list[Member]:
    return sorted(members, key=attrgetter("loss"))[:size]


def member(trial: int, loss: float, *names: str) -> Member:
    return Member(loss, SPACE.parse(text_of(*(names or word(trial)))), trial)


def word(trial: int) -> list[str]:
    return [("relu", "gelu", "silu", "tanh", "sigmoid")[trial // 5**i % 5] for i in range(6)]


def trials(generations: Generations[Member]) -> list[int]:
    return [each.trial for each in generations.parents]


def test_generations_by_hand():
    generations: Generations[Member] = Generations(2, 3, best)
    assert trials(generations) == []
    generations.add(member(0, 5.0))
    assert trials(generations) == [0]  # what there is of the first generation
    generations.add(member(1, 4.0))
    assert trials(generations) == [1, 0]
    generations.add(member(2, 1.0))
    generations.add(member(3, 9.0))
    assert trials(generations) == [1, 0]  # two of three
    generations.add(member(4, 4.5))
    assert trials(generations) == [2, 1]
    for number, loss in ((5, 8.0), (6, 7.0), (7, 6.0)):
        generations.add(member(number, loss))
    assert trials(generations) == [2, 1]  # none of the children was better


def test_failures_count_but_never_become_parents():
    generations: Generations[Member] = Generations(2, 2, best)
    generations.add(None)
    generations.add(None)
    assert trials(generations) == []
    generations.add(member(2, 3.0))
    assert trials(generations) == [2]  # better than none
    generations.add(None)
    assert trials(generations) == [2]
    generations.add(member(4, 1.0))
    assert trials(generations) == [2]  # a survivor waits for the end of its generation
    generations.add(member(5, 2.0))
    assert trials(generations) == [4, 5]


def test_an_architecture_is_a_parent_once_with_its_latest_result():
    generations: Generations[Member] = Generations(2, 2, best)
    generations.add(member(0, 1.0, *["relu"] * 6))
    generations.add(member(1, 2.0))
    generations.add(member(2, 5.0, *["relu"] * 6))
    generations.add(member(3, 4.0))
    assert [(each.trial, each.loss) for each in generations.parents] == [(1, 2.0), (3, 4.0)]
