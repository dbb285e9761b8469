"""NSGA-II: evolution towards the whole front of several objectives (Deb et al. 2002).

https://doi.org/10.1109/4235.996017. Parents win binary tournaments by front, then by crowding distance; the
next population takes the fronts of parents and children together, best first, and from the front that does
not fit the least crowded. Limits act by constrained domination (`nas.evaluation.pareto`, with sorting and
crowding). For architectures see NSGA-Net (Lu et al. 2019, https://arxiv.org/abs/1810.03522).

Differs from the paper:
- asynchronous without a barrier: a generation is the next `population` results, whichever suggestions they
  belong to, and no ask waits; one trial at a time gives the paper's generations exactly
  (`nas.algorithms.shared.population.Generations`);
- after the random suggestions and until the first generation is complete, its results so far are drawn as
  parents without a tournament; without any result, more random architectures are suggested;
- crossover is uniform over decisions and gives one child, then one decision is mutated: the paper mutates
  each of n with probability 1/n, one on average;
- a population of 20 by default, for hundreds of trials; the paper has 100 and 25,000;
- an architecture is in the population once, with its latest result;
- a trial that failed or lacks an objective counts for its generation and never enters the population;
- violations are relative to their limit, so that limits of different units add up.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.algorithms.shared.method import SearchMethod, bad_option, check_range, loss_of
from nas.algorithms.shared.population import Breeder, Generations
from nas.errors import ConfigError, refusal
from nas.evaluation import Evaluation, Objective, crowding_distances, non_domination_ranks
from nas.space import Architecture
from nas.study import Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_NAME = "nsga2"


class Solution(NamedTuple):
    """One of the population.

    Attributes:
        losses: one for each objective, finite.
        violation: of all limits together; 0 for a feasible one.
        rank: number of its front, from 0.
        crowding: its distance to its neighbours on that front.
    """

    losses: tuple[float, ...]
    violation: float
    architecture: Architecture
    trial: int
    rank: int = 0
    crowding: float = 0.0


class NSGA2(SearchMethod[None]):
    """Evolution on all objectives.

    Args:
        space: to search.
        objectives: all count; with one alone it is an elitist evolution by rank.
        seed: of all randomness.
        population: members, and results to a generation; 2 or more.
        crossover: probability that a child has two parents, 0 to 1; the default is the paper's.
        limits: name of an objective or of another reported value -> the worst feasible value: the smallest
            for an objective to maximise, the largest for all others.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        population: int = 20,
        crossover: float = 0.9,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        check_range(_NAME, "population", population, 2)
        check_range(_NAME, "crossover", crossover, 0, 1)
        super().__init__(space, objectives, seed=seed)
        self._limits = Limits(limits or {}, self._objectives)
        self._breeder = Breeder(space, self._rng, crossover)
        self._generations: Generations[Solution] = Generations(population, population, survivors)
        self._random = population

    def check_values(self, names: Collection[str]) -> None:
        """Raises ConfigError if a limit is on none of the values that evaluations have."""
        self._limits.check(names)

    @property
    def uninformed(self) -> int:
        """The first population."""
        return self._random

    def _take(self, trial: Trial, remembered: None) -> None:  # noqa: ARG002 - the base class's
        """Raises ConfigError if the first results lack a value with a limit."""
        evaluation = trial.evaluation
        assert evaluation is not None
        solution = None
        if evaluation.ok:
            violation = self._limits.violation(evaluation)
            losses = tuple([loss_of(trial, objective) for objective in self._objectives])
            if all(map(math.isfinite, losses)):
                solution = Solution(losses, violation, trial.architecture, trial.number)
        self._generations.add(solution)

    @property
    def population(self) -> tuple[Solution, ...]:
        """The parents of the next child, best front first once the first generation is complete."""
        return tuple(self._generations.parents)

    def _suggest(self) -> Suggestion:
        number = self._in_flight.add(None)
        if number < self._random or not self._generations.parents:
            return self._breeder.random()
        return self._breeder.child(self._pick)

    def _pick(self) -> Solution:
        """The winner of a binary tournament; among equals the first that was drawn."""
        parents = self._generations.parents
        first, second = self._rng.integers(len(parents), size=2).tolist()
        return min(parents[first], parents[second], key=_crowded_comparison)


def survivors(solutions: list[Solution], size: int) -> list[Solution]:
    """The next population, ranked, best first; distances are those before the last front is cut."""
    if not solutions:
        return []
    losses = np.array([solution.losses for solution in solutions])
    ranks = non_domination_ranks(losses, [solution.violation for solution in solutions])
    distances = np.zeros(len(solutions))
    for rank in range(int(ranks.max()) + 1):
        front = ranks == rank
        distances[front] = crowding_distances(losses[front])
    ranked = [
        solution._replace(rank=rank, crowding=distance)
        for solution, rank, distance in zip(solutions, ranks.tolist(), distances.tolist(), strict=True)
    ]
    return sorted(ranked, key=_crowded_comparison)[:size]


def _crowded_comparison(solution: Solution) -> tuple[int, float]:
    return solution.rank, -solution.crowding


class Limits:
    """Bounds on reported values.

    Args:
        limits: name of a value -> the worst feasible one.
        objectives: say in which direction a value is worse.

    Raises:
        ConfigError: a limit that is not a finite number.
    """

    def __init__(self, limits: Mapping[str, Any], objectives: Sequence[Objective]) -> None:
        if not isinstance(limits, Mapping):
            raise bad_option(_NAME, "limits", "a mapping such as {latency: 10.0}", repr(limits))
        for name, limit in limits.items():
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise bad_option(_NAME, f"limits.{name}", "a finite number", repr(limit))
        self._limits = {str(name): float(limit) for name, limit in limits.items()}
        self._least = {each.name for each in objectives if each.direction == "maximize"}
        self._known = not limits

    def violation(self, evaluation: Evaluation) -> float:
        """Sum over the limits of the excess of the value, relative to the limit unless that is 0.

        Raises:
            ConfigError: the first completed evaluation lacks a value; later ones violate without bound.
        """
        if not self._known:
            self.check(evaluation.values)
            self._known = True
        return sum(self._excess(name, limit, evaluation.values) for name, limit in self._limits.items())

    def _excess(self, name: str, limit: float, values: Mapping[str, float]) -> float:
        value = values.get(name, math.nan)
        if math.isnan(value):
            return math.inf
        beyond = limit - value if name in self._least else value - limit
        return max(0.0, beyond) / (abs(limit) or 1.0)

    def check(self, names: Collection[str]) -> None:
        """Raises ConfigError if one of the values with a limit is not among these."""
        missing = [name for name in self._limits if name not in names]
        if missing:
            reported = ", ".join(names) or "none"
            expected = f"values that are reported ({reported})"
            remedy = "name those, or let the evaluator report more"
            raise ConfigError(refusal(f'searcher "{_NAME}": limits', expected, ", ".join(missing), remedy))
