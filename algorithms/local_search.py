"""Local search that moves at the first improvement (White et al. 2021).

"Exploring the Loss Landscape in Neural Architecture Search", https://arxiv.org/abs/2005.02960. From a random
architecture, unseen neighbours (one decision away) are evaluated in random order; the first that is
better is the next point. When no unseen neighbour is left, the search restarts at a random architecture.

Differs from the paper:
- its Algorithm 1 evaluates all neighbours and moves to the best; moving at the first improvement is its
  variant "query until lower";
- nothing is suggested twice, over all restarts; an architecture is known by its text;
- asynchronous: with trials in flight, further unseen neighbours of the point are suggested. A result becomes
  the point if it is better than the point that it was suggested from and than the present one;
- no waiting at the end of a neighbourhood: restarts are suggested while neighbours are in flight, as a random
  architecture is a better use of a worker than none. The next point is the first restart that completes,
  unless one of those neighbours improves on both its own point and the next one: then the search returns
  there;
- failed trials are seen, never points;
- decisions behind a changed one are drawn at random, a real number has two random steps as neighbours
  (`nas.space.operators.neighbours`);
- more than 1000 neighbours of a point are not listed but drawn as mutations, until 100 in a row are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from nas.algorithms.shared.method import SearchMethod, loss_of
from nas.errors import DeadEndError, SpaceError
from nas.evaluation import Objective
from nas.space import Architecture, enumerate_architectures, mutate, neighbours, sample
from nas.study import SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

_LISTED = 1000  # neighbours of a point; beyond, they are drawn
_KNOWN = 100  # known mutations in a row after which a neighbourhood counts as seen
_REDRAWS = 1000  # known samples in a row after which the rest of the space is enumerated
_ENUMERABLE = 100_000  # derivations; a larger space is not enumerated


class Point(NamedTuple):
    """The current architecture of the search."""

    loss: float
    architecture: Architecture
    trial: int


class LocalSearch(SearchMethod[float]):  # of a trial in flight: loss of the point it was suggested from
    """First-improvement local search with random restarts on the first objective.

    It is finished when the space is exhausted: exactly so in a space of at most 100,000 derivations, else
    once 1000 samples in a row were known or 1000 draws in a row broke a constraint.

    Args:
        space: to search.
        objectives: the first one counts.
        seed: of all randomness.
    """

    def __init__(self, space: SearchSpace, objectives: Sequence[Objective], *, seed: int) -> None:
        super().__init__(space, objectives, seed=seed)
        self._seen: set[str] = set()
        self._point: Point | None = None
        self._around: list[Architecture] | None = None  # of the point, still to suggest; None: to be drawn
        self._rest: list[Architecture] | None = None  # what samples did not find; None: not looked for

    @property
    def uninformed(self) -> int:
        """The first point and one neighbour, whatever their values; the third depends on which is better."""
        return 2

    def _take(self, trial: Trial, remembered: float) -> None:
        self._seen.add(trial.architecture.digest())
        loss = loss_of(trial, self._objective)
        here = math.inf if self._point is None else self._point.loss
        if loss < min(here, remembered):
            self._point = Point(loss, trial.architecture, trial.number)
            self._around = self._neighbours(trial.architecture)

    @property
    def point(self) -> Point | None:
        """The current point; None before the first result and between two climbs."""
        return self._point

    def _suggest(self) -> Suggestion | None:
        point = self._point
        if point is not None:
            found = self._unseen_neighbour(point.architecture)
            if found is not None:
                self._in_flight.add(point.loss)
                return Suggestion(found, parent=point.trial, info={"origin": "neighbour"})
            self._point = None
        found = self._unseen_sample()
        if found is None:
            if self._in_flight:
                return None
            raise SearchFinished
        self._in_flight.add(math.inf)
        return Suggestion(found, info={"origin": "random"})

    def _neighbours(self, architecture: Architecture) -> list[Architecture] | None:
        """All neighbours in random order; None if they are too many, or most of them too long."""
        try:
            found = list(islice(neighbours(self._space, architecture, self._rng), _LISTED + 1))
        except DeadEndError:
            return None
        if len(found) > _LISTED:
            return None
        return [found[index] for index in self._rng.permutation(len(found))]

    def _unseen_neighbour(self, architecture: Architecture) -> Architecture | None:
        if self._around is None:
            for _ in range(_KNOWN):
                try:
                    found = mutate(self._space, architecture, self._rng)
                except SpaceError:  # no alternative, or none that the constraints admit
                    return None
                if self._is_new(found):
                    return found
        while self._around:
            found = self._around.pop()
            if self._is_new(found):
                return found
        return None

    def _unseen_sample(self) -> Architecture | None:
        """A random architecture; once all samples are known, one that they missed."""
        if self._rest is None:
            try:
                for _ in range(_REDRAWS):
                    found = sample(self._space, self._rng)
                    if self._is_new(found):
                        return found
            except DeadEndError:
                if not self._seen and not self._unseen():
                    raise
            self._rest = self._unseen()
        while self._rest:
            found = self._rest.pop()
            if self._is_new(found):
                return found
        return None

    def _unseen(self) -> list[Architecture]:
        """All unseen architectures in random order, if the space is small enough to enumerate."""
        if self._space.size_within(_ENUMERABLE) is None:
            return []
        left = [each for each in enumerate_architectures(self._space) if each.digest() not in self._seen]
        return [left[index] for index in self._rng.permutation(len(left))]

    def _is_new(self, architecture: Architecture) -> bool:
        """Whether it was never suggested; notes it."""
        digest = architecture.digest()
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True
