"""Evolution with elitist truncation, (mu + lambda) (Beyer and Schwefel 2002).

"Evolution strategies: A comprehensive introduction", https://doi.org/10.1023/A:1015059928466; for
architectures e.g. Guo et al. 2020 (https://arxiv.org/abs/1904.00420, Algorithm 1), who cross and mutate the
best ten of all generations. mu random architectures are the first parents. Each child has parents drawn
uniformly; after lambda results the best mu of parents and children are the parents of the next generation.

Differs from the papers:
- asynchronous without a barrier: a generation is the next lambda results, whichever suggestions they belong
  to, and no ask waits. A steady state (one result, one replacement) would change the selection pressure of
  the method, and a barrier would leave workers idle and hang with a trial that hangs; one trial at a time
  gives the papers' generations exactly (`nas.algorithms.shared.population.Generations`);
- after the random suggestions and until the first generation is complete, its results so far are the
  parents; without any result, more random architectures are suggested;
- one mutation for each child, after any crossover (`Breeder`); there is no self-adaptation, as decisions have
  no step sizes;
- failed trials count for their generation and are never parents;
- an architecture is in the population once, with its latest result; among equal losses the younger stays, so
  that the population can drift over a plateau.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.algorithms.shared.method import SearchMethod, check_range, loss_of
from nas.algorithms.shared.population import Breeder, Generations, Member
from nas.evaluation import Objective
from nas.study import Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_NAME = "mu_plus_lambda"


class MuPlusLambda(SearchMethod[None]):
    """Elitist evolution on the first objective.

    Args:
        space: to search.
        objectives: the first one counts.
        seed: of all randomness.
        parents: mu, 1 or more.
        children: lambda, results to a generation, 1 or more.
        crossover: probability that a child has two parents, 0 to 1.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        parents: int = 10,
        children: int = 10,
        crossover: float = 0.5,
    ) -> None:
        check_range(_NAME, "parents", parents, 1)
        check_range(_NAME, "children", children, 1)
        check_range(_NAME, "crossover", crossover, 0, 1)
        super().__init__(space, objectives, seed=seed)
        self._breeder = Breeder(space, self._rng, crossover)
        self._generations: Generations[Member] = Generations(parents, children, best)
        self._random = parents
        self._first_children = children

    @property
    def uninformed(self) -> int:
        """The first parents; with a single one also its children, as no other parent can be chosen."""
        return self._random + (self._first_children if self._random == 1 else 0)

    def _take(self, trial: Trial, remembered: None) -> None:  # noqa: ARG002 - the base class's
        loss = loss_of(trial, self._objective)
        self._generations.add(Member(loss, trial.architecture, trial.number) if loss < float("inf") else None)

    @property
    def parents(self) -> tuple[Member, ...]:
        """The parents of the next child, best first once the first generation is complete."""
        return tuple(self._generations.parents)

    def _suggest(self) -> Suggestion:
        number = self._in_flight.add(None)
        if number < self._random or not self._generations.parents:
            return self._breeder.random()
        return self._breeder.child(self._pick)

    def _pick(self) -> Member:
        parents = self._generations.parents
        return parents[int(self._rng.integers(len(parents)))]


def best(members: list[Member], size: int) -> list[Member]:
    """The `size` members with the smallest losses in order; among equal losses the younger first."""
    return sorted(members, key=lambda member: (member.loss, -member.trial))[:size]
