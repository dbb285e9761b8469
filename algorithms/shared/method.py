"""The base of all methods: one suggestion at a time, trials in flight, losses, checks of options."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from nas.errors import ConfigError, ProtocolError, refusal
from nas.evaluation import Objective
from nas.study import Searcher, SearchFinished, Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace

T = TypeVar("T")


class InFlight(Generic[T]):
    """Suggestions without a result yet, numbered in order, with what a method remembers of each.

    Args:
        searcher: its name, for messages.
        first: number of the first suggestion.

    Attributes:
        following: number of the next suggestion.
    """

    def __init__(self, searcher: str, first: int = 0) -> None:
        self.following = self._first = first
        self._searcher = searcher
        self._remembered: dict[int, T] = {}

    def __len__(self) -> int:
        return len(self._remembered)

    def __contains__(self, number: int) -> bool:
        return number in self._remembered

    def remembered(self) -> Collection[T]:
        """What is remembered of each, oldest first."""
        return self._remembered.values()

    def add(self, remembered: T) -> int:
        """Number of the trial that the next suggestion becomes."""
        number = self.following
        self._remembered[number] = remembered
        self.following += 1
        return number

    def close(self, trial: Trial) -> T:
        """Removes a told trial and returns what was remembered of it.

        Raises:
            ProtocolError: it was not asked for, was told before or carries no evaluation.
        """
        if trial.evaluation is None:
            raise ProtocolError(
                refusal(
                    f"{self._searcher}.tell: trial {trial.number}",
                    "an evaluation",
                    "none",
                    "tell it when it has ended",
                )
            )
        if trial.number not in self._remembered:
            before = self._first <= trial.number < self.following
            got = f"trial {trial.number}, which was {'told before' if before else 'never asked for'}"
            where = f"{self._searcher}.tell"
            raise ProtocolError(refusal(where, "a trial in flight", got, "tell each suggestion once"))
        return self._remembered.pop(trial.number)


class SearchMethod(Searcher, Generic[T]):
    """Suggests one architecture at a time, each by all results so far.

    Args:
        space: to search.
        objectives: of its evaluations, the most important one first.
        seed: of all randomness.
    """

    def __init__(self, space: SearchSpace, objectives: Sequence[Objective], *, seed: int) -> None:
        self._space = space
        self._objectives = tuple(objectives)
        self._rng = np.random.default_rng(seed)
        self._in_flight: InFlight[T] = InFlight(type(self).__name__)

    @property
    def _objective(self) -> Objective:
        """The one that decides; methods that learn nothing need none."""
        return self._objectives[0]

    @abstractmethod
    def _suggest(self) -> Suggestion | None:
        """The next suggestion, added to those in flight; None if results are needed first.

        Raises:
            SearchFinished: no suggestion is left, now or later.
        """

    def _take(self, trial: Trial, remembered: T) -> None:
        """Takes a result; by default it is ignored, for methods that learn nothing."""

    def ask(self, count: int = 1) -> list[Suggestion]:
        given: list[Suggestion] = []
        while len(given) < count:
            try:
                suggestion = self._suggest()
            except SearchFinished:
                if given:
                    return given
                raise
            if suggestion is None:
                return given
            given.append(suggestion)
        return given

    def tell(self, trial: Trial) -> None:
        self._take(trial, self._in_flight.close(trial))


def loss_of(trial: Trial, objective: Objective) -> float:
    """The loss of a told trial on an objective; +inf for a failure and for a value that is missing or NaN."""
    assert trial.evaluation is not None, "InFlight.close checks it"
    return objective.loss(trial.evaluation.values.get(objective.name) if trial.evaluation.ok else None)


def bad_option(searcher: str, option: str, expected: str, got: object) -> ConfigError:
    """The refusal of an option's value."""
    return ConfigError(
        refusal(f'searcher "{searcher}": {option}', expected, got, "leave it out for the default")
    )


def check_range(
    searcher: str,
    option: str,
    value: float,
    low: float,
    high: float = math.inf,
    *,
    what: str = "",
    above: bool = False,
) -> None:
    """Raises ConfigError unless the option's value is finite and lies within the bounds.

    Args:
        searcher: its name.
        option: its name.
        value: to be checked.
        low: the least value, or with `above` the bound that it must exceed.
        high: the greatest value.
        what: the unit of the values, for the message.
        above: whether `low` itself is refused.
    """
    if low <= value <= high and math.isfinite(value) and not (above and value == low):
        return
    bounds = f"above {low:g}" if above else f"{low:g} to {high:g}" if high < math.inf else f"{low:g} or more"
    raise bad_option(searcher, option, f"{bounds} {what}".rstrip(), f"{value:g}")
