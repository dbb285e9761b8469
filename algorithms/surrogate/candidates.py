"""The candidates among which a surrogate's acquisition is maximised: unseen relatives of the incumbents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.errors import SpaceError
from nas.space import Architecture, Mutator, crossover, enumerate_architectures, mutator, sample
from nas.study import Suggestion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.algorithms.surrogate.distances import Distances, SparseCode
    from nas.space import SearchSpace

_MUTATIONS = 30  # of incumbents, each ask
_CROSSOVERS = 6
_RANDOM = 6
_CLIMBERS = 5  # candidates that are mutated further in a round of climbing
_STEPS = 4  # mutations of each of them
_FEW = 10  # decisions up to which these numbers hold; with more, each candidate takes longer
_LEAST = 0.3  # share of these numbers that remains in the largest architectures
_KEPT = 100  # candidates that are candidates again at the next ask
_REDRAWS = 500  # samples for an unseen random architecture
_ENUMERABLE = 100_000  # derivations; the unseen ones of a larger space are not enumerated


class Candidate(NamedTuple):
    """An architecture that may be proposed, or was.

    Attributes:
        origin: random, mutation or crossover.
        parent: trial that it descends from, or None.
        trial: its own once told, else None.
    """

    architecture: Architecture
    code: tuple[SparseCode, ...]
    origin: str
    parent: int | None = None
    trial: int | None = None

    def suggestion(self) -> Suggestion:
        return Suggestion(self.architecture, parent=self.parent, info={"origin": self.origin})


class Candidates:
    """Draws candidates, none of them proposed before, and keeps the best unused ones.

    Args:
        space: to draw from.
        distances: codes them.
        rng: source of all randomness.
    """

    def __init__(self, space: SearchSpace, distances: Distances, rng: np.random.Generator) -> None:
        self._space = space
        self._distances = distances
        self._rng = rng
        self._proposed: set[str] = set()
        self._kept: list[Candidate] = []
        self._known: set[str] = set()  # digests in the pool of this ask
        self._effort = 1.0
        self._mutators: dict[str, Mutator] = {}  # of the incumbents, by digest

    def random(self) -> Candidate | None:
        """A random one, marked as proposed; None if no unseen one was found."""
        for _ in range(_REDRAWS):
            architecture = sample(self._space, self._rng)
            if architecture.digest() not in self._proposed:
                return self._taken(Candidate(architecture, self._distances.code(architecture), "random"))
        return None

    def any_left(self) -> Candidate | None:
        """An unseen one of a space that is small enough to enumerate, marked as proposed; None if none."""
        if self._space.size_within(_ENUMERABLE) is None:
            return None
        for architecture in enumerate_architectures(self._space):
            if architecture.digest() not in self._proposed:
                code = self._distances.code(architecture)
                return self._taken(Candidate(architecture, code, "enumeration"))
        return None

    def gather(self, incumbents: Sequence[Candidate]) -> list[Candidate]:
        """The pool of one ask: kept candidates, relatives of mostly the best incumbents, random ones."""
        pool = [each for each in self._kept if each.architecture.digest() not in self._proposed]
        self._known = {each.architecture.digest() for each in pool}
        decisions = sum(len(each.architecture.decisions) for each in incumbents) / len(incumbents)
        self._effort = max(_LEAST, min(1.0, _FEW / max(decisions, 1.0)))
        digests = {each.architecture.digest() for each in incumbents}
        self._mutators = {key: value for key, value in self._mutators.items() if key in digests}
        for _ in range(self._scaled(_MUTATIONS)):
            self._add_mutation(pool, incumbents[self._rank(len(incumbents))])
        for _ in range(self._scaled(_CROSSOVERS)):
            first, second = (incumbents[self._rank(len(incumbents))] for _ in range(2))
            child = partial(crossover, self._space, first.architecture, second.architecture, self._rng)
            self._add(pool, child, "crossover", first.trial)
        for _ in range(self._scaled(_RANDOM)):
            self._add(pool, partial(sample, self._space, self._rng), "random", None)
        return pool

    def near(self, ordered: Sequence[Candidate]) -> list[Candidate]:
        """Mutations of the first few that are not in the pool yet."""
        found: list[Candidate] = []
        for candidate in ordered[: self._scaled(_CLIMBERS)]:
            for _ in range(_STEPS):
                self._add_mutation(found, candidate)
        return found

    def take(self, pool: Sequence[Candidate], scores: NDArray[np.float64]) -> Candidate:
        """The candidate of the highest score; the next best are kept."""
        order = np.argsort(-scores, kind="stable")
        self._kept = [pool[i] for i in order[1 : 1 + _KEPT]]
        return self._taken(pool[order[0]])

    def coded(self, architecture: Architecture) -> Candidate:
        """One that was evaluated without being proposed; it is marked as proposed."""
        return self._taken(Candidate(architecture, self._distances.code(architecture), "told"))

    def _scaled(self, number: int) -> int:
        return max(1, round(self._effort * number))

    def _taken(self, candidate: Candidate) -> Candidate:
        self._proposed.add(candidate.architecture.digest())
        return candidate

    def _rank(self, size: int) -> int:
        """An index below `size`, half as likely at each third step."""
        share = self._rng.random() * (1 - 0.5 ** (size / 3))
        return min(int(-3 * np.log2(1 - share)), size - 1)

    def _add_mutation(self, pool: list[Candidate], parent: Candidate) -> None:
        trial = parent.trial if parent.trial is not None else parent.parent
        digest = parent.architecture.digest()

        def child() -> Architecture:
            if digest not in self._mutators:
                self._mutators[digest] = mutator(self._space, parent.architecture)
            return self._mutators[digest](self._rng)

        self._add(pool, child, "mutation", trial)

    def _add(
        self, pool: list[Candidate], draw: Callable[[], Architecture], origin: str, parent: int | None
    ) -> None:
        """Adds the architecture that `draw` returns if it is new and the constraints admit one."""
        try:
            architecture = draw()
        except SpaceError:
            return
        digest = architecture.digest()
        if digest not in self._proposed and digest not in self._known:
            self._known.add(digest)
            pool.append(Candidate(architecture, self._distances.code(architecture), origin, parent))
