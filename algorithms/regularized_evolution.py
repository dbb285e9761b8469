"""Regularized evolution (Real et al. 2019, Algorithm 1; https://arxiv.org/abs/1802.01548).

The first `population` suggestions are random. Then each is a mutation of the best of `sample` members
drawn from the population with replacement. A result joins the population; the oldest member leaves.

Differs from the paper:
- asynchronous without a barrier: after the random suggestions, parents are drawn from the members so far;
  without any member, more random architectures are suggested;
- age counts from the result, not from the suggestion, as workers may overtake each other;
- failed trials are members too, with loss +inf, so that they age like the others;
- a mutation is one of `nas.space.operators.mutate`, which redraws a child equal to its parent (the paper's
  identity mutation, probability 0.05, is left out); if the space or its constraints admit no child of a
  parent, a random architecture takes its place (`Breeder`);
- given architectures may replace the first random ones (`initial`);
- with `crossover`, a child may begin as the uniform crossover of the winners of two tournaments and is then
  mutated like the others, as in NSGA-Net (Lu et al. 2019, https://arxiv.org/abs/1810.03522); the
  paper has none, nor has the default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.algorithms.shared.method import SearchMethod, check_range, loss_of
from nas.algorithms.shared.population import Breeder, Member
from nas.evaluation import Objective
from nas.study import Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace


_NAME = "regularized_evolution"


class RegularizedEvolution(SearchMethod[None]):
    """Aging evolution on the first objective.

    Args:
        space: to search.
        objectives: the first one counts.
        seed: of all randomness.
        population: members, 2 or more; the defaults are the paper's.
        sample: members drawn for one tournament, 1 to `population`.
        initial: texts of architectures to begin with, such as published ones.
        crossover: probability that a child has two parents, 0 to 1.

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
        crossover: float = 0.0,
    ) -> None:
        check_range(_NAME, "population", population, 2)
        check_range(_NAME, "sample", sample, 1, population, what="members of the population")
        check_range(_NAME, "initial", len(initial), 0, population, what="architectures, the population")
        check_range(_NAME, "crossover", crossover, 0, 1)
        super().__init__(space, objectives, seed=seed)
        self._breeder = Breeder(space, self._rng, crossover)
        self._size = population
        self._tournament = sample
        self._initial = [space.parse(text) for text in initial]
        self._population: list[Member] = []  # once full, a ring: the next result replaces the oldest
        self._oldest = 0

    @property
    def uninformed(self) -> float:
        """The first population; all trials if a tournament has one member, as results never decide then."""
        return math.inf if self._tournament == 1 else self._size

    def _take(self, trial: Trial, remembered: None) -> None:  # noqa: ARG002 - the base class's
        member = Member(loss_of(trial, self._objective), trial.architecture, trial.number)
        if len(self._population) < self._size:
            self._population.append(member)
        else:
            self._population[self._oldest] = member
            self._oldest = (self._oldest + 1) % self._size

    @property
    def population(self) -> tuple[Member, ...]:
        """The members, oldest first."""
        return (*self._population[self._oldest :], *self._population[: self._oldest])

    def _suggest(self) -> Suggestion:
        number = self._in_flight.add(None)
        if number < len(self._initial):
            return Suggestion(self._initial[number], info={"origin": "initial"})
        if number < self._size or not self._population:
            return self._breeder.random()
        return self._breeder.child(self._parent)

    def _parent(self) -> Member:
        """The best of a tournament; among equals the first that was drawn."""
        drawn = self._rng.integers(len(self._population), size=self._tournament).tolist()
        return min([self._population[index] for index in drawn], key=lambda member: member.loss)
