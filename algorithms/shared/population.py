"""Populations of evolutionary methods: members, their children, and generations without a barrier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from nas.errors import DeadEndError, SpaceError
from nas.space import Architecture, mutate, sample
from nas.space import crossover as cross
from nas.study import Suggestion

if TYPE_CHECKING:
    import numpy as np

    from nas.space import SearchSpace


class Parent(Protocol):
    """A member of any population that can have children."""

    @property
    def architecture(self) -> Architecture: ...

    @property
    def trial(self) -> int: ...


M = TypeVar("M", bound=Parent)


class Member(NamedTuple):
    """A member of a population with one objective."""

    loss: float
    architecture: Architecture
    trial: int


class Breeder:
    """Makes suggestions: random architectures, and children of members.

    With probability `crossover` a child begins as the uniform crossover of two parents, else as one parent;
    in either case it is then mutated once, as in Deb et al. 2002 (III.C) and in NSGA-Net (Lu et al. 2019,
    https://arxiv.org/abs/1810.03522). Without the mutation, parents that have become alike would mostly have
    known children. If the constraints admit no common child of two parents, the first one is mutated; if they
    admit no child of that one either, a random architecture takes its place.

    Args:
        space: to draw from.
        rng: source of all randomness; not drawn from for a crossover probability of 0.
        crossover: probability, 0 to 1.
    """

    def __init__(self, space: SearchSpace, rng: np.random.Generator, crossover: float) -> None:
        self._space = space
        self._rng = rng
        self._crossover = crossover

    def random(self) -> Suggestion:
        return Suggestion(sample(self._space, self._rng), info={"origin": "random"})

    def child(self, pick: Callable[[], Parent]) -> Suggestion:
        """A child of one or two parents, each of which `pick` draws."""
        parent = pick()
        start = parent.architecture
        info: dict[str, Any] = {"origin": "mutation"}
        if self._crossover and self._rng.random() < self._crossover:
            mate = pick()
            try:
                start = cross(self._space, parent.architecture, mate.architecture, self._rng)
                info = {"origin": "crossover", "mate": mate.trial}
            except DeadEndError:  # the parent is mutated alone
                pass
        try:
            return Suggestion(mutate(self._space, start, self._rng), parent=parent.trial, info=info)
        except SpaceError:  # no alternative, or none that the constraints admit
            return self.random()


class Generations(Generic[M]):
    """Parents that are replaced by the survivors of a generation whenever enough results have arrived.

    A generation is a fixed number of results, whichever suggestions they belong to: with one trial at a time
    it is the textbook's; with many in flight no ask waits, late results count for a later generation, and the
    parents are as fresh as complete generations allow. Failures count for their generation but never become
    parents. An architecture is in the population once, with its latest result, as copies of the best would
    fill it otherwise.

    Args:
        size: of the population, and of the first generation.
        children: results in each later generation.
        survive: picks at most `size` of the parents and the generation, in which none occurs twice.
    """

    def __init__(self, size: int, children: int, survive: Callable[[list[M], int], list[M]]) -> None:
        self._size = size
        self._children = children
        self._survive = survive
        self._survivors: list[M] = []
        self._arrived: list[M] = []
        self._missing = size

    @property
    def parents(self) -> list[M]:
        """The survivors; before there are any, the results of the first generation so far."""
        return self._survivors or self._arrived

    def add(self, member: M | None) -> None:
        """Takes the next result; None for a failure."""
        if member is not None:
            self._arrived.append(member)
        self._missing -= 1
        if self._missing:
            return
        distinct = {each.architecture.digest(): each for each in (*self._survivors, *self._arrived)}
        self._survivors = self._survive(list(distinct.values()), self._size)
        self._arrived = []
        self._missing = self._children
