"""Regularized evolution (Real et al. 2019, Algorithm 1; https://arxiv.org/abs/1802.01548).

The first `population` suggestions are random. Then each is a mutation of the best of `sample` members
drawn from the population with replacement. A result joins the population; the oldest member leaves.

Differs from the paper:
- asynchronous without a barrier: once the random suggestions are given out, parents come from the
  members there are, and while there is none, more random architectures are suggested;
- age counts from the result, not from the suggestion, as workers may overtake each other;
- failed trials are members too, with loss +inf, so that they age like the others;
- a mutation is one of `nas.operators.mutate`, which redraws a child equal to its parent (the paper's
  identity mutation, probability 0.05, is left out); where the space or its constraints leave a parent
  no child, a random architecture takes its place;
- given architectures may stand in for the first random ones (`initial`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from algorithms.asked import Asked
from nas.architecture import Architecture
from nas.errors import ConfigError, SpaceError
from nas.evaluation import Objective
from nas.operators import mutate
from nas.operators import sample as sample_architecture
from nas.searcher import Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace


class Member(NamedTuple):
    """One of the population."""

    loss: float
    architecture: Architecture
    trial: int


class RegularizedEvolution:
    """Aging evolution on the first objective.

    Args:
        space: to search.
        objectives: the first one counts.
        seed: of all randomness.
        population: members, 2 or more; the defaults are the paper's.
        sample: members drawn for one tournament, 1 to `population`.
        initial: texts of architectures to begin with, such as published ones.

    Raises:
        ConfigError: an option out of range.
        SpaceError: an initial architecture that is not in the space.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        population: int = 100,
        sample: int = 25,
        initial: Sequence[str] = (),
    ) -> None:
        _check("population", population, 2, None)
        _check("sample", sample, 1, population)
        _check("initial", len(initial), 0, population)
        self._space = space
        self._objective = objectives[0]
        self._rng = np.random.default_rng(seed)
        self._size = population
        self._tournament = sample
        self._initial = [space.parse(text) for text in initial]
        self._population: list[Member] = []  # once full, a ring: the next result replaces the oldest
        self._oldest = 0
        self._asked = Asked(type(self).__name__)

    def ask(self, count: int = 1) -> list[Suggestion]:
        return [self._suggest(self._asked.add()) for _ in range(count)]

    def tell(self, trial: Trial) -> None:
        self._asked.close(trial)
        evaluation = trial.evaluation
        assert evaluation is not None
        value = evaluation.values.get(self._objective.name) if evaluation.ok else None
        member = Member(self._objective.loss(value), trial.architecture, trial.number)
        if len(self._population) < self._size:
            self._population.append(member)
        else:
            self._population[self._oldest] = member
            self._oldest = (self._oldest + 1) % self._size

    @property
    def population(self) -> tuple[Member, ...]:
        """The members, oldest first."""
        return (*self._population[self._oldest :], *self._population[: self._oldest])

    def _suggest(self, number: int) -> Suggestion:
        if number < len(self._initial):
            return Suggestion(self._initial[number], info={"origin": "initial"})
        if number < self._size or not self._population:
            return self._random()
        parent = self._parent()
        try:
            child = mutate(self._space, parent.architecture, self._rng)
        except SpaceError:  # no alternative, or none that the constraints admit
            return self._random()
        return Suggestion(child, parent=parent.trial, info={"origin": "mutation"})

    def _random(self) -> Suggestion:
        return Suggestion(sample_architecture(self._space, self._rng), info={"origin": "random"})

    def _parent(self) -> Member:
        """The best of a tournament; the first drawn of equals."""
        drawn = self._rng.integers(len(self._population), size=self._tournament).tolist()
        return min([self._population[index] for index in drawn], key=_loss)


def _loss(member: Member) -> float:
    return member.loss


def _check(option: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        bounds = f"{low} or more" if high is None else f"{low} to {high}"
        what = f"{option}: expected {bounds}" + (" architectures" if option == "initial" else "")
        raise ConfigError(f'searcher "regularized_evolution": {what}; got {value}; change it')
